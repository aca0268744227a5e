/** When a certificate is renewed, and when a failed try is repeated. Pure: clock and chance are handed in. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export interface Lifetime {
  /** Epoch milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** When the authority would like a certificate to be replaced (RFC 9773 §4.2). Epoch milliseconds. */
export interface RenewalWindow {
  readonly start: number;
  readonly end: number;
}

/** How often a failed try is repeated, in milliseconds. */
export interface RetryPolicy {
  /** After the first failure; doubles with each further one. */
  readonly first: number;
  readonly most: number;
}

/** Five failures of a name within an hour is what large authorities stand: this makes four. */
export const RETRY: RetryPolicy = { first: 5 * MINUTE, most: 12 * HOUR };
/** What a server asks to wait is believed up to here. */
const MOST_ASKED = 7 * 24 * HOUR;

/**
 * When a certificate is due for renewal: at a random time of the window of its authority (RFC 9773 §4.2), else at two thirds of its life.
 * Never after that: a window of a server that is mistaken must not let a certificate expire.
 * @param random from 0 up to 1.
 */
export function renewalAt({ notBefore, notAfter }: Lifetime, window: RenewalWindow | null, random: number): number {
  if (window !== null && window.start < window.end && window.start < notAfter) {
    return Math.min(window.start + random * (window.end - window.start), notBefore + (notAfter - notBefore) * LATEST);
  }
  return notBefore + ((notAfter - notBefore) * 2) / 3;
}

/** Of its life; past it not even the authority is waited for. */
const LATEST = 0.95;

/**
 * How long to wait after a failure, in milliseconds: exponential, with jitter of up to a fifth so that many proxies do not come back at once.
 * @param failures in a row, from 1. @param asked what the server has asked for (Retry-After); never less than that.
 */
export function retryIn(failures: number, asked: number | null, random: number, { first, most }: RetryPolicy = RETRY): number {
  const wait = Math.min(most, first * 2 ** Math.min(failures - 1, 30)) * (1 - JITTER * random);
  return Math.max(wait, Math.min(asked ?? 0, MOST_ASKED));
}

const JITTER = 0.2;

/** Milliseconds that a Retry-After field asks for (RFC 9110 §10.2.3); null = nothing that can be understood. */
export function retryAfter(value: string | null, now: number): number | null {
  if (value === null) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
