import { CHUNK, ChunkedReader } from '../http/chunked.ts';
import { CONNECTION, type FieldBlock } from '../http/fields.ts';
import { BODY } from '../http/request-head.ts';
import type { Body } from '../http/request-head.ts';
import { ResponseHead } from '../http/response-head.ts';
import { Accumulator } from './_accumulator.ts';

export const READ = CHUNK;

const NOTHING = Buffer.alloc(0);

/**
 * Reads an answer of a backend out of the bytes as they come: heads, then body spans, then its end.
 * `offer` bytes, then ask for what is in them until they are used up.
 */
export class Answer {
  /** The bytes at hand; [at, to) are not read yet. */
  buf: Buffer = NOTHING;
  at = 0;
  to = 0;
  head: ResponseHead;
  dataStart = 0;
  dataEnd = 0;
  /** Framing of the body, once its head was read. */
  framing: Body = BODY.none;
  private remaining = 0;
  /** Connection names further fields, trailers perhaps: none of them pass then (RFC 9110 §7.6.1). */
  private trailersStay = false;
  private chunks: ChunkedReader | null = null;
  private partial: Accumulator<ResponseHead> | null = null;
  /** Scratch of the thread, for heads that come in one piece. */
  private readonly shared: ResponseHead;
  /** Reused: an object a head would be 40 bytes of garbage a request. */
  private readonly asked = { head: false, upgrade: false };

  constructor(shared: ResponseHead) {
    this.shared = shared;
    this.head = shared;
  }

  reset(): void {
    this.partial = null;
  }

  offer(chunk: Buffer): void {
    this.buf = chunk;
    this.at = 0;
    this.to = chunk.length;
  }

  /** Lets go of the bytes: an idle connection keeps none. */
  drop(): void {
    this.buf = NOTHING;
  }

  /** @returns data when `head` is complete, more, or bad. */
  nextHead(head: boolean, upgrade: boolean): number {
    if (this.at === this.to) return READ.more;
    const { asked } = this;
    asked.head = head;
    asked.upgrade = upgrade;
    const rest = this.buf.subarray(this.at, this.to);
    if (this.partial === null) {
      this.head = this.shared;
      this.head.begin(this.at);
    } else {
      this.partial.append(rest);
      this.head = this.partial.head;
      this.buf = this.partial.buf;
      this.to = this.partial.length;
    }
    if (this.head.parse(this.buf, this.to, asked)) {
      this.partial = null;
      this.at = this.head.end;
      this.framing = this.head.body;
      this.remaining = this.head.length;
      this.trailersStay = (this.head.connection & CONNECTION.other) !== 0;
      if (this.framing === BODY.chunked) (this.chunks ??= new ChunkedReader()).reset();
      return READ.data;
    }
    if (this.head.problem !== null) return READ.bad;
    if (this.partial === null) this.keep(rest);
    this.at = this.to;
    return READ.more;
  }

  private keep(rest: Buffer): void {
    const head = new ResponseHead();
    head.begin(0);
    this.partial = new Accumulator(head, rest);
    head.parse(this.partial.buf, this.partial.length, this.asked);
  }

  /** @returns data for the body span [dataStart, dataEnd), end, more, or bad. */
  nextBody(): number {
    if (this.framing === BODY.chunked) return this.nextChunk();
    if (this.framing === BODY.none || (this.framing === BODY.length && this.remaining === 0)) return READ.end;
    if (this.at === this.to) return READ.more;
    this.dataStart = this.at;
    this.dataEnd = this.framing === BODY.length ? Math.min(this.to, this.at + this.remaining) : this.to;
    this.remaining -= this.dataEnd - this.dataStart;
    this.at = this.dataEnd;
    return READ.data;
  }

  /** Passes over what has come of the body. @returns whether that is all of it, and nothing is behind it. */
  skip(): boolean {
    let found = this.nextBody();
    while (found === READ.data) found = this.nextBody();
    return found === READ.end && this.at === this.to;
  }

  private nextChunk(): number {
    const chunks = this.chunks!;
    const found = chunks.next(this.buf, this.at, this.to);
    this.at = chunks.at;
    this.dataStart = chunks.dataStart;
    this.dataEnd = chunks.dataEnd;
    return found;
  }

  get trailers(): FieldBlock | null {
    return this.framing === BODY.chunked && !this.trailersStay ? this.chunks!.trailers : null;
  }

  get trailerBytes(): Buffer | null {
    return this.framing === BODY.chunked ? this.chunks!.trailerBytes : null;
  }
}
