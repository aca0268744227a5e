import { CR, DIGIT, LF, SP, VALUE, bytes, isWord } from './chars.ts';
import { CONNECTION, FIELD, FieldBlock, MORE, connectionBits, contentLength } from './fields.ts';
import { BODY } from './request-head.ts';
import type { Body } from './request-head.ts';

const CHUNKED = bytes('chunked');
const STATUS_LINE = bytes('HTTP/1.');
const LONGEST_HEAD = 65_536;
const MOST_FIELDS = 256;

/** What kind of request is being answered: it decides whether a body follows (RFC 9112 §6.3). */
export interface Asked {
  readonly head: boolean;
  /** Index of an upgrade that was forwarded. */
  readonly upgrade: boolean;
}

/**
 * A response head of a backend (RFC 9112 §4), read strictly. A backend may be hostile or broken too:
 * anything with two readings is refused, and the connection it came on is never used again.
 */
export class ResponseHead {
  readonly fields = new FieldBlock(MOST_FIELDS);
  /** What is wrong with it, in a few words; null while nothing is. */
  problem: string | null = null;
  start = 0;
  end = 0;
  status = 0;
  /** Span of the reason phrase. */
  reasonStart = 0;
  reasonEnd = 0;
  minor = 1;
  body: Body = BODY.none;
  length = 0;
  connection = 0;
  /** The backend keeps the connection open after this message. */
  keepAlive = true;
  /** There was a Date field. */
  dated = false;
  /** Index of the Content-Type field, or −1. */
  contentType = -1;
  /** Seconds of `Keep-Alive: timeout=N`; −1 = not said. */
  keepAliveSeconds = -1;
  private inFields = false;
  private at = 0;

  begin(start: number): void {
    this.inFields = false;
    this.start = start;
    this.at = start;
    this.problem = null;
  }

  /**
   * Parses as much as there is in bytes [start, to).
   * @returns true when the head is complete and valid; false when bytes are missing, or when `problem` says why it is refused.
   */
  parse(buf: Buffer, to: number, asked: Asked): boolean {
    const limit = this.start + LONGEST_HEAD;
    const stop = Math.min(to, limit);
    if (!this.inFields && !this.statusLine(buf, stop)) {
      if (this.problem === null && stop === limit) this.problem = 'the head is too large';
      return false;
    }
    const end = this.fields.parse(buf, stop);
    if (end > 0) {
      this.end = end;
      this.problem = this.judge(buf, asked);
      return this.problem === null;
    }
    if (end !== MORE) this.problem = 'a header field is not valid or there are too many';
    else if (stop === limit) this.problem = 'the head is too large';
    return false;
  }

  private statusLine(buf: Buffer, to: number): boolean {
    const from = this.at;
    for (let i = 0; i < 13; i++) {
      if (from + i >= to) return false;
      if (!isStatusByte(buf[from + i], i)) return this.refuse('the status line is not valid');
    }
    let at = from + 13;
    while (at < to && VALUE[buf[at]] === 1) at++;
    if (at === to) return false;
    if (buf[at] !== CR) return this.refuse('the status line is not valid');
    if (at + 1 === to) return false;
    if (buf[at + 1] !== LF) return this.refuse('the status line is not valid');
    this.minor = buf[from + 7] - 0x30;
    this.status = (buf[from + 9] - 0x30) * 100 + (buf[from + 10] - 0x30) * 10 + (buf[from + 11] - 0x30);
    if (this.status < 100 || this.status > 599) return this.refuse('the status is not 100 to 599');
    this.reasonStart = from + 13;
    this.reasonEnd = at;
    this.inFields = true;
    this.fields.begin(at + 2);
    return true;
  }

  private refuse(problem: string): false {
    this.problem = problem;
    return false;
  }

  private judge(buf: Buffer, asked: Asked): string | null {
    let lengths = 0;
    let codings = 0;
    this.connection = 0;
    this.dated = false;
    this.contentType = -1;
    this.keepAliveSeconds = -1;
    this.length = 0;
    const { ids, spans, count } = this.fields;
    for (let i = 0; i < count; i++) {
      const id = ids[i];
      if (id === FIELD.other) continue;
      const from = spans[i * 4 + 2];
      const to = spans[i * 4 + 3];
      if (id === FIELD.contentLength) {
        this.length = contentLength(buf, from, to);
        if (++lengths > 1 || this.length === -1) return 'Content-Length is not valid';
      } else if (id === FIELD.transferEncoding) {
        if (++codings > 1 || !isWord(buf, from, to, CHUNKED)) return 'Transfer-Encoding is not exactly chunked';
      } else if (id === FIELD.connection) this.connection |= connectionBits(buf, from, to);
      else if (id === FIELD.date) this.dated = true;
      else if (id === FIELD.contentType) this.contentType = i;
      else if (id === FIELD.keepAlive) this.keepAliveSeconds = timeoutOf(buf.toString('latin1', from, to));
    }
    if (codings > 0 && (lengths > 0 || this.minor === 0)) return 'the body is framed in two ways';
    if ((this.connection & CONNECTION.bad) !== 0) return 'Connection is not a list of tokens';
    if (this.status === 101 && !asked.upgrade) return 'it switches protocols without being asked';
    this.keepAlive = (this.connection & CONNECTION.close) === 0 && (this.minor === 1 || (this.connection & CONNECTION.keepAlive) !== 0);
    if (asked.head || this.status < 200 || this.status === 204 || this.status === 304) this.body = BODY.none;
    else if (codings > 0) this.body = BODY.chunked;
    else if (lengths > 0) this.body = BODY.length;
    else {
      this.body = BODY.close;
      this.keepAlive = false;
    }
    return null;
  }
}

/** `HTTP/1.` 0|1 SP 3DIGIT SP, by position. */
function isStatusByte(code: number, position: number): boolean {
  if (position < 7) return code === STATUS_LINE[position];
  if (position === 7) return code === 0x30 || code === 0x31;
  if (position === 8 || position === 12) return code === SP;
  return DIGIT[code] === 1;
}

function timeoutOf(value: string): number {
  const match = /(?:^|[\s,])timeout=(\d{1,6})/i.exec(value);
  return match === null ? -1 : Number(match[1]);
}
