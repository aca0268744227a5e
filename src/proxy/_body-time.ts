import { KIND } from '../ledger/thread.ts';
import type { EdgePolicy } from '../pool/policy.ts';
import type { ExchangeRecord } from './_record.ts';

/**
 * Milliseconds until more of a request body must have come: it may not stop for `timeouts.body`; and with `bodyRate`, it
 * may not dribble either, but bring so many bytes a second on average, once `timeouts.body` has passed.
 * Once the answer is a stream (gRPC), the request may be one too, and silent for as long as a tunnel.
 * @param since when it began, without the time that the backend made it wait.
 */
export function bodyTime({ kind, upload, upstream }: ExchangeRecord, { timeouts, limits }: EdgePolicy, since: number, now: number): number {
  if (kind === KIND.stream) return upstream!.policy.timeouts.tunnel;
  if (limits.bodyRate === null) return timeouts.body;
  return Math.min(timeouts.body, since + timeouts.body + (upload.bytes * 1000) / limits.bodyRate - now);
}
