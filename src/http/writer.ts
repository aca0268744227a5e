import { Views } from './views.ts';

const HEX_DIGITS = Buffer.from('0123456789abcdef', 'latin1');
/** Up to so many bytes, a loop is cheaper than the call into the runtime (some 60 ns). */
const BY_HAND = 24;

/** Grows a head in a buffer of its own; handed out with `take`, after which it begins anew. */
export class HeadWriter {
  private buf: Buffer;
  private views: Views;
  private at = 0;

  constructor(size = 4096) {
    this.buf = Buffer.allocUnsafeSlow(size);
    this.views = new Views(this.buf);
  }

  begin(): void {
    this.at = 0;
  }

  get length(): number {
    return this.at;
  }

  private room(bytes: number): void {
    if (this.at + bytes <= this.buf.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buf.length * 2, this.at + bytes));
    this.buf.copy(larger, 0, 0, this.at);
    this.buf = larger;
    this.views = new Views(larger);
  }

  /** Forgets all that was written from offset `at` on. */
  cut(at: number): void {
    this.at = at;
  }

  copy(source: Buffer, from: number, to: number): void {
    const size = to - from;
    this.room(size);
    if (size > BY_HAND) source.copy(this.buf, this.at, from, to);
    else for (let i = 0; i < size; i++) this.buf[this.at + i] = source[from + i];
    this.at += size;
  }

  /** Bytes of an ASCII or latin1 text. */
  text(text: string): void {
    const size = text.length;
    this.room(size);
    if (size > BY_HAND) this.buf.write(text, this.at, 'latin1');
    else for (let i = 0; i < size; i++) this.buf[this.at + i] = text.charCodeAt(i);
    this.at += size;
  }

  /** Bytes [from, to) as lower-case hex digits. */
  hex(source: Buffer, from: number, to: number): void {
    this.room((to - from) * 2);
    let { at } = this;
    for (let i = from; i < to; i++) {
      this.buf[at++] = HEX_DIGITS[source[i] >> 4];
      this.buf[at++] = HEX_DIGITS[source[i] & 15];
    }
    this.at = at;
  }

  bytes(source: Buffer): void {
    this.copy(source, 0, source.length);
  }

  /** What was written, not copied: good until the next `begin`, unless the buffer is given away. */
  view(): Buffer {
    return this.views.upTo(this.at);
  }

  /** Whoever has the view keeps it: the writer goes on with another buffer. */
  giveAway(): void {
    this.buf = Buffer.allocUnsafeSlow(this.buf.length);
    this.views = new Views(this.buf);
  }

  /** A copy of what was written, with bytes [from, to) of `body` behind it. */
  take(body: Buffer | null = null, from = 0, to = 0): Buffer {
    const out = Buffer.allocUnsafe(this.at + to - from);
    this.buf.copy(out, 0, 0, this.at);
    if (body !== null) body.copy(out, this.at, from, to);
    this.at = 0;
    return out;
  }
}

const CRLF = '\r\n';

/** The size line of a chunk. */
export function chunkSize(size: number): string {
  return size.toString(16) + CRLF;
}

export const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');
export const CHUNK_END = Buffer.from(CRLF, 'latin1');
