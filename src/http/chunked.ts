import { CR, HEX, LF, VALUE } from './chars.ts';
import { FieldBlock, MORE } from './fields.ts';

/** What `next` has found. */
export const CHUNK = {
  /** All bytes are used up; the body goes on. */
  more: 0,
  /** Bytes [dataStart, dataEnd) are body. */
  data: 1,
  /** The body has ended; `at` is just after it. */
  end: 2,
  bad: 3,
} as const;

const STATE = { size: 0, extension: 1, sizeLf: 2, data: 3, dataCr: 4, dataLf: 5, trailers: 6, ended: 7 } as const;

const SIZE_DIGITS = 14;
const EXTENSION_LIMIT = 16_384;
const TRAILER_LIMIT = 8_192;
const TRAILER_FIELDS = 32;
const SEMICOLON = 0x3b;

/**
 * Reads a chunked body (RFC 9112 §7.1), strictly and across any cuts of the bytes. A size is 1 to 14
 * hex digits; a line ends in CRLF and nothing else; extensions are bounded over the whole body, checked
 * for control bytes and dropped; trailers are kept for the caller (`trailers` over `trailerBytes`).
 */
export class ChunkedReader {
  dataStart = 0;
  dataEnd = 0;
  at = 0;
  /** Parsed trailer fields; null when there were none. */
  trailers: FieldBlock | null = null;
  trailerBytes: Buffer | null = null;
  private state: number = STATE.size;
  private remaining = 0;
  private digits = 0;
  private extension = 0;
  private block: FieldBlock | null = null;

  reset(): void {
    this.state = STATE.size;
    this.remaining = 0;
    this.digits = 0;
    this.extension = 0;
    this.trailers = null;
    this.trailerBytes = null;
    this.block = null;
  }

  /** Goes on at `from`; call again from `at` until it answers `more`, `end` or `bad`. */
  next(buf: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to) {
      const state = this.state;
      if (state === STATE.data) {
        this.dataStart = at;
        this.dataEnd = Math.min(to, at + this.remaining);
        this.remaining -= this.dataEnd - at;
        if (this.remaining === 0) this.state = STATE.dataCr;
        this.at = this.dataEnd;
        return CHUNK.data;
      }
      if (state === STATE.trailers) return this.trailerPart(buf, at, to);
      if (!this.step(state, buf[at])) return CHUNK.bad;
      at++;
    }
    this.at = at;
    return CHUNK.more;
  }

  /** One byte of the lines around the data. */
  private step(state: number, code: number): boolean {
    switch (state) {
      case STATE.size: {
        const digit = HEX[code];
        if (digit !== 255) {
          this.remaining = this.remaining * 16 + digit;
          return ++this.digits <= SIZE_DIGITS && this.remaining <= Number.MAX_SAFE_INTEGER;
        }
        if (this.digits === 0) return false;
        this.state = code === CR ? STATE.sizeLf : STATE.extension;
        return code === CR || code === SEMICOLON;
      }
      case STATE.extension:
        if (code === CR) this.state = STATE.sizeLf;
        return code === CR || (VALUE[code] === 1 && ++this.extension <= EXTENSION_LIMIT);
      case STATE.sizeLf:
        this.digits = 0;
        this.state = this.remaining === 0 ? STATE.trailers : STATE.data;
        return code === LF;
      case STATE.dataCr:
        this.state = STATE.dataLf;
        return code === CR;
      case STATE.dataLf:
        this.state = STATE.size;
        return code === LF;
      default:
        return false;
    }
  }

  private trailerPart(buf: Buffer, from: number, to: number): number {
    // Nearly every body ends without trailers, its last four bytes in one piece.
    if (this.block === null && to - from >= 2 && buf[from] === CR && buf[from + 1] === LF) return this.finish(from + 2);
    const have = this.trailerBytes?.length ?? 0;
    const take = Math.min(to - from, TRAILER_LIMIT - have);
    this.trailerBytes = this.trailerBytes === null ? Buffer.from(buf.subarray(from, from + take)) : Buffer.concat([this.trailerBytes, buf.subarray(from, from + take)]);
    if (this.block === null) {
      this.block = new FieldBlock(TRAILER_FIELDS);
      this.block.begin(0);
    }
    const end = this.block.parse(this.trailerBytes, this.trailerBytes.length);
    if (end > 0) {
      if (this.block.count > 0) this.trailers = this.block;
      return this.finish(from + end - have);
    }
    if (end !== MORE || this.trailerBytes.length === TRAILER_LIMIT) return CHUNK.bad;
    this.at = to;
    return CHUNK.more;
  }

  private finish(at: number): number {
    this.state = STATE.ended;
    this.at = at;
    return CHUNK.end;
  }
}
