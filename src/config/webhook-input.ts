import type { EventType } from '../pool/events.ts';
import type { Duration } from './input.ts';

/** Somebody who is told of events: a signed POST each, in order for each upstream, again until it is answered 2xx. */
export interface WebhookInput {
  name: string;
  url: string;
  /** Key of the signature: `whsec_` and base64, or any text of at least 16 characters. */
  secret: string;
  /** Types of events, or `'*'`; default: admitted, step, live, drained, released, rolled-back, rejected. */
  events?: '*' | readonly EventType[];
  /** Only events of these; default: all. */
  upstreams?: readonly string[] | null;
  /** Of one attempt; default 10s. */
  timeout?: Duration;
  /** Given up when the event is so old (24h), or after so many attempts (100). */
  maxAge?: Duration;
  attempts?: number;
  /** Between attempts: `base` (1s), twice as long each time, up to `max` (10m). */
  backoff?: { base?: Duration; max?: Duration };
  /** Deliveries that may wait (10000); past it the oldest is given up. */
  queue?: number;
}
