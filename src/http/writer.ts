/** Grows a head in a buffer of its own; handed out with `take`, after which it begins anew. */
export class HeadWriter {
  private buf: Buffer;
  private at = 0;

  constructor(size = 4096) {
    this.buf = Buffer.allocUnsafeSlow(size);
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
  }

  copy(source: Buffer, from: number, to: number): void {
    this.room(to - from);
    source.copy(this.buf, this.at, from, to);
    this.at += to - from;
  }

  /** Bytes of an ASCII or latin1 text. */
  text(text: string): void {
    this.room(text.length);
    this.buf.write(text, this.at, 'latin1');
    this.at += text.length;
  }

  bytes(source: Buffer): void {
    this.copy(source, 0, source.length);
  }

  /** What was written, not copied: good until the next `begin`, unless the buffer is given away. */
  view(): Buffer {
    return this.buf.subarray(0, this.at);
  }

  /** Whoever has the view keeps it: the writer goes on with another buffer. */
  giveAway(): void {
    this.buf = Buffer.allocUnsafeSlow(this.buf.length);
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
