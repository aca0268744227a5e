import { CR, HEX, LF, TOKEN, VALUE } from './chars.ts';
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

const STATE = { size: 0, sizeLf: 1, data: 2, dataCr: 3, dataLf: 4, trailers: 5, ended: 6, extension: 7 } as const;

/**
 * Where in `*( ";" token [ "=" ( token / quoted-string ) ] )` the reader is. RFC 9112 §7.1.1 would have white space
 * around `;` and `=` tolerated; nobody sends it, and readers that treat it differently can be played against each other.
 */
const EXT = { semicolon: 0, name: 1, equals: 2, value: 3, quoted: 4, escape: 5, quoteEnd: 6 } as const;

const SIZE_DIGITS = 14;
const EXTENSION_LIMIT = 16_384;
const TRAILER_LIMIT = 8_192;
const TRAILER_FIELDS = 32;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Reads a chunked body (RFC 9112 §7.1), strictly and across any cuts of the bytes. A size is 1 to 14
 * hex digits; a line ends in CRLF and nothing else; extensions are bounded over the whole body, checked
 * byte by byte and dropped; trailers are kept for the caller (`trailers` over `trailerBytes`).
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
  private ext: number = EXT.semicolon;
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
        return this.digits > 0 && this.partEnds(code);
      }
      case STATE.extension:
        return (code === CR || ++this.extension <= EXTENSION_LIMIT) && this.extensionStep(code);
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

  /** After a size, a name or a value: the line ends, or a further extension begins. */
  private partEnds(code: number): boolean {
    this.state = code === CR ? STATE.sizeLf : STATE.extension;
    this.ext = EXT.semicolon;
    return code === CR || code === SEMICOLON;
  }

  private extensionStep(code: number): boolean {
    switch (this.ext) {
      case EXT.semicolon:
        this.ext = EXT.name;
        return TOKEN[code] === 1;
      case EXT.name:
        if (TOKEN[code] === 1) return true;
        if (code !== EQUALS) return this.partEnds(code);
        this.ext = EXT.equals;
        return true;
      case EXT.equals:
        this.ext = code === QUOTE ? EXT.quoted : EXT.value;
        return code === QUOTE || TOKEN[code] === 1;
      case EXT.value:
        return TOKEN[code] === 1 || this.partEnds(code);
      case EXT.quoted:
        if (code === QUOTE) this.ext = EXT.quoteEnd;
        else if (code === BACKSLASH) this.ext = EXT.escape;
        return VALUE[code] === 1;
      case EXT.escape:
        this.ext = EXT.quoted;
        return VALUE[code] === 1;
      default:
        return this.partEnds(code);
    }
  }

  private trailerPart(buf: Buffer, from: number, to: number): number {
    // Nearly every body ends without trailers, its last four bytes in one piece.
    if (this.block === null && to - from >= 2 && buf[from] === CR && buf[from + 1] === LF) return this.finish(from + 2);
    const have = this.trailerBytes?.length ?? 0;
    const take = Math.min(to - from, TRAILER_LIMIT - have);
    this.trailerBytes =
      this.trailerBytes === null ? Buffer.from(buf.subarray(from, from + take)) : Buffer.concat([this.trailerBytes, buf.subarray(from, from + take)]);
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
