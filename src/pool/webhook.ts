import type { EventType } from './events.ts';

/** Somebody who is told of events by POST. Durations are milliseconds. */
export interface WebhookPolicy {
  readonly name: string;
  readonly url: string;
  /** The key of the signatures. */
  readonly secret: string;
  readonly events: readonly EventType[];
  /** null = of all of them, and events of none. */
  readonly upstreams: readonly string[] | null;
  /** Of one attempt. */
  readonly timeout: number;
  /** A delivery is given up when its event is so old … */
  readonly maxAge: number;
  /** … or after so many attempts. */
  readonly attempts: number;
  /** Between attempts: `base`, twice as long each time, at most `max`; ±20 %. */
  readonly backoff: { readonly base: number; readonly max: number };
  /** Deliveries that may wait; past it the oldest is given up. */
  readonly queue: number;
}
