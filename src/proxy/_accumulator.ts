/** Bytes of a head that arrives in pieces, in one buffer, with the parser that has read so far. */
export class Accumulator<Head> {
  readonly head: Head;
  buf: Buffer;
  length = 0;

  constructor(head: Head, first: Buffer) {
    this.head = head;
    this.buf = Buffer.allocUnsafe(Math.max(1024, first.length * 2));
    this.append(first);
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
