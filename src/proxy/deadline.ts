/** Something that has a deadline. */
export interface Expiring {
  /** The deadline has passed. Called once per arming, from the timer wheel. */
  expired(): void;
}

/**
 * One deadline, linked into a timer wheel. Moving it later, or off, costs two stores: the wheel looks
 * again when its bucket comes up.
 */
export class Deadline {
  readonly owner: Expiring;
  /** Milliseconds on the wheel's clock; Infinity = off. */
  at = Infinity;
  /** Tick of the bucket it is linked into; −1 = not linked. */
  tick = -1;
  /** The wheel's look at the time before it was armed last, by number. */
  turn = 0;
  next: Deadline | null = null;
  previous: Deadline | null = null;

  constructor(owner: Expiring) {
    this.owner = owner;
  }
}

/** One coarse timer for all deadlines of a thread. */
export interface Timers {
  /** Milliseconds, monotonic, as of the last tick. */
  readonly now: number;
  /** Epoch milliseconds as of the last tick. */
  readonly epoch: number;
  arm(deadline: Deadline, millis: number): void;
  disarm(deadline: Deadline): void;
  /** Off for good: nothing refers to it any more. A connection that is over would otherwise be kept until its bucket comes up. */
  drop(deadline: Deadline): void;
}
