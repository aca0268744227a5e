import { lossOf } from '../dial/loss.ts';
import { FAILURE, REJECT, type Fault } from '../errors/catalogue.ts';
import { writeRequest } from '../http/forward-request.ts';
import { BODY, type RequestHead } from '../http/request-head.ts';
import type { ResponseHead } from '../http/response-head.ts';
import { KIND, OUTCOME, type Outcome } from '../ledger/thread.ts';
import { Answer, READ } from './_answer.ts';
import { ExchangeRecord, backoff } from './_record.ts';
import { choose } from './_choose.ts';
import { guard } from './_guard.ts';
import { rescue } from './_rescue.ts';
import { EventBoundary, isStream, methodTraits, TRAIT } from './_traits.ts';
import type { Context } from './context.ts';
import { Deadline, type Expiring } from './deadline.ts';
import type { Downstream } from './downstream.ts';
import { Tunnel, switchedTo, type TunnelOwner } from './tunnel.ts';
import { UpstreamConnection, type UpstreamUser } from './upstream.ts';

const STATE = { idle: 0, open: 1, held: 2, backoff: 3, sent: 4, body: 5, tunnel: 6 } as const;
const MOST_INFORMATIONAL = 10;

/**
 * THE LIFE OF A REQUEST, top to bottom: open → admit (version, backend, claim) → dispatch → read the
 * head → relay the body → complete; or lose → retry, or refuse. One object a client connection, used again for each
 * request: no promise, closure or timer is made for one.
 */
export class Exchange extends ExchangeRecord implements UpstreamUser, Expiring, TunnelOwner {
  tunnel: Tunnel | null = null;
  private readonly deadline: Deadline;
  private readonly answer: Answer;
  private readonly events = new EventBoundary();
  private connection: UpstreamConnection | null = null;
  private state: number = STATE.idle;

  constructor(ctx: Context, down: Downstream) {
    super(ctx, down);
    this.deadline = new Deadline(this);
    this.answer = new Answer(ctx.responseHead);
  }

  // ── 2, 3 · route and guard: nothing is claimed yet ──────────────────────────────────────────────

  /** Takes a parsed head. @returns why it is refused, or null: then come `upload` calls for the body at hand, then `send`. */
  open(head: RequestHead, buf: Buffer): Fault | null {
    const { ctx } = this;
    ctx.refresh();
    this.clear(methodTraits(buf, head.start, head.methodEnd));
    const id = ctx.ids.next();
    if (ctx.log.mode !== 'off') this.describe(head, buf);
    if (ctx.log.mode !== 'off' || ctx.table.usesIds) this.identify(head, buf, id);
    const fault = guard(ctx, this, head, buf);
    if (fault !== null) return fault;
    this.upload.begin(head, this.bodyLimit, this.turn);
    writeRequest(ctx.requestWriter, head, buf, this.down.forwarder, ctx.ids.pool, id, this.turn);
    this.state = STATE.open;
    this.enter(this.upstream!);
    return null;
  }

  // ── 4, 5, 6 · version, backend, claim: all in one tick ──────────────────────────────────────────

  /** The head and what there was of the body are in the writer: find them a backend. */
  send(): void {
    this.upload.seal();
    this.admit();
    if (this.claimed && this.upstream!.mirror !== null) this.ctx.shadows.copy(this);
  }

  private admit(): void {
    // Nobody goes before those that wait for a place already.
    const fault = this.queues ? REJECT.backendsFull : choose(this.ctx, this);
    if (fault === null) return this.dispatch();
    const room = (this.room = this.roomFor(fault));
    if (room === null) return this.refuse(fault);
    if (!this.ctx.hold.enter(this.upstream!, room, this)) return this.refuse(room.full);
    this.state = STATE.held;
    this.ctx.timers.arm(this.deadline, room.timeout);
  }

  /**
   * Asks a held request to go on with the table that is current now.
   * @param fault why it cannot, if that is known. @returns whether it has left the queue.
   */
  unhold(fault: Fault | null): boolean {
    const found = fault ?? choose(this.ctx, this);
    if (fault === null && found !== null && this.roomFor(found) !== null) return false;
    this.ctx.hold.leave(this.upstream!.name, this);
    if (found === null) this.dispatch();
    else this.refuse(found);
    return true;
  }

  // ── 7 · send ────────────────────────────────────────────────────────────────────────────────────

  private dispatch(): void {
    this.claimed = true;
    this.touched = false;
    const connection = UpstreamConnection.take(this.ctx, this.backend!, this, this.retries > 0, this.preface);
    this.connection = connection;
    this.answer.reset();
    this.reused = connection.connected;
    this.state = STATE.sent;
    this.upload.sendOver(connection);
    if (connection.connected) this.awaitHead();
    else this.ctx.timers.arm(this.deadline, this.upstream!.policy.timeouts.dial);
  }

  connected(): void {
    this.upstreamDrained();
  }

  /** While the client still sends, the clock that runs is the client's; while it waits for a 100, the backend's. */
  private awaitHead(): void {
    if (this.upload.complete || this.upload.blocked || this.upload.uninvited) this.ctx.timers.arm(this.deadline, this.upstream!.policy.timeouts.head);
    else this.ctx.timers.disarm(this.deadline);
  }

  upstreamDrained(): void {
    this.upload.settle();
    this.uploaded();
  }

  /** Further bytes of the request body, or its end, have been taken. */
  uploaded(): void {
    if (this.state === STATE.sent && this.connection?.connected === true) this.awaitHead();
    else if (this.state === STATE.body && !this.blocked) this.awaitBody();
  }

  // ── 8 · relay ───────────────────────────────────────────────────────────────────────────────────

  received(chunk: Buffer): void {
    this.touched = true;
    this.answer.offer(chunk);
    if (this.state === STATE.sent) this.readHead();
    else if (this.state === STATE.body) this.relay();
    if (this.connection !== null || this.state === STATE.tunnel) this.down.flush();
  }

  private readHead(): void {
    for (;;) {
      const found = this.answer.nextHead(this.isHead, (this.traits & TRAIT.upgrade) !== 0);
      if (found === READ.more) return;
      if (found === READ.bad) return this.lose(FAILURE.badResponse);
      const { head, buf } = this.answer;
      if (head.status === 101) return this.switchProtocols(head, buf);
      if (head.status >= 200) return this.respond(head, buf);
      if (++this.informational > MOST_INFORMATIONAL) return this.lose(FAILURE.badResponse);
      if (head.status === 100) this.upload.uninvited = false;
      this.down.informational(head, buf);
      this.awaitHead();
    }
  }

  private respond(head: ResponseHead, buf: Buffer): void {
    if (head.status < this.upstream!.policy.outlier.answers) this.ctx.ledger.succeeded(this.backend!.slot);
    else this.ctx.ledger.erred(this.backend!.slot);
    if (head.status === 404 && (this.traits & TRAIT.asset) !== 0 && rescue(this.ctx, this, this.answer, this.connection!)) return this.dispatch();
    this.status = head.status;
    this.fault = null;
    this.reusable = head.keepAlive;
    this.keepAliveSeconds = head.keepAliveSeconds;
    this.state = STATE.body;
    this.upload.forget();
    if (isStream(head, buf)) {
      this.kind = KIND.stream;
      this.events.begin(head, buf);
      this.ctx.ledger.become(this.backend!.slot, KIND.stream);
    }
    this.down.respond(head, buf, this.extra, this.turn);
    this.relay();
  }

  private relay(): void {
    const { answer } = this;
    for (;;) {
      const found = answer.nextBody();
      if (found === READ.end) return this.complete();
      if (found === READ.bad) return this.lose(FAILURE.badResponse);
      if (found === READ.more) break;
      this.deliver(answer.buf, answer.dataStart, answer.dataEnd);
      if (this.state !== STATE.body) return;
    }
    if (this.down.congested) {
      this.blocked = true;
      this.connection?.socket.pause();
      if (!this.closing) this.ctx.timers.disarm(this.deadline);
    } else this.awaitBody();
  }

  private deliver(buf: Buffer, from: number, to: number): void {
    const boundary = this.kind === KIND.stream ? this.events.feed(buf, from, to) : -1;
    const end = this.closing && boundary !== -1 ? boundary : to;
    this.bytesOut += end - from;
    this.down.body(buf, from, end);
    if (this.closing && boundary !== -1) this.endStream();
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

  private switchProtocols(head: ResponseHead, buf: Buffer): void {
    const protocol = switchedTo(this.protocols, head, buf);
    if (protocol === null) return this.lose(FAILURE.badResponse);
    const { at, to } = this.answer;
    const connection = this.connection!;
    this.connection = null;
    this.state = STATE.tunnel;
    this.status = 101;
    this.fault = null;
    this.kind = KIND.tunnel;
    this.ctx.timers.disarm(this.deadline);
    this.ctx.ledger.succeeded(this.backend!.slot);
    this.ctx.ledger.become(this.backend!.slot, KIND.tunnel);
    this.upload.close();
    const { tunnel: idle, idle: halfIdle } = this.upstream!.policy.timeouts;
    const webSocket = protocol === 'websocket';
    this.tunnel = new Tunnel({ ctx: this.ctx, down: this.down, owner: this, connection, idle, halfIdle, webSocket });
    this.down.switchProtocols(head, buf);
    if (at < to) this.tunnel.fromUpstream(buf, at, to);
  }

  // ── 9 · outcome ─────────────────────────────────────────────────────────────────────────────────

  private complete(): void {
    const { answer } = this;
    const connection = this.connection!;
    this.connection = null;
    this.down.end(answer.trailers, answer.trailerBytes, this.turn);
    // A connection on which more has come than was asked for is not used again.
    if (answer.at < answer.to || !this.reusable || !this.upload.complete) connection.destroy();
    else connection.giveBack(this.keepAliveSeconds);
    answer.drop();
    this.release(OUTCOME.completed);
    this.down.flush();
    this.down.finished(true);
  }

  upstreamEnded(): void {
    if (this.state === STATE.body && this.answer.framing === BODY.close) this.complete();
    else this.upstreamClosed(this.connection?.error ?? null);
  }

  upstreamClosed(error: Error | null): void {
    if (this.connection === null) return;
    this.lose(this.state === STATE.body ? FAILURE.truncated : lossOf(error, this.connection.connected));
  }

  expired(): void {
    if (this.state === STATE.held) this.unhold(this.room!.late);
    else if (this.state === STATE.backoff) this.again();
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
    this.upload.detach();
    this.ctx.timers.disarm(this.deadline);
    const unseen = fault === FAILURE.streamRefused;
    if (unseen && this.mayResend()) {
      this.fault = fault;
      // Another connection may be all that it takes, so that the first time the choice is free; from the second on it goes elsewhere, or later.
      if (this.resent > 1) this.tried.push(this.backend!.slot);
      return this.again();
    }
    this.ctx.countFailed(this.backend!.slot, fault);
    if (this.state === STATE.body && !this.down.retract()) return this.cutShort(OUTCOME.upstreamFailed, fault);
    // Nothing is lost by it: the connection was never made; or a used one was closed under it before any answer (RFC 9110 §9.2.2).
    const stale = fault === FAILURE.reset && this.reused && !this.touched;
    if (unseen || !this.mayRetry(fresh, stale)) return this.refuse(fault);
    if (fresh) this.tried.push(this.backend!.slot);
    this.fault = fault;
    this.again();
  }

  /** Claims the next backend before the old claim is let go, so that neither version looks drained in between. */
  private again(): void {
    const { backend, version, mayStay } = this;
    const fault = mayStay && (this.traits & TRAIT.rescued) !== 0 ? REJECT.unavailable : choose(this.ctx, this);
    if (fault === null) {
      this.letGo(backend!, version!);
      this.dispatch();
    } else if (mayStay) this.dispatch();
    else if (this.tried.length > 0 && this.state !== STATE.backoff) {
      // No other backend: the same one gets a moment to come back.
      this.tried.length = 0;
      this.state = STATE.backoff;
      this.ctx.timers.arm(this.deadline, backoff());
    } else if (fault === REJECT.backendsFull) this.dispatch();
    else this.refuse(this.fault ?? fault);
  }

  private refuse(fault: Fault): void {
    if (!this.claimed) this.ctx.countRejected(fault);
    this.answerItself(OUTCOME.upstreamFailed, fault);
  }

  private answerItself(outcome: Outcome, fault: Fault): void {
    this.status = fault.status;
    this.fault = fault;
    this.bytesOut = 0;
    this.release(outcome);
    this.down.refuse(fault);
  }

  /** The answer has begun and cannot be completed. */
  private cutShort(outcome: Outcome, fault: Fault): void {
    this.fault = fault;
    this.release(outcome);
    this.down.finished(this.down.cut(fault));
  }

  /** The client is gone: so is its request, at once. */
  clientGone(): void {
    this.ctx.timers.drop(this.deadline);
    if (this.tunnel !== null) return this.tunnel.clientGone();
    if (this.state === STATE.idle) return;
    this.drop();
    this.release(OUTCOME.clientAborted);
  }

  /** The request body is not what its head promised, or too large. */
  badUpload(fault: Fault): void {
    this.drop();
    this.ctx.countRejected(fault);
    if (this.state === STATE.body) this.cutShort(OUTCOME.clientAborted, fault);
    else this.answerItself(OUTCOME.clientAborted, fault);
  }

  private drop(): void {
    if (this.state === STATE.held) this.ctx.hold.leave(this.upstream!.name, this);
    this.connection?.destroy();
    this.connection = null;
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
    if (this.answer.framing === BODY.length) return this.kill();
    this.drop();
    this.fault = FAILURE.killed;
    this.down.end(null, null, null);
    this.release(OUTCOME.killed);
    this.down.flush();
    this.down.finished(true);
  }

  /** Cuts it now. */
  kill(): void {
    if (this.tunnel !== null) return this.tunnel.end(OUTCOME.killed);
    if (this.state === STATE.idle) return;
    this.drop();
    if (this.state === STATE.body) this.cutShort(OUTCOME.killed, FAILURE.killed);
    else this.answerItself(OUTCOME.killed, FAILURE.killed);
  }

  tunnelOver(outcome: Outcome, clean: boolean, bytesUp: number, bytesDown: number): void {
    this.tunnel = null;
    this.upload.bytes = bytesUp;
    this.bytesOut = bytesDown;
    this.release(outcome);
    this.down.finished(clean);
  }

  /** The exchange is over; this object may be used for the next request. */
  private release(outcome: Outcome): void {
    this.ctx.timers.disarm(this.deadline);
    this.state = STATE.idle;
    this.closeBooks(outcome);
  }
}
