import { DIGIT, HEX, TOKEN, bytes, isWord } from './chars.ts';
import { FIELD } from './fields.ts';
import type { FieldBlock } from './fields.ts';
import { UNKNOWN, forwardedNode, nodeAddress, readForwarded } from './forwarded.ts';
import type { ForwardedElement } from './forwarded.ts';
import { hostEnd } from './host.ts';
import { ipBytes } from './ip.ts';

/** What a trusted proxy may say of a request, as bits; `chain` and `forwarded`: there is such a field, whatever it says. */
export const CLAIM = { requestId: 1, trace: 2, proto: 4, host: 8, port: 16, realIp: 32, prefix: 64, via: 128, chain: 256, forwarded: 512 } as const;

/** The CLAIM of a FIELD; 0 for one that is none. */
export const CLAIM_OF = new Uint8Array(32);
for (const [field, claim] of [
  [FIELD.xRequestId, CLAIM.requestId],
  [FIELD.traceparent, CLAIM.trace],
  // Means nothing without its traceparent (W3C Trace Context §3.3).
  [FIELD.tracestate, CLAIM.trace],
  [FIELD.xForwardedProto, CLAIM.proto],
  [FIELD.xForwardedHost, CLAIM.host],
  [FIELD.xForwardedPort, CLAIM.port],
  [FIELD.xRealIp, CLAIM.realIp],
  [FIELD.xForwardedPrefix, CLAIM.prefix],
  [FIELD.via, CLAIM.via],
])
  CLAIM_OF[field] = claim;

const REQUEST_ID_MOST = 128;
const HTTP = bytes('http');
const HTTPS = bytes('https');
const PLAIN_PATHS = /^(?:\/|(?:\/[\w.~%@:=-]+)+\/?)(?:[ \t]*,[ \t]*(?:\/|(?:\/[\w.~%@:=-]+)+\/?))*$/;

/**
 * Which of the things that a trusted proxy says are believed: those it says once, in a form that can be only that. A list or
 * garbage where one value belongs may well be the client's own, passed on by mistake.
 */
export function believed(fields: FieldBlock, src: Buffer): number {
  const { ids, spans, count } = fields;
  let said = 0;
  let wrong = 0;
  for (let i = 0; i < count; i++) {
    const id = ids[i];
    const claim = CLAIM_OF[id];
    // Lists of lines.
    if (id === FIELD.xForwardedFor) said |= CLAIM.chain;
    else if (id === FIELD.forwarded) said |= CLAIM.forwarded;
    if (claim === 0 || id === FIELD.via || id === FIELD.tracestate) continue;
    if ((said & claim) !== 0 || !isSane(id, src, spans[i * 4 + 2], spans[i * 4 + 3])) wrong |= claim;
    said |= claim;
  }
  return (said & ~wrong) | CLAIM.via;
}

function isSane(id: number, src: Buffer, from: number, to: number): boolean {
  switch (id) {
    case FIELD.xRequestId:
      return to - from <= REQUEST_ID_MOST && isToken(src, from, to);
    case FIELD.traceparent:
      return isTraceparent(src, from, to);
    case FIELD.xForwardedProto:
      return isWord(src, from, to, HTTP) || isWord(src, from, to, HTTPS);
    case FIELD.xForwardedHost:
      return hostEnd(src, from, to) !== -1;
    case FIELD.xForwardedPort:
      return isPort(src, from, to);
    case FIELD.xRealIp:
      return ipBytes(src.toString('latin1', from, to)) !== null;
    default:
      return PLAIN_PATHS.test(src.toString('latin1', from, to));
  }
}

function isToken(src: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (TOKEN[src[at]] === 0) return false;
  return to > from;
}

function isPort(src: Buffer, from: number, to: number): boolean {
  if (to === from || to - from > 5) return false;
  let port = 0;
  for (let at = from; at < to; at++) {
    if (DIGIT[src[at]] === 0) return false;
    port = port * 10 + src[at] - 0x30;
  }
  return port > 0 && port < 65_536;
}

const DASH = 0x2d;
const ZERO = 0x30;
const TRACEPARENT_BYTES = 55;

/** `version-traceid-parentid-flags` (W3C Trace Context §3.2.2): lower-case hex, no id of zeros only; later versions may go on behind a dash. */
function isTraceparent(src: Buffer, from: number, to: number): boolean {
  const size = to - from;
  if (size < TRACEPARENT_BYTES || src[from + 2] !== DASH || src[from + 35] !== DASH || src[from + 52] !== DASH) return false;
  if (!isLowerHex(src, from, from + 2) || !isLowerHex(src, from + 3, from + 35) || !isLowerHex(src, from + 36, from + 52)) return false;
  if (!isLowerHex(src, from + 53, from + 55) || isZeros(src, from + 3, from + 35) || isZeros(src, from + 36, from + 52)) return false;
  const version = HEX[src[from]] * 16 + HEX[src[from + 1]];
  if (version === 0) return size === TRACEPARENT_BYTES;
  return version !== 255 && (size === TRACEPARENT_BYTES || src[from + TRACEPARENT_BYTES] === DASH);
}

function isLowerHex(src: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (HEX[src[at]] === 255 || (src[at] >= 0x41 && src[at] <= 0x46)) return false;
  return true;
}

function isZeros(src: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (src[at] !== ZERO) return false;
  return true;
}

// ── the way of the request so far ─────────────────────────────────────────────────────────────────

/** Of a longer chain the last ones count, and go on: what is before them is the oldest hearsay. */
const MOST_HOPS = 32;

const NOBODY: readonly string[] = [];
const NO_ELEMENTS: readonly ForwardedElement[] = [];

/** What a trusted proxy says of the way of a request up to itself. */
export interface Account {
  /** At most 32 elements as X-Forwarded-For writes them, the client first, with a comma behind each. */
  readonly chain: string;
  /** The same as elements of a Forwarded field. */
  readonly forwarded: string;
  /** Scheme and host that the client used. */
  readonly scheme: string;
  readonly host: string;
}

/**
 * X-Forwarded-For counts, and a Forwarded field that says something else is written anew from it and from X-Forwarded-Proto
 * and -Host. Without X-Forwarded-For, a well-formed Forwarded field counts instead.
 * @param kept what `believed` says. @param own what the proxy would say itself: its own scheme, the Host of the request.
 */
export function accountOf(fields: FieldBlock, src: Buffer, kept: number, own: { readonly scheme: string; readonly host: string }): Account {
  const listed = (kept & CLAIM.chain) === 0 ? NOBODY : chainSaid(fields, src);
  const elements = (kept & CLAIM.forwarded) === 0 ? NO_ELEMENTS : elementsSaid(fields, src);
  const chain = listed.length > 0 ? listed : elements.map(({ node }) => node);
  const first = listed.length === 0 ? elements.at(0) : undefined;
  const scheme = (kept & CLAIM.proto) === 0 ? schemeIn(first, own.scheme) : valueOf(fields, src, FIELD.xForwardedProto).toLowerCase();
  const host = (kept & CLAIM.host) === 0 ? hostIn(first, own.host) : valueOf(fields, src, FIELD.xForwardedHost);
  const forwarded = agree(chain, elements, scheme, host) ? listOf(linesOf(fields, src, FIELD.forwarded)) : rebuilt(chain, scheme, host);
  return { chain: listOf(chain), forwarded, scheme, host };
}

/**
 * The scheme that the client used, as `accountOf` finds it.
 * @param own the scheme of the connection.
 */
export function schemeSaid(fields: FieldBlock, src: Buffer, own: string): string {
  if ((believed(fields, src) & CLAIM.proto) !== 0) return valueOf(fields, src, FIELD.xForwardedProto).toLowerCase();
  return chainSaid(fields, src).length > 0 ? own : schemeIn(elementsSaid(fields, src).at(0), own);
}

/** The proxies that a request has passed, from the client on, by X-Forwarded-For or else by Forwarded. */
export function chainOf(fields: FieldBlock, src: Buffer): readonly string[] {
  const listed = chainSaid(fields, src);
  return listed.length > 0 ? listed : elementsSaid(fields, src).map(({ node }) => node);
}

function valueOf(fields: FieldBlock, src: Buffer, id: number): string {
  return fields.value(src, fields.find(id));
}

function linesOf(fields: FieldBlock, src: Buffer, id: number): string[] {
  const lines: string[] = [];
  for (let i = 0; i < fields.count; i++) {
    if (fields.ids[i] !== id) continue;
    const value = fields.value(src, i);
    if (value !== '') lines.push(value);
  }
  return lines;
}

/** The elements of X-Forwarded-For, read from the end. */
function chainSaid(fields: FieldBlock, src: Buffer): string[] {
  const chain: string[] = [];
  for (let i = fields.count - 1; i >= 0; i--) {
    if (fields.ids[i] !== FIELD.xForwardedFor) continue;
    const line = fields.value(src, i);
    for (let end = line.length; end >= 0 && chain.length < MOST_HOPS;) {
      const comma = end === 0 ? -1 : line.lastIndexOf(',', end - 1);
      const element = line.slice(comma + 1, end).trim();
      if (element !== '') chain.push(element);
      end = comma;
    }
  }
  return chain.reverse();
}

/** The elements of all Forwarded fields; none when one of them is malformed. */
function elementsSaid(fields: FieldBlock, src: Buffer): ForwardedElement[] {
  const elements: ForwardedElement[] = [];
  for (const line of linesOf(fields, src, FIELD.forwarded)) {
    const found = readForwarded(line);
    if (found === null) return [];
    elements.push(...found);
  }
  return elements.slice(-MOST_HOPS);
}

function schemeIn(element: ForwardedElement | undefined, own: string): string {
  return element?.proto === 'http' || element?.proto === 'https' ? element.proto : own;
}

function hostIn(element: ForwardedElement | undefined, own: string): string {
  if (element === undefined || element.host === '') return own;
  return hostEnd(Buffer.from(element.host, 'latin1'), 0, element.host.length) === -1 ? own : element.host;
}

/** Whether Forwarded says the same as the chain and what else is believed; with fewer elements than there can be, it is all of it. */
function agree(chain: readonly string[], elements: readonly ForwardedElement[], scheme: string, host: string): boolean {
  if (elements.length === 0 || elements.length !== chain.length || elements.length === MOST_HOPS) return false;
  const [{ proto, host: said }] = elements;
  if ((proto !== '' && proto !== scheme) || (said !== '' && said.toLowerCase() !== host.toLowerCase())) return false;
  return chain.every((node, i) => (nodeAddress(node, false) ?? UNKNOWN) === elements[i].node);
}

function rebuilt(chain: readonly string[], scheme: string, host: string): string {
  let list = '';
  for (let i = 0; i < chain.length; i++) {
    const node = forwardedNode(nodeAddress(chain[i], false) ?? UNKNOWN);
    list += i === 0 ? `for=${node};proto=${scheme};host="${host}", ` : `for=${node}, `;
  }
  return list;
}

function listOf(elements: readonly string[]): string {
  let list = '';
  for (let i = 0; i < elements.length; i++) list += `${elements[i]}, `;
  return list;
}
