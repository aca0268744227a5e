import type { Deadline, Timers } from '../proxy/deadline.ts';

export const TICK_MS = 50;
const BUCKETS = 512;

/**
 * A timer wheel (Varghese and Lauck, 1987): BUCKETS lists of deadlines, one looked at each tick.
 * Precision is one tick; deadlines beyond one turn wait in the last bucket and are linked anew.
 * A deadline that was moved later, or off, stays where it is until its bucket comes up.
 */
export class Wheel implements Timers {
  now = 0;
  epoch = 0;
  private tick = 0;
  private readonly buckets: (Deadline | null)[] = Array.from({ length: BUCKETS }, () => null);
  /** What is left of the bucket whose turn it is. */
  private due: Deadline | null = null;

  /** @param now monotonic milliseconds. @param epoch epoch milliseconds. */
  constructor(now: number, epoch: number) {
    this.now = now;
    this.epoch = epoch;
    this.tick = Math.floor(now / TICK_MS);
  }

  arm(deadline: Deadline, millis: number): void {
    deadline.at = this.now + millis;
    if (deadline.tick === -1) this.link(deadline);
    else if (Math.floor(deadline.at / TICK_MS) + 1 < deadline.tick) {
      this.unlink(deadline);
      this.link(deadline);
    }
  }

  disarm(deadline: Deadline): void {
    deadline.at = Infinity;
  }

  drop(deadline: Deadline): void {
    deadline.at = Infinity;
    if (deadline.tick !== -1) this.unlink(deadline);
  }

  /** Lets time pass up to `now`; calls `expired` of all that is due. */
  advance(now: number, epoch: number): void {
    this.now = now;
    this.epoch = epoch;
    const last = Math.floor(now / TICK_MS);
    // After a long stall every bucket is due, each once.
    if (last - this.tick > BUCKETS) this.tick = last - BUCKETS;
    while (this.tick < last) this.turn(++this.tick);
  }

  private turn(tick: number): void {
    const index = tick % BUCKETS;
    this.due = this.buckets[index];
    this.buckets[index] = null;
    // One by one from the front: who expires may drop others.
    for (let deadline = this.due; deadline !== null; deadline = this.due) {
      this.unlink(deadline);
      if (deadline.at <= this.now) {
        deadline.at = Infinity;
        deadline.owner.expired();
      } else if (deadline.at !== Infinity) this.link(deadline);
    }
  }

  private link(deadline: Deadline): void {
    const due = Math.floor(deadline.at / TICK_MS) + 1;
    deadline.tick = Math.min(Math.max(due, this.tick + 1), this.tick + BUCKETS - 1);
    const index = deadline.tick % BUCKETS;
    const first = this.buckets[index];
    deadline.next = first;
    deadline.previous = null;
    if (first !== null) first.previous = deadline;
    this.buckets[index] = deadline;
  }

  private unlink(deadline: Deadline): void {
    const { next, previous } = deadline;
    if (previous !== null) previous.next = next;
    else if (this.due === deadline) this.due = next;
    else this.buckets[deadline.tick % BUCKETS] = next;
    if (next !== null) next.previous = previous;
    deadline.next = deadline.previous = null;
    deadline.tick = -1;
  }
}
