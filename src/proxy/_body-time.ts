import type { EdgePolicy } from '../pool/policy.ts';

/**
 * Milliseconds until more of a request body must have come: it may not stop for `timeouts.body`; and with `bodyRate`, it
 * may not dribble either, but bring so many bytes a second on average, once `timeouts.body` has passed.
 * @param bytes that have come. @param since when it began, without the time that the backend made it wait.
 */
export function bodyTime({ timeouts, limits }: EdgePolicy, bytes: number, since: number, now: number): number {
  if (limits.bodyRate === null) return timeouts.body;
  return Math.min(timeouts.body, since + timeouts.body + (bytes * 1000) / limits.bodyRate - now);
}
