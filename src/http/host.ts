import { DIGIT, HEX, HOST } from './chars.ts';

const OPEN = 0x5b;
const CLOSE = 0x5d;
const COLON = 0x3a;
const DOT = 0x2e;
const PERCENT = 0x25;

/**
 * Checks `uri-host [":" port]` (RFC 9110 §7.2) in bytes [from, to): a name of the characters of
 * RFC 3986 without a comma, or an IPv6 literal in brackets; a port of at most five digits, or none. No userinfo.
 * @returns offset where the host ends (the colon, or `to`), or −1.
 */
export function hostEnd(buf: Uint8Array, from: number, to: number): number {
  if (from === to) return -1;
  let at = from;
  if (buf[at] === OPEN) {
    at++;
    const inside = at;
    while (at < to && (HEX[buf[at]] !== 255 || buf[at] === COLON || buf[at] === DOT)) at++;
    if (at === inside || at === to || buf[at] !== CLOSE) return -1;
    at++;
  } else {
    while (at < to && HOST[buf[at]] === 1) {
      if (buf[at] === PERCENT && (at + 2 >= to || HEX[buf[at + 1]] === 255 || HEX[buf[at + 2]] === 255)) return -1;
      at++;
    }
    if (at === from) return -1;
  }
  const end = at;
  if (at === to) return end;
  if (buf[at] !== COLON || to - at > 6) return -1;
  for (at++; at < to; at++) if (DIGIT[buf[at]] === 0) return -1;
  return end;
}

/** The host as routes know it: lower case, without port and without a trailing dot. */
export function routeHost(buf: Buffer, from: number, end: number): string {
  const stop = end - from > 1 && buf[end - 1] === DOT ? end - 1 : end;
  return buf.toString('latin1', from, stop).toLowerCase();
}
