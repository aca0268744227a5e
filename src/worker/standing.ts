/** What a worker is told: take work; take no more and finish what is in hand; give back what is in hand, and end. */
export type Order = 'run' | 'quiesce' | 'stop';

/** What the proxy answers to a report. Durations in milliseconds. */
export interface Told {
  readonly order: Order;
  readonly generation: number;
  readonly reportWithin: number;
  readonly expiresIn: number;
}

/** One moment on both clocks, in milliseconds. */
export interface Moment {
  /** Never goes back, but may stand still while the machine sleeps. */
  readonly steady: number;
  /** Goes on while the machine sleeps, but may be set. */
  readonly wall: number;
}

/**
 * Whether a worker may take work at this moment: while it is told to run, and not longer than `expiresIn` after it *sent* the report that
 * was answered so. The proxy counts from when that report came and waits longer before it presumes the worker dead: so whatever
 * is lost or late on the way, nobody works who is taken for dead. The time has passed as soon as one of the two clocks says so.
 */
export class Standing {
  private readonly now: () => Moment;
  private order: Order = 'quiesce';
  private heardSeq = 0;
  private sentAt: Moment | null = null;
  private expiresIn = 0;
  generation = 0;

  constructor(now: () => Moment) {
    this.now = now;
  }

  /** The answer to the report with this number. One that is overtaken by the answer to a later report says nothing any more. */
  hear(told: Told, seq: number, sentAt: Moment): void {
    if (seq <= this.heardSeq) return;
    this.heardSeq = seq;
    this.order = told.order;
    this.generation = told.generation;
    this.sentAt = sentAt;
    this.expiresIn = told.expiresIn;
  }

  /** Nobody may be working under what was told until now. */
  forget(): void {
    if (this.order === 'run') this.order = 'quiesce';
    this.generation = 0;
    this.sentAt = null;
  }

  /** What was told last, whether or not it has expired: this is what a report confirms. */
  get told(): Order {
    return this.order;
  }

  /** What holds now. */
  get current(): Order {
    return this.order === 'run' && this.left <= 0 ? 'quiesce' : this.order;
  }

  /** Milliseconds until what was told expires. */
  get left(): number {
    if (this.sentAt === null) return 0;
    const { steady, wall } = this.now();
    return this.expiresIn - Math.max(steady - this.sentAt.steady, wall - this.sentAt.wall);
  }
}
