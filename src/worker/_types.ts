import type { Order } from './standing.ts';

export interface JoinOptions {
  /** Admin API; default SWITCHYARD_ADMIN_URL, else http://127.0.0.1:9900. */
  readonly admin?: string;
  /** Of scope `report`; default SWITCHYARD_TOKEN. */
  readonly token?: string;
  /** Default SWITCHYARD_UPSTREAM. */
  readonly upstream?: string;
  /** Default SWITCHYARD_VERSION. */
  readonly version?: string;
  /** Name of this worker, unique in its upstream; default SWITCHYARD_MEMBER. */
  readonly member?: string;
  /** Whether it could take work from the start; default true. Else say it with `setReady`. */
  readonly ready?: boolean;
  /** How long the first answer is waited for, in milliseconds; default 30 000. */
  readonly joinTimeout?: number;
}

export type Outcome = 'completed' | 'failed' | 'aborted';

/** A job in hand. */
export interface Lease {
  readonly id: string;
  /** Aborts when the worker is told to stop: the job should be given back to its queue then, and the lease ended as `aborted`. */
  readonly signal: AbortSignal;
  /** Gives it back; `completed` unless told. Only the first call counts. */
  end(outcome?: Outcome): void;
}

/** Work was begun while none may be. */
export class NotTaken extends Error {
  constructor(order: Order) {
    super(`no work may be taken now: the order is ${order}`);
    this.name = 'NotTaken';
  }
}

/** Why the order is another one: the proxy has said so, has not been heard for too long, or the worker leaves. */
export interface Change {
  readonly order: Order;
  readonly generation: number;
  readonly why: 'told' | 'no answer' | 'leaving';
}

export interface Events {
  run: [Change];
  quiesce: [Change];
  stop: [Change];
  /** A report was not answered, or refused; it is tried again. */
  problem: [Error];
}
