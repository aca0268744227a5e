import type { Deadline, Timers } from '../proxy/deadline.ts';

export const TICK_MS = 50;
const BUCKETS = 512;
/** Between two looks at the time; more is a stall. */
const STALL_MS = 2 * TICK_MS;

/**
 * A timer wheel (Varghese and Lauck, 1987): BUCKETS lists of deadlines, one looked at each tick.
 * Precision is one tick; deadlines beyond one turn wait in the last bucket and are linked anew.
 * A deadline that was moved later, or off, stays where it is until its bucket comes up.
 * What is armed behind a stall, before the time is looked at, would count from before it, and go off before its time: it is given
 * the length of the stall, and so may everything else be that was armed since the look before.
 */
export class Wheel implements Timers {
  now = 0;
  epoch = 0;
  private tick = 0;
  private turn = 0;
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
    deadline.turn = this.turn;
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

  /** Takes the time, and lets nothing expire: what is armed from here on counts from `now`. */
  look(now: number, epoch: number): void {
    const passed = now - this.now;
    if (passed > STALL_MS) this.excuse(passed);
    // The same time told twice is one look.
    if (passed > 0) this.turn++;
    this.now = now;
    this.epoch = epoch;
  }

  /**
   * Lets time pass up to `now`; calls `expired` of what is due, of at most `most`.
   * @returns whether there is more that is due: for the next call, which may be at the same time.
   */
  advance(now: number, epoch: number, most = Infinity): boolean {
    this.look(now, epoch);
    const last = Math.floor(now / TICK_MS);
    let left = this.expire(most);
    // After a long stall every bucket is due, each once.
    if (last - this.tick > BUCKETS) this.tick = last - BUCKETS;
    while (this.due === null && this.tick < last) {
      const index = ++this.tick % BUCKETS;
      this.due = this.buckets[index];
      this.buckets[index] = null;
      left = this.expire(left);
    }
    return this.due !== null;
  }

  /** A stall is over. */
  private excuse(millis: number): void {
    for (const first of [this.due, ...this.buckets]) {
      for (let deadline = first; deadline !== null; deadline = deadline.next) if (deadline.turn === this.turn) deadline.at += millis;
    }
  }

  /** Goes on with the bucket whose turn it is. @returns how many more may expire. */
  private expire(most: number): number {
    let left = most;
    // One by one from the front: who expires may drop others.
    for (let deadline = this.due; deadline !== null && left > 0; deadline = this.due) {
      this.unlink(deadline);
      if (deadline.at <= this.now) {
        left--;
        deadline.at = Infinity;
        deadline.owner.expired();
      } else if (deadline.at !== Infinity) this.link(deadline);
    }
    return left;
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
