import { createHash, randomBytes } from 'node:crypto';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { CHUNK, ChunkedReader } from '../http/chunked.ts';
import { FIELD, FIELD_NAMES, type FieldBlock } from '../http/fields.ts';
import { writeAsHttp1, writeTrailerLines } from '../http/h2-request.ts';
import { BODY, type Body } from '../http/request-head.ts';
import { ResponseHead } from '../http/response-head.ts';
import { CHUNK_END, HeadWriter, chunkSize } from '../http/writer.ts';
import type { ClientConnection } from '../proxy/client.ts';
import { copyOf, type ClientSocket } from '../proxy/sockets.ts';
import type { Backlog, StalledStream } from './_h2-backlog.ts';
import { listenToBody, ownStream, type StreamOwner } from './_h2-owned.ts';

const { NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR } = constants;

const STATE = { head: 0, body: 1, tunnel: 2, over: 3 } as const;
/** Fields that HTTP/2 has no use for (RFC 9113 §8.2.2). */
const DROP = new Uint8Array(64);
for (const id of [FIELD.connection, FIELD.transferEncoding, FIELD.keepAlive, FIELD.proxyConnection, FIELD.upgrade, FIELD.te, FIELD.http2Settings]) DROP[id] = 1;

const NONE: readonly string[] = [];

// Scratch of the thread, used within one call only.
const scratch = new HeadWriter(1024);
const answer = new ResponseHead();

/** What a stream needs of its connection. */
interface StreamKeeper {
  readonly backlog: Backlog;
  /** What comes may be less than the client would send. */
  readonly withholds: boolean;
  /** The client takes streams back in the bytes that are read now. */
  readonly takesBack: boolean;
  /** Bytes of a body have been taken. */
  taken(bytes: number): void;
  /** It is over, and its owner has been told. */
  ended(stream: ServerHttp2Stream, socket: H2StreamSocket): void;
}

/**
 * To the rest of the proxy a connection on which HTTP/1.1 requests come, one after another; each is a stream of an HTTP/2 connection.
 * The head is written as HTTP/1.1 and read by the one strict reader, the body is framed by us, and what is written in answer
 * becomes frames. So each rule, limit, deadline and count of a request is the same for both protocols.
 */
export class H2StreamSocket implements ClientSocket, StreamOwner, StalledStream {
  owner: ClientConnection | undefined;
  readonly copies = true;
  /** We ended it before its time, for reasons that are not the client's. */
  isCut = false;
  /** null = between two of them. */
  private stream: ServerHttp2Stream | null = null;
  readonly session: StreamKeeper;
  private chunks: ChunkedReader | null = null;
  private readonly asked = { head: false, upgrade: false };
  private state: number = STATE.head;
  private framing: Body = BODY.none;
  private remaining = 0;
  private chunked = false;
  private key = '';
  /** The request has come to its end. */
  private uploaded = false;
  /** A WebSocket: bytes go both ways, and each end is closed by itself. */
  private tunnels = false;
  received: readonly string[] = NONE;
  /** Trailers of the answer; null = there can be none. */
  private trailers: Record<string, string | string[]> | null = null;
  /** What is left of the request is not wanted once the answer is sent. */
  private enough = false;

  constructor(session: StreamKeeper) {
    this.session = session;
  }

  get takesBack(): boolean {
    return this.session.takesBack;
  }

  drained(): void {
    this.owner?.onDrain();
  }

  /** Its 'close' may come only when all that it had sent was read, and nobody else reads it now. */
  aborted(): void {
    if (!this.isCut) this.owner?.onClose();
    this.resume();
  }

  closed(): void {
    const { owner, stream } = this;
    if (stream === null) return;
    this.stream = null;
    if (owner?.isIdle !== true || stream.rstCode !== NGHTTP2_NO_ERROR) owner?.onClose();
    this.session.ended(stream, this);
  }

  /** The owner is told by calls, not by events. */
  on(): void {
    // Nothing to listen to.
  }

  // ── the request ─────────────────────────────────────────────────────────────────────────────────

  /** Hands the request of the next stream to the owner. @returns false when it is no request; then the stream has been reset. */
  begin(stream: ServerHttp2Stream, fields: readonly string[], ended: boolean): boolean {
    this.stream = stream;
    ownStream(stream, this);
    this.isCut = this.tunnels = this.enough = false;
    this.state = STATE.head;
    this.received = NONE;
    this.trailers = null;
    scratch.begin();
    if (fields.includes(':protocol')) this.key = randomBytes(16).toString('base64');
    const { problem, chunked, webSocket } = writeAsHttp1(scratch, { fields, ended, key: this.key });
    if (problem !== null) {
      stream.close(NGHTTP2_PROTOCOL_ERROR);
      return false;
    }
    this.asked.head = fields[1] === 'HEAD' && fields[0] === ':method';
    this.asked.upgrade = webSocket;
    this.chunked = chunked;
    this.uploaded = ended;
    // Of a WebSocket nothing is read before there is one: to the reader those bytes would be a request.
    if (webSocket) this.session.backlog.stall(this);
    else if (!ended) listenToBody(stream);
    this.owner?.onData(scratch.view());
    return true;
  }

  onBody(chunk: Buffer): void {
    this.session.taken(chunk.length);
    if (!this.chunked) {
      this.owner?.onData(chunk);
      return;
    }
    this.owner?.onData(Buffer.from(chunkSize(chunk.length), 'latin1'));
    this.owner?.onData(chunk);
    this.owner?.onData(CHUNK_END);
  }

  onBodyEnd(): void {
    // A reset ends the readable side too, and must not look like the end of a body.
    if (this.stream?.closed !== false) return;
    this.uploaded = true;
    if (this.tunnels) this.owner?.onEnd();
    else if (this.chunked) this.endChunks();
  }

  private endChunks(): void {
    const lines = new HeadWriter(256);
    lines.text('0\r\n');
    if (writeTrailerLines(lines, this.received) !== null) this.cut();
    else {
      lines.text('\r\n');
      this.owner?.onData(lines.view());
    }
  }

  pause(): void {
    if (this.stream === null) return;
    this.session.backlog.stall(this);
    this.stream.pause();
  }

  resume(): void {
    if (this.stream === null) return;
    this.session.backlog.flow(this);
    this.stream.resume();
  }

  get unread(): number {
    return this.stream === null ? 0 : this.stream.readableLength;
  }

  get withheld(): boolean {
    return this.session.withholds;
  }

  // ── the answer ──────────────────────────────────────────────────────────────────────────────────

  get writableNeedDrain(): boolean {
    return this.stream !== null && this.stream.writableNeedDrain;
  }

  get writableLength(): number {
    return this.stream === null ? 0 : this.stream.writableLength;
  }

  get writableEnded(): boolean {
    return this.stream !== null && this.stream.writableEnded && !this.asked.head;
  }

  /** HTTP/1.1 bytes of the answer, a head always whole; or bytes of the tunnel. */
  write(bytes: Buffer): boolean {
    let at = 0;
    while (at < bytes.length && this.state !== STATE.over && this.usable) {
      if (this.state === STATE.head) at = this.head(bytes, at);
      else if (this.state === STATE.body) at = this.body(bytes, at);
      else {
        this.send(bytes, at, bytes.length, false);
        at = bytes.length;
      }
    }
    return !this.writableNeedDrain;
  }

  private get usable(): boolean {
    const { stream } = this;
    return stream !== null && !stream.destroyed && !stream.closed;
  }

  private head(bytes: Buffer, from: number): number {
    answer.begin(from);
    // It is our own writing: what could not be read here would be a fault of ours, and must not look like an answer.
    if (!answer.parse(bytes, bytes.length, this.asked)) return this.fail(bytes.length);
    const { status, end } = answer;
    if (status === 101) this.openTunnel(bytes);
    else if (status < 200) this.stream!.additionalHeaders({ ':status': status, ...asRecord(fieldsOf(answer.fields, bytes)) });
    else this.respond(bytes);
    return end;
  }

  private respond(bytes: Buffer): void {
    const { body, length } = answer;
    const ends = body === BODY.none || (body === BODY.length && length === 0);
    this.framing = body;
    this.remaining = length;
    this.state = ends ? STATE.over : STATE.body;
    if (body === BODY.chunked) {
      this.chunks = new ChunkedReader();
      this.trailers = {};
    }
    const fields = fieldsOf(answer.fields, bytes, [':status', `${answer.status}`]);
    this.stream!.respond(fields, { endStream: ends, waitForTrailers: body === BODY.chunked });
  }

  sendTrailers(): void {
    const stream = this.stream!;
    stream.sendTrailers(this.trailers ?? {});
    this.trailers = null;
    // Node sends them in an immediate of its own, which comes first.
    if (this.enough) setImmediate(() => stream.close(NGHTTP2_NO_ERROR));
  }

  private openTunnel(bytes: Buffer): void {
    const fields = fieldsOf(answer.fields, bytes);
    const accept = fields.indexOf('sec-websocket-accept');
    if (accept === -1 || fields[accept + 1] !== acceptOf(this.key)) {
      this.fail(0);
      return;
    }
    fields.splice(accept, 2);
    this.state = STATE.tunnel;
    this.tunnels = true;
    this.stream!.respond([':status', '200', ...fields]);
    this.session.backlog.flow(this);
    listenToBody(this.stream!);
  }

  private body(bytes: Buffer, from: number): number {
    if (this.framing !== BODY.chunked) {
      const to = Math.min(bytes.length, from + this.remaining);
      this.remaining -= to - from;
      if (this.remaining === 0) this.state = STATE.over;
      this.send(bytes, from, to, this.remaining === 0);
      return to;
    }
    const chunks = this.chunks!;
    const found = chunks.next(bytes, from, bytes.length);
    if (found === CHUNK.bad) return this.fail(bytes.length);
    if (found === CHUNK.data) this.send(bytes, chunks.dataStart, chunks.dataEnd, false);
    else if (found === CHUNK.end) {
      if (chunks.trailers !== null && chunks.trailerBytes !== null) this.trailers = asRecord(fieldsOf(chunks.trailers, chunks.trailerBytes));
      this.state = STATE.over;
      this.stream!.end();
    }
    return chunks.at;
  }

  private send(bytes: Buffer, from: number, to: number, last: boolean): void {
    const piece = copyOf(bytes, from, to);
    if (last) this.stream!.end(piece);
    else this.stream!.write(piece);
  }

  private fail(at: number): number {
    this.state = STATE.over;
    this.cut();
    return at;
  }

  // ── the end ─────────────────────────────────────────────────────────────────────────────────────

  /** Ends our side of a tunnel. The end of an answer is in its framing; what is left of its request is not wanted (RFC 9113 §8.1). */
  end(): void {
    if (!this.usable) return;
    if (this.state === STATE.over && !this.tunnels) return this.dropRest();
    if (this.state !== STATE.tunnel) return;
    this.state = STATE.over;
    this.stream!.end();
  }

  /** What is not complete must not look so: it is reset. */
  destroy(): void {
    const complete = this.state === STATE.over && this.writableLength === 0;
    this.state = STATE.over;
    // Also one that only waits for its last bytes to go out: its time is over.
    if (this.stream?.destroyed !== false) return;
    if (!complete) this.cut();
    else if (!this.stream.closed) this.dropRest();
  }

  /** Says so, once the answer is sent whole. */
  private dropRest(): void {
    const stream = this.stream!;
    this.enough = true;
    if (this.uploaded || this.trailers !== null) return;
    if (stream.writableFinished) stream.close(NGHTTP2_NO_ERROR);
    // `close` would wait for that too, but what it has called closed cannot be cut any more.
    else stream.once('finish', () => stream.close(NGHTTP2_NO_ERROR));
  }

  /** `close` would end the stream (END_STREAM) before it resets it: a body without a length would look complete. */
  private cut(): void {
    this.isCut = true;
    this.stream!.destroy(new Error('cut short'));
  }

  resetAndDestroy(): void {
    this.state = STATE.head;
    this.destroy();
  }

  cork(): void {
    // A stream gathers its frames by itself.
  }

  uncork(): void {
    // As above.
  }
}

/** Behind `fields`: names in lower case and values, one after the other, without what speaks of a connection. */
function fieldsOf(block: FieldBlock, bytes: Buffer, fields: string[] = []): string[] {
  for (let i = 0; i < block.count; i++) {
    if (DROP[block.ids[i]] === 1) continue;
    const name = FIELD_NAMES[block.ids[i]] ?? bytes.toString('latin1', block.spans[i * 4], block.spans[i * 4 + 1]).toLowerCase();
    fields.push(name, block.value(bytes, i));
  }
  return fields;
}

function asRecord(fields: readonly string[]): Record<string, string | string[]> {
  const record: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i < fields.length; i += 2) {
    const known = record[fields[i]];
    if (known === undefined) record[fields[i]] = fields[i + 1];
    else record[fields[i]] = [...(typeof known === 'string' ? [known] : known), fields[i + 1]];
  }
  return record;
}

/** What a server answers to a WebSocket key (RFC 6455 §4.2.2). */
function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}
