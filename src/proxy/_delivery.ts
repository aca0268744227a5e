import type { Fault } from '../errors/catalogue.ts';
import type { AnswerTurn } from '../http/answer-rules.ts';
import type { FieldBlock } from '../http/fields.ts';
import { writeResponse } from '../http/forward-response.ts';
import { grpcFields } from '../http/grpc.ts';
import { BODY } from '../http/request-head.ts';
import type { Body } from '../http/request-head.ts';
import type { ResponseHead } from '../http/response-head.ts';
import { writeTrailers } from '../http/trailers.ts';
import { CHUNK_END, LAST_CHUNK, chunkSize } from '../http/writer.ts';
import type { Context } from './context.ts';
import { copyOf, type ClientSocket } from './sockets.ts';

/** Body pieces up to this size are copied into one write with what is around them. */
const COPY_LIMIT = 16_384;
const BATCH_LIMIT = 65_536;

interface HeadStyle {
  readonly minor: number;
  readonly body: Body;
  readonly close: boolean;
  readonly extra: string;
  readonly turn: AnswerTurn | null;
}

/** Of 1xx answers. */
export const NO_BODY: HeadStyle = { minor: 1, body: BODY.none, close: false, extra: '', turn: null };

/**
 * Frames an answer for an HTTP/1.x client. What is written in one tick is gathered in the thread's
 * scratch buffer and sent by `flush` as one write: a second write costs a microsecond or more.
 */
export class Delivery {
  /** Framing of the answer under way. */
  framing: Body = BODY.none;
  private gathering = false;
  /** Where the answer under way begins in the scratch buffer; −1 once some of it was sent. */
  private begun = -1;
  private readonly ctx: Context;
  private readonly socket: ClientSocket;

  constructor(ctx: Context, socket: ClientSocket) {
    this.ctx = ctx;
    this.socket = socket;
  }

  /** A body of unknown length is chunked, but for clients of HTTP/1.0, which read until the end of the connection. */
  framingFor(body: Body, minor: number): Body {
    if (body === BODY.none || body === BODY.length) return body;
    return minor === 1 ? BODY.chunked : BODY.close;
  }

  head(head: ResponseHead, src: Buffer, { minor, body, close, extra, turn }: HeadStyle): void {
    this.framing = body;
    this.gather();
    this.begun = this.ctx.responseWriter.length;
    writeResponse(this.ctx.responseWriter, head, src, { minor, body, close, date: this.ctx.date(), extra, turn });
  }

  body(chunk: Buffer, from: number, to: number): void {
    const size = to - from;
    const chunked = this.framing === BODY.chunked;
    const writer = this.ctx.responseWriter;
    if (size <= COPY_LIMIT && (!this.gathering || writer.length + size < BATCH_LIMIT)) {
      this.gather();
      if (chunked) writer.text(chunkSize(size));
      writer.copy(chunk, from, to);
      if (chunked) writer.bytes(CHUNK_END);
      return;
    }
    // One writev carries a large piece and what is around it.
    this.socket.cork();
    if (chunked) {
      this.gather();
      writer.text(chunkSize(size));
    }
    this.flush();
    this.socket.write(this.socket.copies === true ? chunk.subarray(from, to) : copyOf(chunk, from, to));
    if (chunked) this.socket.write(CHUNK_END);
    this.socket.uncork();
  }

  end(trailers: FieldBlock | null, src: Buffer | null, turn: AnswerTurn | null): void {
    if (this.framing !== BODY.chunked) return;
    this.gather();
    if (trailers === null || src === null) this.ctx.responseWriter.bytes(LAST_CHUNK);
    else writeTrailers(this.ctx.responseWriter, trailers, src, turn?.answer);
  }

  /** Ends an answer that cannot be completed: to a gRPC `call` by trailers that say why, to any other with its connection. @returns whether by trailers. */
  cut({ status, text }: Fault, call: boolean): boolean {
    const told = call && this.framing === BODY.chunked;
    if (told) {
      this.gather();
      const lines = grpcFields(status, text).map(([name, value]) => `${name}: ${value}\r\n`);
      this.ctx.responseWriter.text(`0\r\n${lines.join('')}\r\n`);
    }
    this.flush();
    if (!told) this.hangUp(true);
    return told;
  }

  /** Bytes of a tunnel. */
  raw(chunk: Buffer, from: number, to: number): void {
    if (from === to || this.socket.writableEnded) return;
    this.flush();
    this.socket.write(this.socket.copies === true ? chunk.subarray(from, to) : copyOf(chunk, from, to));
  }

  /** @returns whether there was anything to send. */
  flush(): boolean {
    if (!this.gathering) return false;
    this.gathering = false;
    this.begun = -1;
    const { socket } = this;
    const writer = this.ctx.responseWriter;
    socket.write(writer.view());
    // Nearly always the kernel has taken it all by now, or it is encrypted, and nothing was copied.
    const waits = socket.encrypts === true ? socket.writableLength - writer.length : socket.writableLength;
    if (waits > 0 && socket.copies !== true) writer.giveAway();
    return true;
  }

  /** Ends the connection now. Without a length or chunks, only a reset tells a `cut` body from a complete one. */
  hangUp(cut: boolean): void {
    if (cut && this.framing === BODY.close) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  /** Takes back the answer under way, if nothing of it was sent yet. @returns whether so. */
  retract(): boolean {
    if (!this.gathering || this.begun === -1) return false;
    this.ctx.responseWriter.cut(this.begun);
    this.begun = -1;
    return true;
  }

  private gather(): void {
    if (this.gathering) return;
    this.gathering = true;
    this.ctx.responseWriter.begin();
  }
}
