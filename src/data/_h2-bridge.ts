import { STATUS_CODES } from 'node:http';
import { constants, type ClientHttp2Stream } from 'node:http2';
import { Readable, addAbortSignal } from 'node:stream';
import { LossError } from '../dial/loss.ts';
import { FAILURE } from '../errors/catalogue.ts';
import { CHUNK, ChunkedReader } from '../http/chunked.ts';
import { requestFields, writeAnswer } from '../http/h2-backend.ts';
import { writeTrailerLines } from '../http/h2-request.ts';
import { BODY, RequestHead, type Body } from '../http/request-head.ts';
import { CHUNK_END, HeadWriter, chunkSize } from '../http/writer.ts';
import type { BackendSocket, DialOwner } from '../proxy/way.ts';
import type { H2Session } from './_h2-session.ts';

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_REFUSED_STREAM } = constants;

/** Bytes that wait for a connection before the owner is asked to pause. */
const PENDING_LIMIT = 65_536;
const CANCELLED = AbortSignal.abort();

type Linked = ClientHttp2Stream & { bridge?: H2Bridge | null };

// Scratch of the thread, used within one call only. The limits are those of the request that was read: this is our own writing.
let request: RequestHead | null = null;
const scratch = new HeadWriter(16_384);

/** Who has connections for bridges. */
export interface H2Sessions {
  readonly scheme: 'http' | 'https';
  /** It does not wait for a connection any more. */
  forget(bridge: H2Bridge): void;
}

/**
 * One stream of an HTTP/2 connection to a backend; to the rest of the proxy a connection on which one HTTP/1.1 request goes. What is
 * written is read as HTTP/1.1 and becomes frames; the frames of the answer become HTTP/1.1. So each rule, limit, deadline and count
 * of a request is the same for both protocols. Flow control is backpressure both ways: nothing is kept but what a window allows.
 */
export class H2Bridge implements BackendSocket {
  connecting = true;
  destroyed = false;
  readableEnded = false;
  writableEnded = false;
  private readonly owner: DialOwner;
  private readonly sessions: H2Sessions;
  private session: H2Session | null = null;
  private stream: Linked | null = null;
  private pending: Buffer[] = [];
  private held = 0;
  // The request.
  private asksHead = false;
  private upload: Body = BODY.none;
  private toSend = 0;
  private chunks: ChunkedReader | null = null;
  private uploaded = false;
  // The answer.
  private answered = false;
  private framing: Body = BODY.none;
  private toCome = 0;
  private trailers: readonly string[] = [];
  /** END_STREAM has come: a reset can look the same to `end`. */
  private complete = false;
  private since = 0;

  constructor(sessions: H2Sessions, owner: DialOwner) {
    this.sessions = sessions;
    this.owner = owner;
  }

  // ── the request ─────────────────────────────────────────────────────────────────────────────────

  /** A connection has room for it. @param late the owner waits to hear so. */
  open(session: H2Session, late: boolean): void {
    this.session = session;
    this.connecting = false;
    this.since = performance.now();
    const { pending } = this;
    this.pending = [];
    this.held = 0;
    for (const piece of pending) this.feed(piece);
    if (late) this.owner.onConnect();
  }

  /** HTTP/1.1 bytes of the request, its head whole in the first piece. */
  write(bytes: Buffer): boolean {
    if (this.destroyed) return false;
    if (this.session !== null) this.feed(bytes);
    else {
      this.pending.push(bytes);
      this.held += bytes.length;
    }
    return !this.writableNeedDrain;
  }

  private feed(bytes: Buffer): void {
    if (this.stream !== null) return this.body(bytes, 0);
    const head = (request ??= new RequestHead({ head: 1 << 24, headers: 16_384, target: 1 << 20 }));
    head.begin(0);
    if (!head.parse(bytes, bytes.length)) return this.loseSoon(new LossError(FAILURE.streamReset, false));
    this.asksHead = bytes.toString('latin1', head.start, head.methodEnd) === 'HEAD';
    this.upload = head.body;
    this.toSend = head.length;
    this.uploaded = head.body === BODY.none || (head.body === BODY.length && head.length === 0);
    const chunked = head.body === BODY.chunked;
    if (chunked) this.chunks = new ChunkedReader();
    const stream = this.session!.request(requestFields(head, bytes, this.sessions.scheme), { endStream: this.uploaded, waitForTrailers: chunked });
    // The connection has ended in this very turn.
    if (stream === null) return this.loseSoon(new LossError(FAILURE.streamRefused, true));
    this.link(stream, chunked);
    if (head.end < bytes.length) this.body(bytes, head.end);
  }

  /** Not in the middle of what the owner writes. */
  private loseSoon(error: Error): void {
    process.nextTick(() => this.lose(error));
  }

  private link(stream: Linked, chunked: boolean): void {
    this.stream = stream;
    stream.bridge = this;
    stream.push = onPush;
    stream.on('response', onAnswer).on('headers', onAnswer).on('data', onData).on('trailers', onTrailers).on('end', onEnd);
    stream.on('drain', onDrain).on('error', onError).on('close', onClose);
    if (chunked) stream.on('wantTrailers', onWantTrailers);
  }

  private body(bytes: Buffer, from: number): void {
    const stream = this.stream!;
    if (this.uploaded) return;
    if (this.upload === BODY.length) {
      this.toSend -= bytes.length - from;
      this.uploaded = this.toSend <= 0;
      if (this.uploaded) stream.end(bytes.subarray(from));
      else stream.write(bytes.subarray(from));
      return;
    }
    const chunks = this.chunks!;
    for (let at = from; !this.uploaded; at = chunks.at) {
      const found = chunks.next(bytes, at, bytes.length);
      if (found === CHUNK.data) stream.write(bytes.subarray(chunks.dataStart, chunks.dataEnd));
      else if (found === CHUNK.end) {
        this.uploaded = true;
        stream.end();
      } else return;
    }
  }

  sendTrailers(): void {
    const { trailers, trailerBytes } = this.chunks!;
    const record: Record<string, string[]> = {};
    for (let i = 0; trailers !== null && i < trailers.count; i++) {
      const name = trailerBytes!.toString('latin1', trailers.spans[i * 4], trailers.spans[i * 4 + 1]).toLowerCase();
      (record[name] ??= []).push(trailers.value(trailerBytes!, i));
    }
    this.stream?.sendTrailers(record);
  }

  get writableNeedDrain(): boolean {
    return this.stream === null ? this.held > PENDING_LIMIT : this.stream.writableNeedDrain;
  }

  get writableLength(): number {
    return this.stream?.writableLength ?? this.held;
  }

  drained(): void {
    this.owner.onDrain();
  }

  // ── the answer ──────────────────────────────────────────────────────────────────────────────────

  head(fields: readonly string[], ended: boolean): void {
    this.session!.heard();
    scratch.begin();
    const found = writeAnswer(scratch, { fields, ended, head: this.asksHead, phrases: STATUS_CODES });
    if (found === null || this.answered || (ended && found.status < 200)) return this.malformed();
    if (found.status >= 200) {
      this.answered = true;
      this.framing = found.body;
      this.toCome = found.length;
    }
    this.owner.onData(scratch.take());
    if (found.status >= 200) this.session!.answered();
  }

  data(chunk: Buffer): void {
    this.session!.heard();
    if (!this.answered || (this.framing === BODY.none && chunk.length > 0)) return this.malformed();
    if (this.framing === BODY.length) this.toCome -= chunk.length;
    if (this.framing !== BODY.chunked) return this.owner.onData(chunk);
    scratch.begin();
    scratch.text(chunkSize(chunk.length));
    scratch.copy(chunk, 0, chunk.length);
    scratch.bytes(CHUNK_END);
    this.owner.onData(scratch.view());
  }

  /** The sender has ended its side as it should. */
  finished(): void {
    this.complete = true;
  }

  trailed(fields: readonly string[]): void {
    this.trailers = fields;
  }

  ended(): void {
    // Not the end, but a reset on its way to `close`.
    if (!this.complete) return;
    this.readableEnded = true;
    if (this.framing === BODY.chunked) {
      scratch.begin();
      scratch.text('0\r\n');
      if (writeTrailerLines(scratch, this.trailers) !== null) return this.malformed();
      scratch.text('\r\n');
      this.owner.onData(scratch.take());
    }
    if (!this.destroyed) this.owner.onEnd();
  }

  private malformed(): void {
    this.lose(new LossError(FAILURE.badResponse, false));
  }

  pause(): void {
    this.stream?.pause();
  }

  resume(): void {
    this.stream?.resume();
  }

  isPaused(): boolean {
    return this.stream?.isPaused() ?? false;
  }

  // ── the end ─────────────────────────────────────────────────────────────────────────────────────

  /** The stream is gone. */
  closed(): void {
    const { rstCode, id } = this.stream!;
    if (rstCode === NGHTTP2_REFUSED_STREAM || this.session!.neverSaw(id)) this.lose(new LossError(FAILURE.streamRefused, true));
    else if (this.session!.gone) this.lose(this.session!.error);
    else if (rstCode === NGHTTP2_PROTOCOL_ERROR) this.malformed();
    else this.lose(new LossError(FAILURE.streamReset, false));
  }

  /** Tells the owner that it has failed. */
  lose(error: Error | null): void {
    if (this.destroyed) return;
    this.destroy();
    if (error !== null) this.owner.onError(error);
    this.owner.onClose();
  }

  /** Half of a tunnel is nothing that a stream with one request has. */
  end(): void {
    this.destroy();
  }

  /** Frees the stream at once: what has not ended by itself is cancelled, and never looks complete to the backend. */
  destroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    const { stream, session } = this;
    if (session === null) {
      this.sessions.forget(this);
      return this;
    }
    if (stream === null) session.release();
    else if (stream.destroyed) session.release();
    else if (this.isWhole) session.linger(stream);
    else this.cancel(stream, session);
    if (stream !== null) stream.bridge = null;
    return this;
  }

  /** Request and answer are complete; only the stream may still have to be closed by an empty frame. */
  private get isWhole(): boolean {
    return this.uploaded && this.answered && (this.complete || (this.framing !== BODY.chunked && this.toCome === 0));
  }

  private cancel(stream: Linked, session: H2Session): void {
    if (!this.answered) session.doubt(this.since);
    // `close` ends the stream (END_STREAM) before it resets it: half a body would look whole.
    if (stream.writableEnded || this.uploaded) stream.close(NGHTTP2_CANCEL);
    else addAbortSignal(CANCELLED, stream);
    stream.resume();
    session.release();
  }
}

// One function for all streams: closures for each would be garbage of each request.
function onAnswer(this: Linked, _headers: unknown, flags: number, fields: string[]): void {
  this.bridge?.head(fields, (flags & NGHTTP2_FLAG_END_STREAM) !== 0);
}
function onData(this: Linked, chunk: Buffer): void {
  this.bridge?.data(chunk);
}
function onTrailers(this: Linked, _headers: unknown, _flags: number, fields: string[]): void {
  this.bridge?.trailed(fields);
}
function onEnd(this: Linked): void {
  this.bridge?.ended();
}
function onDrain(this: Linked): void {
  this.bridge?.drained();
}
function onWantTrailers(this: Linked): void {
  if (this.bridge == null) this.close(NGHTTP2_CANCEL);
  else this.bridge.sendTrailers();
}
function onError(): void {
  // What follows is 'close', which says all that matters here.
}
function onClose(this: Linked): void {
  this.bridge?.closed();
}
/** The end of what is read comes by END_STREAM, or, when the stream is closed already, by a reset: only here are they two things. */
function onPush(this: Linked, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk === null && !this.closed && !this.destroyed) this.bridge?.finished();
  return Readable.prototype.push.call(this, chunk, encoding);
}
