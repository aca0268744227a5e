/** Little, for there may be many clients that send a few bytes and wait. */
const LEAST_BYTES = 128;

interface HeadParser {
  begin(start: number): void;
  parse(buf: Buffer, to: number): boolean;
}

/** Bytes of a head that arrives in pieces, in one buffer, with the parser that has read so far. */
export class Accumulator<Head> {
  readonly head: Head;
  buf: Buffer;
  length = 0;

  constructor(head: Head, first: Buffer) {
    this.head = head;
    this.buf = Buffer.allocUnsafe(Math.max(LEAST_BYTES, first.length * 2));
    this.append(first);
  }

  /** Takes the first piece, and has it parsed. */
  static begin<Head extends HeadParser>(head: Head, first: Buffer): Accumulator<Head> {
    const all = new Accumulator(head, first);
    head.begin(0);
    head.parse(all.buf, all.length);
    return all;
  }

  append(chunk: Buffer): void {
    if (this.length + chunk.length > this.buf.length) {
      const larger = Buffer.allocUnsafe((this.length + chunk.length) * 2);
      this.buf.copy(larger, 0, 0, this.length);
      this.buf = larger;
    }
    chunk.copy(this.buf, this.length);
    this.length += chunk.length;
  }
}
