import { REJECT } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import { CR, DIGIT, LF, SLASH, SP, TARGET, TOKEN, bytes, isExactly, isWord } from './chars.ts';
import { BAD, CONNECTION, FIELD, FieldBlock, MANY, MORE, connectionBits, contentLength, listNames } from './fields.ts';
import { hostEnd } from './host.ts';

/** Limits of a request head (bytes, and number of fields). */
export interface HeadLimits {
  readonly head: number;
  readonly headers: number;
  readonly target: number;
}

/** How the body of a message is framed (RFC 9112 §6.3). `close` only in responses. */
export const BODY = { none: 0, length: 1, chunked: 2, close: 3 } as const;
export type Body = (typeof BODY)[keyof typeof BODY];

const PROTOCOL = bytes('HTTP/');
const CHUNKED = bytes('chunked');
const CONTINUE = bytes('100-continue');
const TRAILERS = bytes('trailers');
const CONNECT = bytes('connect');
const OPTIONS = bytes('OPTIONS');
const HTTP = bytes('http');
const HTTPS = bytes('https');
const DOT = 0x2e;
/** Never forwarded: a tunnel of HTTP/2 would carry requests past every rule of this proxy (RFC 9113 §3.2 has removed it). */
const H2C = bytes('h2c');
const LONGEST_METHOD = 32;
const TLS_HANDSHAKE = 0x16;

/** So many fit in typed arrays without memory of their own. */
const SMALL_FIELDS = 4;

const STAGE = { line: 0, fields: 1 } as const;

/**
 * A request head (RFC 9112 §3, §5), read strictly: one reading or none. Reused from message to
 * message; every member is an offset into the buffer that was parsed, or what follows from it.
 *
 *     GET /path?query HTTP/1.1 CRLF  fields CRLF CRLF
 *     ▲  ▲            ▲                             ▲
 *     start methodEnd targetEnd                     end
 */
export class RequestHead {
  readonly fields: FieldBlock;
  /** Why the head was refused; null while it is not. */
  fault: Fault | null = null;
  start = 0;
  methodEnd = 0;
  /** Target as it goes upstream: origin-form or `*`. An absolute-form without a path is '' here, which means `/`, or `*` for a `serverWide` one. */
  targetStart = 0;
  targetEnd = 0;
  end = 0;
  /** 0 or 1. */
  minor = 1;
  /** Authority of an absolute-form target (it replaces Host), else the Host value; −1 = none. */
  authorityStart = -1;
  authorityEnd = -1;
  /** End of the host inside the authority. */
  hostEnd = -1;
  absolute = false;
  /** An OPTIONS request for the whole server, in absolute-form: it goes on as `*` (RFC 9112 §3.2.4). */
  serverWide = false;
  body: Body = BODY.none;
  length = 0;
  /** CONNECTION bits of all Connection fields. */
  connection = 0;
  keepAlive = true;
  /** Index of the Upgrade field, when Connection names it too and it may go on; −1 = none. */
  upgrade = -1;
  expectContinue = false;
  /** Max-Forwards of an OPTIONS request (RFC 9110 §7.6.2); −1 = not said, or another method. */
  maxForwards = -1;
  /** The client takes trailers (`TE: trailers`). */
  trailers = false;
  private stage: number = STAGE.line;
  private at = 0;
  private blank = 0;
  private readonly limits: HeadLimits;
  private hosts = 0;

  /** @param room for so many fields at first. */
  constructor(limits: HeadLimits, room = limits.headers) {
    this.limits = limits;
    this.fields = new FieldBlock(limits.headers, Math.min(room, limits.headers));
  }

  /** A head that is kept while it comes in pieces: it begins small, since many clients may send a few bytes and wait. */
  static small(limits: HeadLimits): RequestHead {
    return new RequestHead(limits, SMALL_FIELDS);
  }

  /** Starts a new head at `start`. */
  begin(start: number): void {
    this.stage = STAGE.line;
    this.start = start;
    this.at = start;
    this.blank = 0;
    this.fault = null;
  }

  /**
   * Parses as much as there is in bytes [start, to).
   * @returns true when the head is complete and valid; false when bytes are missing, or when `fault` says why it is refused.
   */
  parse(buf: Buffer, to: number): boolean {
    if (this.stage === STAGE.line && !this.requestLine(buf, Math.min(to, this.start + this.limits.head))) {
      if (this.fault === null && to >= this.start + this.limits.head) this.fault = REJECT.headTooLarge;
      return false;
    }
    // Taken anew: `start` has moved behind empty lines, and the limit must not depend on how the bytes were cut.
    const limit = this.start + this.limits.head;
    const stop = Math.min(to, limit);
    const end = this.fields.parse(buf, stop);
    if (end > 0) {
      this.end = end;
      this.fault = this.judge(buf);
      return this.fault === null;
    }
    if (end === BAD) this.fault = REJECT.badField;
    else if (end === MANY || (end === MORE && stop === limit)) this.fault = REJECT.headTooLarge;
    return false;
  }

  private requestLine(buf: Buffer, to: number): boolean {
    let at = this.at;
    // RFC 9112 §2.2: at least one empty line before the request line is ignored.
    while (at < to && buf[at] === CR && this.blank < 2) {
      if (at + 1 === to) return false;
      if (buf[at + 1] !== LF) return this.refuse(REJECT.malformed);
      at += 2;
      this.blank++;
      this.at = at;
    }
    if (at === to) return false;
    if (buf[at] === TLS_HANDSHAKE) return this.refuse(REJECT.tls);
    const start = at;
    while (at < to && TOKEN[buf[at]] === 1) at++;
    if (at - start > LONGEST_METHOD) return this.refuse(REJECT.notImplemented);
    if (at === to) return false;
    if (at === start || buf[at] !== SP) return this.refuse(REJECT.badMethod);
    const methodEnd = at++;
    const targetStart = at;
    const longest = Math.min(to, targetStart + this.limits.target + 1);
    while (at < longest && TARGET[buf[at]] === 1) at++;
    if (at - targetStart > this.limits.target) return this.refuse(REJECT.targetTooLong);
    if (at === to) return false;
    if (at === targetStart || buf[at] !== SP) return this.refuse(REJECT.badTarget);
    const targetEnd = at++;
    if (!this.version(buf, at, to)) return false;
    at += 10;
    // A line that begins with white space after the start line is left to the field parser, which refuses it.
    this.start = start;
    this.methodEnd = methodEnd;
    this.stage = STAGE.fields;
    this.fields.begin(at);
    return this.target(buf, targetStart, targetEnd);
  }

  private version(buf: Buffer, from: number, to: number): boolean {
    const have = Math.min(to - from, 10);
    for (let i = 0; i < have; i++) if (!isVersionByte(buf[from + i], i)) return this.refuse(REJECT.malformed);
    if (have < 10) return false;
    if (buf[from + 5] !== 0x31 || buf[from + 7] > 0x31) return this.refuse(REJECT.version);
    this.minor = buf[from + 7] - 0x30;
    return true;
  }

  private target(buf: Buffer, from: number, to: number): boolean {
    this.absolute = false;
    this.serverWide = false;
    this.authorityStart = -1;
    this.targetStart = from;
    this.targetEnd = to;
    // Methods are case-sensitive, but what some backend might take for CONNECT is refused too.
    if (isWord(buf, this.start, this.methodEnd, CONNECT)) return this.refuse(REJECT.notImplemented);
    if (buf[from] === SLASH) return true;
    const method = buf.toString('latin1', this.start, this.methodEnd);
    if (to - from === 1 && buf[from] === 0x2a) return method === 'OPTIONS' || this.refuse(REJECT.badTarget);
    return this.absoluteForm(buf, from, to, method);
  }

  private absoluteForm(buf: Buffer, from: number, to: number, method: string): boolean {
    let at = from;
    while (at < to && buf[at] !== 0x3a) at++;
    if (!isWord(buf, from, at, HTTP) && !isWord(buf, from, at, HTTPS)) return this.refuse(REJECT.badTarget);
    if (at + 3 >= to || buf[at + 1] !== SLASH || buf[at + 2] !== SLASH) return this.refuse(REJECT.badTarget);
    at += 3;
    const authority = at;
    while (at < to && buf[at] !== SLASH && buf[at] !== 0x3f) at++;
    const host = hostEnd(buf, authority, at);
    if (host === -1) return this.refuse(REJECT.badTarget);
    this.absolute = true;
    this.authorityStart = authority;
    this.authorityEnd = at;
    this.hostEnd = host;
    this.serverWide = at === to && method === 'OPTIONS';
    this.targetStart = at;
    this.targetEnd = to;
    return true;
  }

  private refuse(fault: Fault): false {
    this.fault = fault;
    return false;
  }

  /** What the fields mean together (RFC 9112 §6.3, RFC 9110 §7.2, §7.6.1, §10.1.1). */
  private judge(buf: Buffer): Fault | null {
    this.body = BODY.none;
    this.length = 0;
    this.connection = 0;
    this.upgrade = -1;
    this.expectContinue = false;
    this.maxForwards = -1;
    this.trailers = false;
    this.hosts = 0;
    let lengths = 0;
    let codings = 0;
    const { ids, spans, count } = this.fields;
    for (let i = 0; i < count; i++) {
      const id = ids[i];
      if (id === FIELD.other) continue;
      const from = spans[i * 4 + 2];
      const to = spans[i * 4 + 3];
      if (id === FIELD.host) {
        if (++this.hosts > 1 || !this.host(buf, from, to)) return REJECT.badHost;
      } else if (id === FIELD.connection) this.connection |= connectionBits(buf, from, to);
      else if (id === FIELD.contentLength) {
        this.length = contentLength(buf, from, to);
        if (++lengths > 1 || this.length === -1) return REJECT.badFraming;
        this.body = BODY.length;
      } else if (id === FIELD.transferEncoding) {
        if (++codings > 1 || from === to) return REJECT.badFraming;
        if (!isWord(buf, from, to, CHUNKED)) return REJECT.notImplemented;
      } else if (id === FIELD.upgrade) this.upgrade = this.upgrade === -1 && !listNames(buf, from, to, H2C, 0, H2C.length) ? i : -2;
      else if (id === FIELD.te) this.trailers ||= isWord(buf, from, to, TRAILERS);
      else if (id === FIELD.expect) {
        if (!isWord(buf, from, to, CONTINUE)) return REJECT.expectation;
        this.expectContinue = true;
      } else if (id === FIELD.maxForwards && isExactly(buf, this.start, this.methodEnd, OPTIONS)) {
        if (this.maxForwards !== -1) return REJECT.badField;
        this.maxForwards = contentLength(buf, from, to);
        if (this.maxForwards === -1) return REJECT.badField;
      }
    }
    if (codings > 0) {
      if (lengths > 0 || this.minor === 0) return REJECT.badFraming;
      this.body = BODY.chunked;
    }
    if (this.hosts === 0 && this.minor === 1) return REJECT.badHost;
    if ((this.connection & CONNECTION.bad) !== 0) return REJECT.badField;
    return this.persistence();
  }

  private host(buf: Buffer, from: number, to: number): boolean {
    const end = hostEnd(buf, from, to);
    if (end === -1) return false;
    if (this.absolute) return true;
    this.authorityStart = from;
    this.authorityEnd = to;
    this.hostEnd = end;
    return true;
  }

  private persistence(): null {
    const bits = this.connection;
    this.keepAlive = (bits & CONNECTION.close) === 0 && (this.minor === 1 || (bits & CONNECTION.keepAlive) !== 0);
    // An upgrade with a body would leave two readings of what follows it: it goes on as a plain request.
    if ((bits & CONNECTION.upgrade) === 0 || this.minor === 0 || this.upgrade < 0 || this.body !== BODY.none) this.upgrade = -1;
    if (this.minor === 0) this.expectContinue = false;
    return null;
  }
}

/** `HTTP/` DIGIT `.` DIGIT CRLF, by position; the name is case-sensitive (RFC 9112 §2.3). */
function isVersionByte(code: number, position: number): boolean {
  if (position < 5) return code === PROTOCOL[position];
  if (position === 6) return code === DOT;
  if (position < 8) return DIGIT[code] === 1;
  return code === (position === 8 ? CR : LF);
}
