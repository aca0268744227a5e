import { FAILURE, REJECT } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import { CHUNK, ChunkedReader } from '../http/chunked.ts';
import { FIELD } from '../http/fields.ts';
import { writeRequest } from '../http/forward-request.ts';
import { BODY } from '../http/request-head.ts';
import type { Body, RequestHead } from '../http/request-head.ts';
import { ResponseHead } from '../http/response-head.ts';
import { EDGE } from '../ledger/layout.ts';
import { KIND, OUTCOME } from '../ledger/thread.ts';
import type { Kind, Outcome } from '../ledger/thread.ts';
import { Accumulator } from './_accumulator.ts';
import { choose, stickyKey } from './_choose.ts';
import { Upload } from './_upload.ts';
import { EventBoundary, isEventStream, methodTraits, TRAIT } from './_traits.ts';
import type { Context } from './context.ts';
import { Deadline } from './deadline.ts';
import type { Expiring } from './deadline.ts';
import type { Downstream } from './downstream.ts';
import type { BackendTarget, UpstreamLoad, UpstreamTarget, VersionTarget } from './targets.ts';
import { Tunnel } from './tunnel.ts';
import type { TunnelOwner } from './tunnel.ts';
import { UpstreamConnection } from './upstream.ts';
import type { UpstreamUser } from './upstream.ts';

const STATE = { idle: 0, open: 1, held: 2, backoff: 3, sent: 4, body: 5, tunnel: 6 } as const;
const MOST_INFORMATIONAL = 10;
const BACKOFF_MS = 25;
const BACKOFF_SPREAD_MS = 225;
const LEAST_RETRY_BUDGET = 3;

/**
 * THE LIFE OF A REQUEST, top to bottom: open → admit (version, backend, claim) → dispatch → read the
 * head → relay the body → complete; or lose → retry, or refuse. One object a client connection, used again for each
 * request: no promise, closure or timer is made for one.
 */
export class Exchange implements UpstreamUser, Expiring, TunnelOwner {
  readonly down: Downstream;
  /** The request of which the client's side is told, for the log. */
  method = '';
  host = '';
  target = '';
  requestId = '';
  upstream: UpstreamTarget | null = null;
  version: VersionTarget | null = null;
  backend: BackendTarget | null = null;
  /** Split key of a sticky cookie or header; null = the client's address. */
  key: string | null = null;
  /** Version that the sticky cookie is bound to. */
  bound: string | null = null;
  /** Further field lines of the answer (a sticky cookie). */
  extra = '';
  readonly tried: number[] = [];
  readonly upload: Upload;
  tunnel: Tunnel | null = null;
  private readonly ctx: Context;
  private readonly deadline: Deadline;
  private readonly chunks = new ChunkedReader();
  private readonly events = new EventBoundary();
  private connection: UpstreamConnection | null = null;
  private state: number = STATE.idle;
  private traits = 0;
  private retries = 0;
  private reused = false;
  private touched = false;
  private informational = 0;
  kind: Kind = KIND.http;
  private status = 0;
  private fault: Fault | null = null;
  private bodyKind: Body = BODY.none;
  private remaining = 0;
  private reusable = false;
  private keepAliveSeconds = -1;
  private blocked = false;
  private closing = false;
  private startedAt = 0;
  private bytesOut = 0;
  private load: UpstreamLoad | null = null;
  private retrying = false;
  private claimed = false;
  private partial: Accumulator<ResponseHead> | null = null;

  constructor(ctx: Context, down: Downstream) {
    this.ctx = ctx;
    this.down = down;
    this.deadline = new Deadline(this);
    this.upload = new Upload(ctx, down);
  }

  get isHead(): boolean {
    return (this.traits & TRAIT.head) !== 0;
  }

  // ── 2, 3 · route and guard: nothing is claimed yet ──────────────────────────────────────────────

  /** Takes a parsed head. @returns why it is refused, or null: then come `upload` calls for the body at hand, then `send`. */
  open(head: RequestHead, buf: Buffer): Fault | null {
    const { ctx } = this;
    ctx.refresh();
    this.reset(methodTraits(buf, head.start, head.methodEnd));
    if (ctx.log.mode !== 'off') this.describe(head, buf);
    if ((this.traits & TRAIT.trace) !== 0) return REJECT.methodRefused;
    const name = ctx.table.routes.find(head, buf);
    if (typeof name !== 'string') return name;
    const upstream = ctx.table.upstreams.get(name);
    if (upstream === undefined) return REJECT.noRoute;
    this.upstream = upstream;
    const { limits, sticky } = upstream.policy;
    if (limits.body !== null && head.body === BODY.length && head.length > limits.body) return REJECT.bodyTooLarge;
    if (sticky.cookie !== null || sticky.header !== null) stickyKey(this, head, buf);
    if (head.upgrade !== -1) this.traits |= TRAIT.upgrade;
    const ids = ctx.ids.next();
    this.requestId = ids.slice(0, 32);
    this.upload.begin(head.body, limits.body);
    writeRequest(ctx.requestWriter, head, buf, this.down.forwarder, this.requestId, ids.slice(32));
    this.state = STATE.open;
    this.load = upstream.load;
    this.load.active++;
    return null;
  }

  private reset(traits: number): void {
    this.traits = traits;
    this.upstream = null;
    this.version = null;
    this.backend = null;
    this.key = null;
    this.bound = null;
    this.extra = '';
    if (this.tried.length > 0) this.tried.length = 0;
    this.retries = 0;
    this.touched = false;
    this.informational = 0;
    this.kind = KIND.http;
    this.status = 0;
    this.fault = null;
    this.blocked = false;
    this.closing = false;
    this.retrying = false;
    this.claimed = false;
    this.bytesOut = 0;
    this.startedAt = performance.now();
  }

  private describe(head: RequestHead, buf: Buffer): void {
    this.method = buf.toString('latin1', head.start, head.methodEnd);
    this.target = buf.toString('latin1', head.targetStart, head.targetEnd);
    this.host = head.authorityStart === -1 ? '' : buf.toString('latin1', head.authorityStart, head.authorityEnd);
  }

  // ── 4, 5, 6 · version, backend, claim: all in one tick ──────────────────────────────────────────

  /** The head and what there was of the body are in the writer: find them a backend. */
  send(): void {
    this.upload.seal();
    this.admit();
  }

  private admit(): void {
    const fault = choose(this.ctx, this);
    if (fault === null) this.dispatch();
    else if (!this.mayHold(fault)) this.refuse(fault);
    else if (!this.ctx.hold.enter(this.upstream!.name, this, this.upstream!.policy.hold.queue)) this.refuse(REJECT.holdFull);
    else {
      this.state = STATE.held;
      this.ctx.timers.arm(this.deadline, this.upstream!.policy.hold.timeout);
    }
  }

  private mayHold(fault: Fault): boolean {
    return this.upstream!.held || (this.upstream!.policy.hold.whenUnavailable && fault === REJECT.unavailable);
  }

  /**
   * Asks a held request to go on with the table that is current now.
   * @param fault why it cannot, if that is known. @returns whether it has left the queue.
   */
  unhold(fault: Fault | null): boolean {
    const found = fault ?? choose(this.ctx, this);
    if (fault === null && found !== null && this.mayHold(found)) return false;
    this.ctx.hold.leave(this.upstream!.name, this);
    if (found === null) this.dispatch();
    else this.refuse(found);
    return true;
  }

  // ── 7 · send ────────────────────────────────────────────────────────────────────────────────────

  private dispatch(): void {
    this.claimed = true;
    const connection = UpstreamConnection.take(this.ctx, this.backend!, this);
    this.connection = connection;
    this.reused = connection.served > 0;
    this.state = STATE.sent;
    this.upload.sendOver(connection);
    if (connection.connected) this.awaitHead();
    else this.ctx.timers.arm(this.deadline, this.upstream!.policy.timeouts.dial);
  }

  connected(): void {
    if (this.state !== STATE.sent) return;
    this.upload.settle();
    this.awaitHead();
  }

  /** While the client still sends, the clock that runs is the client's. */
  private awaitHead(): void {
    if (this.upload.complete || this.upload.blocked) this.ctx.timers.arm(this.deadline, this.upstream!.policy.timeouts.head);
    else this.ctx.timers.disarm(this.deadline);
  }

  /** Further bytes of the request body, or its end, have been taken. */
  uploaded(): void {
    if (this.state === STATE.sent && this.connection?.connected === true) this.awaitHead();
  }

  upstreamDrained(): void {
    this.upload.settle();
    this.uploaded();
  }

  // ── 8 · relay ───────────────────────────────────────────────────────────────────────────────────

  received(chunk: Buffer): void {
    this.touched = true;
    if (this.state === STATE.sent) this.readHead(chunk);
    else if (this.state === STATE.body) this.relay(chunk, 0, chunk.length);
    if (this.connection !== null || this.state === STATE.tunnel) this.down.flush();
  }

  private readHead(chunk: Buffer): void {
    let buf = chunk;
    let to = chunk.length;
    let at = 0;
    while (at < to) {
      const { partial } = this;
      let head = this.ctx.responseHead;
      if (partial === null) head.begin(at);
      else {
        head = partial.head;
        partial.append(at === 0 ? buf : buf.subarray(at));
        buf = partial.buf;
        to = partial.length;
      }
      if (!head.parse(buf, to, { head: this.isHead, upgrade: (this.traits & TRAIT.upgrade) !== 0 })) {
        if (head.problem !== null) this.lose(FAILURE.badResponse);
        else if (partial === null) this.keepPartial(buf.subarray(at, to));
        return;
      }
      this.partial = null;
      at = head.end;
      if (head.status === 101) return this.switchProtocols(head, buf, at, to);
      if (head.status >= 200) return this.respond(head, buf, at, to);
      if (++this.informational > MOST_INFORMATIONAL) return this.lose(FAILURE.badResponse);
      this.down.informational(head, buf);
      this.awaitHead();
    }
  }

  private keepPartial(bytes: Buffer): void {
    const head = new ResponseHead();
    head.begin(0);
    this.partial = new Accumulator(head, bytes);
    head.parse(this.partial.buf, this.partial.length, { head: this.isHead, upgrade: false });
  }

  private respond(head: ResponseHead, buf: Buffer, at: number, to: number): void {
    const { ctx, backend } = this;
    ctx.ledger.succeeded(backend!.slot);
    this.status = head.status;
    this.bodyKind = head.body;
    this.remaining = head.length;
    this.reusable = head.keepAlive;
    this.keepAliveSeconds = head.keepAliveSeconds;
    this.state = STATE.body;
    this.upload.forget();
    const { contentType, fields } = head;
    if (contentType !== -1 && isEventStream(buf, fields.spans[contentType * 4 + 2], fields.spans[contentType * 4 + 3])) {
      this.kind = KIND.stream;
      this.events.reset();
      ctx.ledger.become(backend!.slot, KIND.stream);
    }
    if (head.body === BODY.chunked) this.chunks.reset();
    this.down.respond(head, buf, this.extra);
    if (head.body === BODY.none || (head.body === BODY.length && head.length === 0)) this.complete(at < to);
    else this.relay(buf, at, to);
  }

  private relay(buf: Buffer, at: number, to: number): void {
    if (this.bodyKind === BODY.length) {
      const end = Math.min(to, at + this.remaining);
      this.remaining -= end - at;
      this.deliver(buf, at, end);
      if (this.remaining === 0) return this.complete(end < to);
    } else if (this.bodyKind === BODY.close) this.deliver(buf, at, to);
    else if (!this.relayChunks(buf, at, to)) return;
    if (this.down.congested) {
      this.blocked = true;
      this.connection?.socket.pause();
      this.ctx.timers.disarm(this.deadline);
    } else this.awaitBody();
  }

  /** @returns whether the body goes on. */
  private relayChunks(buf: Buffer, from: number, to: number): boolean {
    const { chunks } = this;
    for (let at = from; ; at = chunks.at) {
      const found = chunks.next(buf, at, to);
      if (found === CHUNK.data) this.deliver(buf, chunks.dataStart, chunks.dataEnd);
      else if (found === CHUNK.more) return true;
      else {
        if (found === CHUNK.end) this.complete(chunks.at < to);
        else this.lose(FAILURE.truncated);
        return false;
      }
      if (this.state !== STATE.body) return false;
    }
  }

  private deliver(buf: Buffer, from: number, to: number): void {
    if (from === to) return;
    let end = to;
    if (this.kind === KIND.stream) {
      const boundary = this.events.feed(buf, from, to);
      if (this.closing && boundary !== -1) end = boundary;
    }
    this.bytesOut += end - from;
    this.down.body(buf, from, end);
    if (this.closing && (end < to || this.events.reached)) this.endStream();
  }

  private awaitBody(): void {
    const { idle, tunnel } = this.upstream!.policy.timeouts;
    if (!this.closing) this.ctx.timers.arm(this.deadline, this.kind === KIND.stream ? tunnel : idle);
  }

  /** The client takes bytes again. */
  clientDrained(): void {
    if (this.tunnel !== null) return this.tunnel.clientDrained();
    if (!this.blocked) return;
    this.blocked = false;
    this.connection?.socket.resume();
    this.awaitBody();
  }

  private switchProtocols(head: ResponseHead, buf: Buffer, at: number, to: number): void {
    const connection = this.connection!;
    this.connection = null;
    this.state = STATE.tunnel;
    this.status = 101;
    this.kind = KIND.tunnel;
    this.ctx.timers.disarm(this.deadline);
    this.ctx.ledger.succeeded(this.backend!.slot);
    this.ctx.ledger.become(this.backend!.slot, KIND.tunnel);
    this.upload.close();
    const webSocket = isWebSocket(head, buf);
    this.tunnel = new Tunnel({ ctx: this.ctx, down: this.down, owner: this, connection, idle: this.upstream!.policy.timeouts.tunnel, webSocket });
    this.down.switchProtocols(head, buf);
    if (at < to) this.tunnel.fromUpstream(buf, at, to);
  }

  // ── 9 · outcome ─────────────────────────────────────────────────────────────────────────────────

  /** The answer is complete. @param surplus the backend sent more than it: that connection is not used again. */
  private complete(surplus: boolean): void {
    const connection = this.connection!;
    this.connection = null;
    const { trailers, trailerBytes } = this.chunks;
    if (this.bodyKind === BODY.chunked) this.down.end(trailers, trailerBytes);
    else this.down.end(null, null);
    if (surplus || !this.reusable || !this.upload.complete) connection.destroy();
    else connection.giveBack(this.keepAliveSeconds);
    this.release(OUTCOME.completed);
    this.down.flush();
    this.down.finished(true);
  }

  upstreamEnded(): void {
    if (this.state === STATE.body && this.bodyKind === BODY.close) this.complete(false);
    else if (this.state === STATE.body) this.lose(FAILURE.truncated);
    else this.lose(FAILURE.reset);
  }

  upstreamClosed(): void {
    if (this.connection === null) return;
    if (this.state === STATE.body) this.lose(FAILURE.truncated);
    else this.lose(this.connection.connected ? FAILURE.reset : FAILURE.dialFailed);
  }

  expired(): void {
    if (this.state === STATE.held) {
      this.ctx.hold.leave(this.upstream!.name, this);
      this.refuse(REJECT.holdTimeout);
    } else if (this.state === STATE.backoff) this.again();
    else if (this.closing) this.kill();
    else if (this.state === STATE.body) this.lose(FAILURE.idleTimeout);
    else if (this.connection?.connected === true) this.lose(FAILURE.headTimeout);
    else this.lose(FAILURE.dialTimeout);
  }

  /** The backend has failed this attempt. */
  private lose(fault: Fault): void {
    const fresh = this.connection?.connected !== true;
    this.connection?.destroy();
    this.connection = null;
    this.partial = null;
    this.upload.detach();
    this.ctx.timers.disarm(this.deadline);
    this.ctx.countFailed(this.backend!.slot, fault);
    if (this.state === STATE.body) return this.cutShort(OUTCOME.upstreamFailed, fault);
    if (!this.mayRetry(fault, fresh)) return this.refuse(fault);
    this.retries++;
    if (!this.retrying) this.load!.retrying++;
    this.retrying = true;
    this.ctx.ledger.count(EDGE.retries, 1);
    if (fresh) this.tried.push(this.backend!.slot);
    this.fault = fault;
    this.again();
  }

  /** Nothing is lost by it: the connection was never made; or a used one was closed under an idempotent request before any answer (RFC 9110 §9.2.2). */
  private mayRetry(fault: Fault, fresh: boolean): boolean {
    const { retries } = this.upstream!.policy;
    if (this.retries >= retries.attempts || !this.upload.replayable) return false;
    if (fresh) return true;
    if (fault !== FAILURE.reset || !this.reused || this.touched || (this.traits & TRAIT.idempotent) === 0 || (this.traits & TRAIT.upgrade) !== 0) return false;
    const { active, retrying } = this.load!;
    if (retrying < Math.max(LEAST_RETRY_BUDGET, (active * retries.budget) / 100)) return true;
    this.ctx.ledger.count(EDGE.retriesRefused, 1);
    return false;
  }

  /** Claims the next backend before the old claim is let go, so that neither version looks drained in between. */
  private again(): void {
    const { backend, version } = this;
    const fault = choose(this.ctx, this);
    if (fault === null) {
      this.ctx.ledger.settle(backend!.slot, version!.slot, OUTCOME.upstreamFailed, this.kind);
      this.dispatch();
    } else if (this.tried.length > 0 && this.state !== STATE.backoff) {
      // No other backend: the same one gets a moment to come back.
      this.tried.length = 0;
      this.state = STATE.backoff;
      this.ctx.timers.arm(this.deadline, BACKOFF_MS + Math.random() * BACKOFF_SPREAD_MS);
    } else this.refuse(this.fault ?? fault);
  }

  /** The proxy answers itself. */
  private refuse(fault: Fault): void {
    this.status = fault.status;
    this.fault = fault;
    if (!this.claimed) this.ctx.countRejected(fault);
    this.release(OUTCOME.upstreamFailed);
    this.down.refuse(fault);
  }

  /** The answer has begun and cannot be completed. */
  private cutShort(outcome: Outcome, fault: Fault): void {
    this.fault = fault;
    this.release(outcome);
    this.down.cut();
    this.down.finished(false);
  }

  /** The client is gone: so is its request, at once. */
  clientGone(): void {
    if (this.tunnel !== null) return this.tunnel.clientGone();
    if (this.state === STATE.idle) return;
    if (this.state === STATE.held) this.ctx.hold.leave(this.upstream!.name, this);
    this.drop();
    this.release(OUTCOME.clientAborted);
  }

  /** The request body is not what its head promised, or too large. */
  badUpload(fault: Fault): void {
    const answered = this.state === STATE.body;
    if (this.state === STATE.held) this.ctx.hold.leave(this.upstream!.name, this);
    this.drop();
    this.fault = fault;
    if (!answered) this.status = fault.status;
    this.ctx.countRejected(fault);
    this.release(OUTCOME.clientAborted);
    if (answered) this.down.cut();
    else this.down.refuse(fault);
    if (answered) this.down.finished(false);
  }

  private drop(): void {
    this.connection?.destroy();
    this.connection = null;
    this.partial = null;
  }

  // ── drain deadlines ─────────────────────────────────────────────────────────────────────────────

  /** Kind of what is in flight on this version, or null. */
  inFlightOn(versionSlot: number): Kind | null {
    return this.claimed && this.version?.slot === versionSlot ? this.kind : null;
  }

  get inFlight(): boolean {
    return this.state !== STATE.idle;
  }

  /** Ends a stream or tunnel politely: at the next event or frame boundary, within `grace` ms. */
  closePolitely(grace: number): void {
    if (this.tunnel !== null) return this.tunnel.close();
    if (this.kind !== KIND.stream || this.closing) return this.kill();
    this.closing = true;
    this.ctx.timers.arm(this.deadline, grace);
    if (this.events.reached) this.endStream();
  }

  /** A stream has no end of its own: after a whole event, the end of the body is a clean one, and the client connects again. */
  private endStream(): void {
    // A body of stated length has no clean end but its own.
    if (this.bodyKind === BODY.length) return this.kill();
    this.drop();
    this.fault = FAILURE.killed;
    this.down.end(null, null);
    this.release(OUTCOME.killed);
    this.down.flush();
    this.down.finished(true);
  }

  /** Cuts it now. */
  kill(): void {
    if (this.tunnel !== null) return this.tunnel.end(OUTCOME.killed);
    if (this.state === STATE.idle) return;
    if (this.state === STATE.held) this.ctx.hold.leave(this.upstream!.name, this);
    this.drop();
    if (this.state === STATE.body) return this.cutShort(OUTCOME.killed, FAILURE.killed);
    this.status = FAILURE.killed.status;
    this.fault = FAILURE.killed;
    this.release(OUTCOME.killed);
    this.down.refuse(FAILURE.killed);
  }

  tunnelOver(outcome: Outcome, bytesUp: number, bytesDown: number): void {
    this.tunnel = null;
    this.upload.bytes = bytesUp;
    this.bytesOut = bytesDown;
    this.release(outcome);
    this.down.finished(false);
  }

  /** Ends the claim, counts and logs. After it this object may be used for the next request. */
  private release(outcome: Outcome): void {
    const { ctx, backend, version } = this;
    const millis = performance.now() - this.startedAt;
    ctx.timers.disarm(this.deadline);
    this.state = STATE.idle;
    if (this.load !== null) {
      this.load.active--;
      if (this.retrying) this.load.retrying--;
      this.load = null;
    }
    if (this.claimed) {
      if (this.status !== 0) ctx.ledger.answered(backend!.slot, this.status, millis, this.upload.bytes, this.bytesOut);
      ctx.ledger.settle(backend!.slot, version!.slot, outcome, this.kind);
    }
    if (ctx.log.mode !== 'off') this.writeLog(outcome, millis);
    this.claimed = false;
    this.upload.close();
  }

  private writeLog(outcome: Outcome, millis: number): void {
    const aborted = outcome === OUTCOME.clientAborted ? 'client-aborted' : null;
    this.ctx.log.write({
      at: new Date().toISOString(), client: this.down.address, method: this.method, host: this.host, target: this.target, status: this.status,
      ms: Math.round(millis * 1000) / 1000, bytesIn: this.upload.bytes, bytesOut: this.bytesOut, upstream: this.upstream?.name ?? null,
      version: this.version?.id ?? null, backend: this.backend?.address ?? null, retries: this.retries, requestId: this.requestId, reason: this.fault?.code ?? aborted,
    });
  }

  /** A head that could not be read. */
  refuseUnread(fault: Fault): void {
    this.reset(0);
    this.method = this.host = this.target = this.requestId = '';
    this.refused(fault);
  }

  /** A request that was refused before it was sent: counted and logged like any other. */
  refused(fault: Fault): void {
    this.ctx.countRejected(fault);
    if (this.ctx.log.mode === 'off') return;
    this.status = fault.status;
    this.fault = fault;
    this.writeLog(OUTCOME.completed, performance.now() - this.startedAt);
  }
}

function isWebSocket(head: ResponseHead, buf: Buffer): boolean {
  const at = head.fields.find(FIELD.upgrade);
  return at !== -1 && head.fields.value(buf, at).toLowerCase() === 'websocket';
}
