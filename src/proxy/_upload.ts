import type { FieldEdits } from '../http/edit-fields.ts';
import { CONNECTION, type FieldBlock } from '../http/fields.ts';
import { BODY } from '../http/request-head.ts';
import type { RequestHead } from '../http/request-head.ts';
import { writeTrailers } from '../http/trailers.ts';
import { CHUNK_END, HeadWriter, LAST_CHUNK, chunkSize } from '../http/writer.ts';
import type { Context } from './context.ts';
import type { Downstream } from './downstream.ts';
import { copyOf } from './sockets.ts';
import type { UpstreamConnection } from './upstream.ts';

/** Request bytes kept for a retry, and gathered while there is no connection yet. */
const REPLAY_LIMIT = 65_536;

/**
 * The request on its way to a backend, framed by us: head and first body bytes in one buffer, then
 * piece by piece. What was sent is kept, up to a limit, so that it can be sent again.
 */
export class Upload {
  /** All of the request body has been taken from the client. */
  complete = false;
  /** Body bytes, without framing. */
  bytes = 0;
  /** All that was sent is still here. */
  replayable = false;
  /** The client waits for a 100 (Continue) before it sends (RFC 9110 §10.1.1). */
  uninvited = false;
  private message: Buffer | null = null;
  private pieces: Buffer[] = [];
  private kept = 0;
  private chunked = false;
  /** Connection names further fields, trailers perhaps: none of them pass then (RFC 9110 §7.6.1). */
  private trailersStay = false;
  private limit = Infinity;
  private sealed = false;
  /** What its route changes of its fields; trailers too. */
  private edits: FieldEdits | null = null;
  private paused = false;
  private connection: UpstreamConnection | null = null;
  private readonly ctx: Context;
  private readonly down: Downstream;

  constructor(ctx: Context, down: Downstream) {
    this.ctx = ctx;
    this.down = down;
  }

  begin({ body, connection, expectContinue }: RequestHead, limit: number | null, turn: { readonly edits: FieldEdits | null } | null): void {
    this.complete = body === BODY.none;
    this.uninvited = expectContinue;
    this.chunked = body === BODY.chunked;
    this.trailersStay = (connection & CONNECTION.other) !== 0;
    this.bytes = 0;
    this.limit = limit ?? Infinity;
    this.sealed = false;
    this.edits = turn === null ? null : turn.edits;
    this.replayable = true;
    this.kept = 0;
    this.message = null;
    if (this.pieces.length > 0) this.pieces = [];
    this.ctx.requestWriter.begin();
  }

  /** The client is to send more of it. */
  get awaited(): boolean {
    return !this.complete && !this.uninvited;
  }

  /** Body bytes from the client. @returns false when the body is larger than the upstream accepts. */
  add(chunk: Buffer, from: number, to: number): boolean {
    const size = to - from;
    this.uninvited = false;
    this.bytes += size;
    if (this.bytes > this.limit) return false;
    if (!this.sealed) {
      const writer = this.ctx.requestWriter;
      if (this.chunked) writer.text(chunkSize(size));
      writer.copy(chunk, from, to);
      if (this.chunked) writer.bytes(CHUNK_END);
    } else if (this.chunked) {
      const line = Buffer.from(chunkSize(size), 'latin1');
      this.pass(Buffer.concat([line, chunk.subarray(from, to), CHUNK_END]));
    } else this.pass(copyOf(chunk, from, to));
    return true;
  }

  /** The body is complete. */
  finish(received: FieldBlock | null, source: Buffer | null): void {
    this.complete = true;
    if (!this.chunked) return;
    const trailers = this.trailersStay ? null : received;
    if (!this.sealed) {
      if (trailers === null || source === null) this.ctx.requestWriter.bytes(LAST_CHUNK);
      else writeTrailers(this.ctx.requestWriter, trailers, source, this.edits, this.down.forwarder.reserved);
    } else if (trailers === null || source === null) this.pass(LAST_CHUNK);
    else {
      const writer = new HeadWriter(1024);
      writeTrailers(writer, trailers, source, this.edits, this.down.forwarder.reserved);
      this.pass(writer.take());
    }
  }

  /** Ends the first buffer: what comes from now on goes piece by piece. */
  seal(): void {
    this.sealed = true;
    this.message = this.ctx.requestWriter.take();
    this.kept = this.message.length;
  }

  /** The whole request, when it is here and its body is of so many bytes at most; null = it is not. */
  whole(most: number): Buffer | null {
    return this.complete && this.bytes <= most && this.pieces.length === 0 ? this.message : null;
  }

  /** Sends all that there is over this connection, from the beginning. */
  sendOver(connection: UpstreamConnection): void {
    this.connection = connection;
    const { socket } = connection;
    socket.write(this.message!);
    for (const piece of this.pieces) socket.write(piece);
    this.settle();
  }

  /** The connection takes bytes again, or is made now. */
  settle(): void {
    const { connection } = this;
    if (connection?.connected === true && this.kept > REPLAY_LIMIT) this.forget();
    const full = connection === null || !connection.connected ? this.kept > REPLAY_LIMIT : connection.socket.writableNeedDrain;
    if (full && !this.paused && !this.complete) {
      this.paused = true;
      this.down.pause();
    } else if (!full && this.paused) {
      this.paused = false;
      this.down.resume();
    }
  }

  /** The backend is slower than the client. */
  get blocked(): boolean {
    return this.paused;
  }

  /** The connection is gone; what was kept waits for the next one. */
  detach(): void {
    this.connection = null;
  }

  /** Nothing of this request will be sent any more. */
  forget(): void {
    this.replayable = false;
    this.message = null;
    this.pieces = [];
    this.kept = 0;
  }

  /** The exchange is over. */
  close(): void {
    this.connection = null;
    this.forget();
    if (!this.paused) return;
    this.paused = false;
    this.down.resume();
  }

  private pass(piece: Buffer): void {
    this.connection?.sendMore(piece);
    if (this.replayable) {
      this.pieces.push(piece);
      this.kept += piece.length;
    }
    this.settle();
  }
}
