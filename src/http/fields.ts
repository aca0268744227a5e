import { COLON, COMMA, CR, FOLD, HTAB, LF, SP, TOKEN, VALUE, bytes, isWord } from './chars.ts';

/** Field names that the proxy knows; 0 is every other. */
export const FIELD = {
  other: 0,
  /** Written with `_` where a known name has `-`: never passed on, an application might take it for that name. */
  alias: 1,
  host: 2,
  connection: 3,
  contentLength: 4,
  transferEncoding: 5,
  keepAlive: 6,
  proxyConnection: 7,
  te: 8,
  trailer: 9,
  upgrade: 10,
  http2Settings: 11,
  expect: 12,
  via: 13,
  forwarded: 14,
  xForwardedFor: 15,
  xForwardedHost: 16,
  xForwardedProto: 17,
  xForwardedPort: 18,
  xRequestId: 19,
  traceparent: 20,
  tracestate: 21,
  cookie: 22,
  date: 23,
  contentType: 24,
  accept: 25,
  maxForwards: 26,
  xRealIp: 27,
  authorization: 28,
  cacheControl: 29,
  contentEncoding: 30,
  xForwardedPrefix: 31,
} as const;

const NAMES: readonly [string, number][] = [
  ['host', FIELD.host],
  ['connection', FIELD.connection],
  ['content-length', FIELD.contentLength],
  ['transfer-encoding', FIELD.transferEncoding],
  ['keep-alive', FIELD.keepAlive],
  ['proxy-connection', FIELD.proxyConnection],
  ['te', FIELD.te],
  ['trailer', FIELD.trailer],
  ['upgrade', FIELD.upgrade],
  ['http2-settings', FIELD.http2Settings],
  ['expect', FIELD.expect],
  ['via', FIELD.via],
  ['forwarded', FIELD.forwarded],
  ['x-forwarded-for', FIELD.xForwardedFor],
  ['x-forwarded-host', FIELD.xForwardedHost],
  ['x-forwarded-proto', FIELD.xForwardedProto],
  ['x-forwarded-port', FIELD.xForwardedPort],
  ['x-request-id', FIELD.xRequestId],
  ['traceparent', FIELD.traceparent],
  ['tracestate', FIELD.tracestate],
  ['cookie', FIELD.cookie],
  ['date', FIELD.date],
  ['content-type', FIELD.contentType],
  ['accept', FIELD.accept],
  ['max-forwards', FIELD.maxForwards],
  ['x-real-ip', FIELD.xRealIp],
  ['authorization', FIELD.authorization],
  ['cache-control', FIELD.cacheControl],
  ['content-encoding', FIELD.contentEncoding],
  ['x-forwarded-prefix', FIELD.xForwardedPrefix],
];

/** The name of each FIELD but `other` and `alias`, in lower case. */
export const FIELD_NAMES: readonly (string | undefined)[] = Object.values(FIELD).map((id) => NAMES.find(([, known]) => known === id)?.[0]);

interface KnownName {
  readonly name: Uint8Array;
  readonly id: number;
}
const LONGEST = Math.max(...NAMES.map(([name]) => name.length));
const BY_LENGTH: readonly (readonly KnownName[])[] = Array.from({ length: LONGEST + 1 }, (_, length) =>
  NAMES.filter(([name]) => name.length === length).map(([name, id]) => ({ name: bytes(name), id })),
);
const UNDERSCORE = 0x5f;

/** The FIELD of a field name in bytes [from, to). */
export function fieldId(buf: Uint8Array, from: number, to: number): number {
  const length = to - from;
  if (length > LONGEST) return FIELD.other;
  const candidates = BY_LENGTH[length];
  next: for (let c = 0; c < candidates.length; c++) {
    const { name, id } = candidates[c];
    let alias = false;
    for (let i = 0; i < length; i++) {
      const code = buf[from + i];
      if (FOLD[code] !== name[i]) continue next;
      if (code === UNDERSCORE) alias = true;
    }
    return alias ? FIELD.alias : id;
  }
  return FIELD.other;
}

export const MORE = 0;
export const BAD = -1;
/** Too many fields. */
export const MANY = -2;

/**
 * A block of field lines (RFC 9112 §5), read strictly: a token, a colon, optional white space, a
 * value without control bytes, CRLF. No folding, no space before the colon, no bare CR or LF.
 *
 *     spans   nameStart · nameEnd · valueStart · valueEnd   (per field; value without outer white space)
 *     ids     FIELD of each name
 *
 * All are offsets into the buffer that was parsed. A field's raw line runs from its nameStart to the next
 * field's, or to `end` − 2 for the last.
 */
export class FieldBlock {
  spans: Int32Array;
  ids: Uint8Array;
  readonly max: number;
  count = 0;
  /** Start of the first field line. */
  start = 0;
  /** Just after the empty line, once the block is complete. */
  end = 0;
  private at = 0;
  /** Inside the line at `at`: its colon, once it was found, and how far the line was read. Both are used only past `at`. */
  private colon = 0;
  private read = 0;

  /** @param room for so many fields at first; a head that is kept while it comes in begins small. */
  constructor(max: number, room = max) {
    this.max = max;
    this.spans = new Int32Array(room * 4);
    this.ids = new Uint8Array(room);
  }

  private grow(): void {
    const { spans, ids } = this;
    const room = Math.min(this.max, Math.max(1, ids.length * 2));
    this.spans = new Int32Array(room * 4);
    this.spans.set(spans);
    this.ids = new Uint8Array(room);
    this.ids.set(ids);
  }

  begin(at: number): void {
    this.count = 0;
    this.start = at;
    this.at = at;
    this.colon = at;
    this.read = at;
    this.end = 0;
  }

  /**
   * Goes on where it stopped: no byte is looked at twice, however the bytes were cut.
   * @returns offset after the empty line, MORE, BAD or MANY.
   */
  parse(buf: Uint8Array, to: number): number {
    let at = this.at;
    for (;;) {
      if (at >= to) break;
      if (buf[at] === CR) {
        if (at + 1 >= to) break;
        if (buf[at + 1] !== LF) return BAD;
        this.end = at + 2;
        return this.end;
      }
      if (this.count === this.max) return MANY;
      const next = this.read > at ? this.lineRest(buf, at, to) : this.line(buf, at, at, to);
      if (next <= 0) return next;
      at = next;
      this.at = at;
    }
    return MORE;
  }

  private lineRest(buf: Uint8Array, start: number, to: number): number {
    return this.colon > start ? this.lineValue(buf, start, this.colon, this.read, to) : this.line(buf, start, this.read, to);
  }

  /** A line from `start`, the beginning of its name read up to `from`. */
  private line(buf: Uint8Array, start: number, from: number, to: number): number {
    let at = from;
    while (at < to && TOKEN[buf[at]] === 1) at++;
    if (at === to) return this.stop(start, at);
    if (at === start || buf[at] !== COLON) return BAD;
    return this.lineValue(buf, start, at, at + 1, to);
  }

  /** The rest of a line whose name ends at `colon`, its value read up to `from`. */
  private lineValue(buf: Uint8Array, start: number, colon: number, from: number, to: number): number {
    let at = from;
    while (at < to && VALUE[buf[at]] === 1) at++;
    if (at === to) return this.stop(colon, at);
    if (buf[at] !== CR) return BAD;
    if (at + 1 === to) return this.stop(colon, at);
    if (buf[at + 1] !== LF) return BAD;
    let first = colon + 1;
    let last = at;
    while (first < last && (buf[first] === SP || buf[first] === HTAB)) first++;
    while (last > first && (buf[last - 1] === SP || buf[last - 1] === HTAB)) last--;
    if (this.count === this.ids.length) this.grow();
    const span = this.count * 4;
    this.spans[span] = start;
    this.spans[span + 1] = colon;
    this.spans[span + 2] = first;
    this.spans[span + 3] = last;
    this.ids[this.count] = fieldId(buf, start, colon);
    this.count++;
    return at + 2;
  }

  /** Notes where an incomplete line was left: `colon` is its start as long as none was found. */
  private stop(colon: number, read: number): number {
    this.colon = colon;
    this.read = read;
    return MORE;
  }

  /** Offset after the raw line of field `i`. */
  lineEnd(i: number): number {
    return i + 1 < this.count ? this.spans[(i + 1) * 4] : this.end - 2;
  }

  /** Index of the first field with this FIELD, or −1. */
  find(id: number): number {
    for (let i = 0; i < this.count; i++) if (this.ids[i] === id) return i;
    return -1;
  }

  /** Whether a Connection field names the field in bytes [nameStart, nameEnd) (RFC 9110 §7.6.1). */
  nominates(buf: Uint8Array, nameStart: number, nameEnd: number): boolean {
    for (let i = 0; i < this.count; i++) {
      if (this.ids[i] === FIELD.connection && listNames(buf, this.spans[i * 4 + 2], this.spans[i * 4 + 3], buf, nameStart, nameEnd)) return true;
    }
    return false;
  }

  /** Value of field `i` as a latin1 string. */
  value(buf: Buffer, i: number): string {
    return buf.toString('latin1', this.spans[i * 4 + 2], this.spans[i * 4 + 3]);
  }
}

/** What a Connection field says (RFC 9110 §7.6.1), as bits. */
export const CONNECTION = { close: 1, keepAlive: 2, upgrade: 4, te: 8, other: 16, bad: 32 } as const;
const CLOSE = bytes('close');
const KEEP_ALIVE = bytes('keep-alive');
const UPGRADE = bytes('upgrade');
const TE = bytes('te');

/** Bits of a Connection value in bytes [from, to). Empty list elements are allowed (RFC 9110 §5.6.1.2); what is not a token list is `bad`. */
export function connectionBits(buf: Uint8Array, from: number, to: number): number {
  let bits = 0;
  let at = from;
  while (at < to) {
    while (at < to && (buf[at] === COMMA || buf[at] === SP || buf[at] === HTAB)) at++;
    const start = at;
    while (at < to && TOKEN[buf[at]] === 1) at++;
    if (at > start) bits |= connectionBit(buf, start, at);
    while (at < to && (buf[at] === SP || buf[at] === HTAB)) at++;
    if (at < to && buf[at] !== COMMA) return bits | CONNECTION.bad;
  }
  return bits;
}

function connectionBit(buf: Uint8Array, from: number, to: number): number {
  if (isWord(buf, from, to, KEEP_ALIVE)) return CONNECTION.keepAlive;
  if (isWord(buf, from, to, CLOSE)) return CONNECTION.close;
  if (isWord(buf, from, to, UPGRADE)) return CONNECTION.upgrade;
  if (isWord(buf, from, to, TE)) return CONNECTION.te;
  return CONNECTION.other;
}

/** Whether a list of tokens in bytes [from, to) has the word in bytes [nameFrom, nameTo) of `names`, in any case. */
export function listNames(buf: Uint8Array, from: number, to: number, names: Uint8Array, nameFrom: number, nameTo: number): boolean {
  let at = from;
  while (at < to) {
    while (at < to && TOKEN[buf[at]] === 0) at++;
    const start = at;
    while (at < to && TOKEN[buf[at]] === 1) at++;
    if (at - start === nameTo - nameFrom && at > start) {
      let i = 0;
      while (i < at - start && FOLD[buf[start + i]] === FOLD[names[nameFrom + i]]) i++;
      if (i === at - start) return true;
    }
  }
  return false;
}

/**
 * Content-Length as digits only (RFC 9110 §8.6), at most 2^53 − 1.
 * @returns −1 for anything else.
 */
export function contentLength(buf: Uint8Array, from: number, to: number): number {
  if (from === to || to - from > 19) return -1;
  let length = 0;
  for (let at = from; at < to; at++) {
    const digit = buf[at] - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length <= Number.MAX_SAFE_INTEGER ? length : -1;
}
