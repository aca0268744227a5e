/** The most that one look counts, in ms. A thread looks far more often, unless it was held up. */
export const MOST_STEP_MS = 250;

/**
 * Milliseconds that a thread has run. Time in which it was held up (the machine stood still, others had the processors) does
 * not count: nobody was heard meanwhile, so nobody was silent.
 */
export class RunningClock {
  now: number;
  private looked: number;

  /** @param now monotonic milliseconds. */
  constructor(now: number) {
    this.now = this.looked = now;
  }

  /** @param now monotonic milliseconds. @returns those of the thread. */
  look(now: number): number {
    this.now += Math.min(now - this.looked, MOST_STEP_MS);
    this.looked = now;
    return this.now;
  }
}
