import { REJECT, type Fault } from '../errors/catalogue.ts';
import { CHUNK, ChunkedReader } from '../http/chunked.ts';
import type { AnswerTurn } from '../http/answer-rules.ts';
import type { FieldBlock } from '../http/fields.ts';
import type { Forwarder } from '../http/forward-request.ts';
import { endsConnection, formFor, ownAnswer, type AnswerForm } from '../http/own-answer.ts';
import { BODY, RequestHead, type Body } from '../http/request-head.ts';
import type { ResponseHead } from '../http/response-head.ts';
import { Accumulator } from './_accumulator.ts';
import { Delivery, NO_BODY } from './_delivery.ts';
import { NO_ROW } from './callers.ts';
import type { Context } from './context.ts';
import { Deadline, type Expiring } from './deadline.ts';
import type { Downstream } from './downstream.ts';
import { bodyTime } from './_body-time.ts';
import { NO_PREFACES } from './preface.ts';
import { Exchange } from './request.ts';
import { kept, own, type ClientSocket, type SocketOwner } from './sockets.ts';

const STATE = { head: 0, busy: 1, tunnel: 2, linger: 3, closed: 4 } as const;

/** Pipelined bytes kept while a request is under way; past it the client waits. */
const PIPELINE_LIMIT = 65_536;
/** Pipelined requests that the proxy answers by itself in one turn of the event loop; then it is the turn of the others. */
const MOST_A_TURN = 16;
/** After the last answer: what the client may still send, and how long, before the socket is closed. */
const LINGER = { bytes: 4_194_304, ms: 2_000 } as const;

/** An HTTP/1.x client: reads requests one after another, frames their answers, keeps its deadlines. */
export class ClientConnection implements Downstream, Expiring, SocketOwner {
  readonly socket: ClientSocket;
  readonly forwarder: Forwarder;
  prefaces = NO_PREFACES;
  readonly exchange: Exchange;
  address: string;
  /** Among the clients of the thread. */
  place = -1;
  /** In the client table, or NO_ROW. */
  row = NO_ROW;
  private readonly ctx: Context;
  private readonly deadline: Deadline;
  private readonly delivery: Delivery;
  private state: number = STATE.head;
  private partial: Accumulator<RequestHead> | null = null;
  /** Bytes behind the request that is under way. */
  private pending: Buffer | null = null;
  private reading = false;
  /** Framing of the request body, and what is left of it. */
  private incoming: Body = BODY.none;
  private remaining = 0;
  private chunks: ChunkedReader | null = null;
  private minor = 1;
  private keepAlive = true;
  private form: AnswerForm = 'text';
  private closeAfter = false;
  private last = false;
  private lingered = 0;
  private uploadPaused = false;
  /** When the request body began, without the time that the backend made it wait; while it waits, minus the time before. */
  private bodySince = 0;
  private idleSince: number;
  readonly alone: boolean;

  /** @param forwarder what is said of the client. @param alone it has a connection of its own, and is counted as one. */
  constructor(ctx: Context, socket: ClientSocket, forwarder: Forwarder, alone = true) {
    this.ctx = ctx;
    this.socket = socket;
    this.address = forwarder.address;
    this.forwarder = forwarder;
    this.deadline = new Deadline(this);
    this.delivery = new Delivery(ctx, socket);
    this.exchange = new Exchange(ctx, this);
    own(socket, this);
    this.idleSince = ctx.timers.now;
    this.alone = alone;
    ctx.entered(this);
    ctx.timers.arm(this.deadline, ctx.table.edge.timeouts.clientHead);
  }

  get congested(): boolean {
    return this.socket.writableNeedDrain;
  }

  /** Between two requests, nothing half-read. */
  get isIdle(): boolean {
    return this.state === STATE.head && this.partial === null && this.pending === null;
  }

  // ── reading ─────────────────────────────────────────────────────────────────────────────────────

  onData(chunk: Buffer): void {
    if (this.state === STATE.head) {
      if (this.congested || this.pending !== null) return this.stash(chunk);
      this.read(chunk, 0);
    } else if (this.state === STATE.busy) {
      const at = this.feed(chunk, 0);
      if (at < chunk.length) this.stash(chunk.subarray(at));
    } else if (this.state === STATE.tunnel) this.exchange.tunnel?.up(chunk, 0, chunk.length);
    // Not read any further, it keeps its time: a reset could reach the client before the answer does.
    else if ((this.lingered += chunk.length) > LINGER.bytes) this.socket.pause();
  }

  /** Reads requests while there are any whole ones. What is behind the one under way, or behind answers nobody reads, waits. */
  private read(chunk: Buffer, from: number): void {
    let buf = chunk;
    let at = from;
    this.reading = true;
    for (let turns = 0; this.state === STATE.head && at < buf.length && !this.congested && turns < MOST_A_TURN; turns++) {
      const { partial } = this;
      let head = this.ctx.requestHead;
      let to = buf.length;
      if (partial === null) head.begin(at);
      else {
        partial.append(at === 0 ? buf : buf.subarray(at));
        ({ head, buf } = { head: partial.head, buf: partial.buf.subarray(0, partial.length) });
        to = partial.length;
      }
      if (head.parse(buf, to)) {
        this.partial = null;
        at = this.begin(head, buf);
        continue;
      }
      if (head.fault !== null) this.refuseHead(head.fault);
      else if (partial === null) {
        this.ctx.timers.arm(this.deadline, this.ctx.table.edge.timeouts.clientHead);
        this.partial = Accumulator.begin(RequestHead.small(this.ctx.table.edge.limits), buf.subarray(at));
      }
      at = to;
    }
    this.reading = false;
    if (at < buf.length && this.state < STATE.linger) this.afterRead(buf.subarray(at));
  }

  private afterRead(rest: Buffer): void {
    if (this.state === STATE.tunnel) this.exchange.tunnel?.up(rest, 0, rest.length);
    else this.stash(rest);
    if (this.state === STATE.head && !this.congested) this.ctx.later(() => this.readPending());
  }

  private stash(rest: Buffer): void {
    this.pending = kept(this.pending, rest, this.ctx.reads);
    if (this.pending.length > PIPELINE_LIMIT) this.socket.pause();
  }

  /** Starts an exchange. @returns offset behind what it has taken of `buf`. */
  private begin(head: RequestHead, buf: Buffer): number {
    const { ctx, exchange } = this;
    this.state = STATE.busy;
    ctx.timers.disarm(this.deadline);
    this.minor = head.minor;
    this.last = !head.keepAlive;
    this.keepAlive = head.keepAlive && !ctx.closing;
    this.form = formFor(head.fields, buf, !this.alone);
    this.incoming = head.body;
    this.bodySince = ctx.timers.now;
    this.remaining = head.length;
    if (this.forwarder.trusted) this.address = ctx.trusted.clientOf(this.forwarder.address, head.fields, buf);
    if (head.body === BODY.chunked) (this.chunks ??= new ChunkedReader()).reset();
    const fault = exchange.open(head, buf);
    if (fault !== null) {
      exchange.refused(fault);
      this.answer(fault, head.body !== BODY.none);
      return head.end;
    }
    if (head.body === BODY.length && head.length === 0) exchange.upload.finish(null, null);
    const at = this.feed(buf, head.end);
    if (exchange.inFlight) exchange.send();
    if (this.state === STATE.busy && this.incoming !== BODY.none) this.awaitBody();
    return at;
  }

  /** Takes body bytes of the request under way from [from, end). @returns offset behind them. */
  private feed(buf: Buffer, from: number): number {
    const { upload } = this.exchange;
    if (upload.complete || this.incoming === BODY.none || from === buf.length) return from;
    // The answer came before the body was complete: the rest is read, within limits, and dropped.
    if (!this.exchange.inFlight) return buf.length;
    if (this.incoming === BODY.chunked) return this.feedChunks(buf, from);
    const end = Math.min(buf.length, from + this.remaining);
    this.remaining -= end - from;
    if (!upload.add(buf, from, end)) this.exchange.badUpload(REJECT.bodyTooLarge);
    else if (this.remaining === 0) this.uploaded(null, null);
    else this.awaitBody();
    return end;
  }

  private feedChunks(buf: Buffer, from: number): number {
    const chunks = this.chunks!;
    const { upload } = this.exchange;
    for (let at = from; ; at = chunks.at) {
      const found = chunks.next(buf, at, buf.length);
      if (found === CHUNK.data) {
        if (upload.add(buf, chunks.dataStart, chunks.dataEnd)) continue;
        this.exchange.badUpload(REJECT.bodyTooLarge);
        return buf.length;
      }
      if (found === CHUNK.more) {
        this.awaitBody();
        return buf.length;
      }
      if (found === CHUNK.end) this.uploaded(chunks.trailers, chunks.trailerBytes);
      else this.exchange.badUpload(REJECT.badChunk);
      return found === CHUNK.end ? chunks.at : buf.length;
    }
  }

  private uploaded(trailers: FieldBlock | null, source: Buffer | null): void {
    this.incoming = BODY.none;
    if (!this.congested) this.ctx.timers.disarm(this.deadline);
    this.exchange.upload.finish(trailers, source);
    this.exchange.uploaded();
  }

  private awaitBody(): void {
    if (this.state === STATE.busy && !this.uploadPaused && this.exchange.upload.awaited)
      this.ctx.timers.arm(this.deadline, bodyTime(this.exchange, this.ctx.table.edge, this.bodySince, this.ctx.timers.now));
  }

  // ── answering ───────────────────────────────────────────────────────────────────────────────────

  informational(head: ResponseHead, src: Buffer): void {
    if (this.minor === 1) this.delivery.head(head, src, NO_BODY);
    // Until now it was the backend that made it wait.
    if (head.status === 100 && this.exchange.upload.bytes === 0 && !this.uploadPaused) this.bodySince = this.ctx.timers.now;
    this.awaitBody();
  }

  respond(head: ResponseHead, src: Buffer, extra: string, turn: AnswerTurn | null): void {
    const body = this.delivery.framingFor(head.body, this.minor);
    this.closeAfter = !this.keepAlive || this.ctx.closing || !this.exchange.upload.complete || body === BODY.close;
    this.delivery.head(head, src, { minor: this.minor, body, close: this.closeAfter, extra, turn });
    this.awaitBody();
  }

  body(chunk: Buffer, from: number, to: number): void {
    this.delivery.body(chunk, from, to);
  }

  end(trailers: FieldBlock | null, src: Buffer | null, turn: AnswerTurn | null): void {
    this.delivery.end(trailers, src, turn);
  }

  switchProtocols(head: ResponseHead, src: Buffer): void {
    this.delivery.head(head, src, NO_BODY);
    this.flush();
    this.state = STATE.tunnel;
    this.closeAfter = true;
    this.last = false;
    const rest = this.pending;
    this.pending = null;
    this.socket.resume();
    if (rest !== null) this.exchange.tunnel?.up(rest, 0, rest.length);
  }

  tunnel(chunk: Buffer, from: number, to: number): void {
    this.delivery.raw(chunk, from, to);
  }

  endTunnel(): void {
    this.flush();
    this.socket.end();
  }

  flush(): void {
    this.delivery.flush();
    if (this.congested) this.ctx.timers.arm(this.deadline, this.ctx.table.edge.timeouts.body);
  }

  refuse(fault: Fault): void {
    this.answer(fault, !this.exchange.upload.complete);
  }

  private refuseHead(fault: Fault): void {
    this.state = STATE.busy;
    this.minor = 1;
    this.keepAlive = false;
    this.form = 'text';
    this.exchange.refusedUnread(fault);
    this.answer(fault, true);
  }

  /** An answer of our own. A request whose body is not read to its end closes the connection. */
  private answer(fault: Fault, bodyLeft: boolean): void {
    this.flush();
    this.last = false;
    this.closeAfter = !this.keepAlive || this.minor === 0 || this.ctx.closing || bodyLeft || endsConnection(fault);
    this.socket.write(ownAnswer(fault, this.exchange.answerStyle(fault, this.form, this.closeAfter)));
    this.finished(true);
  }

  retract(): boolean {
    return this.delivery.retract();
  }

  cut(fault: Fault): boolean {
    return this.delivery.cut(fault, this.form === 'grpc');
  }

  pause(): void {
    this.uploadPaused = true;
    this.bodySince -= this.ctx.timers.now;
    if (!this.congested) this.ctx.timers.disarm(this.deadline);
    this.socket.pause();
    this.exchange.uploaded();
  }

  resume(): void {
    this.uploadPaused = false;
    this.bodySince += this.ctx.timers.now;
    if (this.pending === null || this.pending.length <= PIPELINE_LIMIT) this.socket.resume();
    this.awaitBody();
  }

  finished(completed: boolean): void {
    if (!completed || this.state === STATE.closed) return this.close();
    if (this.closeAfter) return this.linger();
    this.state = STATE.head;
    this.idleSince = this.ctx.timers.now;
    this.ctx.timers.arm(this.deadline, this.ctx.table.edge.timeouts[this.congested ? 'body' : 'keepAlive']);
    if (!this.reading) this.readPending();
  }

  private readPending(): void {
    const rest = this.pending;
    if (rest === null || this.congested || this.state !== STATE.head) return;
    this.pending = null;
    if (rest.length > PIPELINE_LIMIT) this.socket.resume();
    this.onData(rest);
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────

  /** Says nothing more, and reads a bounded rest so that the client gets the answer and not a reset (RFC 9112 §9.6). */
  private linger(): void {
    // Who has sent all of what it called its last request sends no more: a wait would cost two system calls.
    if (this.last && this.pending === null && this.exchange.upload.complete && this.socket.writableLength === 0) return this.close();
    this.state = STATE.linger;
    this.pending = null;
    this.lingered = 0;
    this.socket.end();
    this.socket.resume();
    // A slow reader gets the time of a body for what is still to be sent.
    this.ctx.timers.arm(this.deadline, this.socket.writableLength > 0 ? this.ctx.table.edge.timeouts.body : LINGER.ms);
  }

  /** Ends the connection if it is idle, and was so at that time (on the wheel's clock). */
  closeIdle(at: number): void {
    if (this.isIdle && this.idleSince <= at) this.linger();
  }

  /** Ends it now. */
  close(): void {
    if (this.state !== STATE.closed) this.delivery.hangUp(this.exchange.inFlight || this.socket.writableLength > 0);
    this.closed();
  }

  private closed(): void {
    if (this.state === STATE.closed) return;
    this.state = STATE.closed;
    this.pending = this.partial = null;
    this.ctx.timers.drop(this.deadline);
    this.ctx.left(this);
    this.ctx.callers.disconnect(this.row);
    this.exchange.clientGone();
    for (const preface of this.prefaces) preface.close();
  }

  onEnd(): void {
    if (this.state === STATE.tunnel) this.exchange.tunnel?.clientFinished();
    else if (this.state === STATE.head) this.linger();
    // A client that has closed its side while it waits is taken as gone: it cannot be told apart from one that is.
    else if (this.state === STATE.busy) this.close();
  }

  onDrain(): void {
    if (this.state === STATE.head) return this.readPending();
    this.ctx.timers.disarm(this.deadline);
    this.awaitBody();
    this.exchange.clientDrained();
  }

  onError(): void {
    // What follows is 'close', which says all that matters here.
  }

  onClose(): void {
    this.closed();
  }

  expired(): void {
    if (this.state === STATE.head && this.partial !== null) this.refuseHead(REJECT.headTimeout);
    else if (this.state !== STATE.busy || this.congested || this.exchange.upload.complete || !this.exchange.inFlight) this.close();
    else if (this.socket.withheld !== true) this.exchange.badUpload(REJECT.bodyTimeout);
    else {
      // There was no room for more of the body: it has as much time again.
      this.bodySince += this.ctx.table.edge.timeouts.body;
      this.awaitBody();
    }
  }
}
