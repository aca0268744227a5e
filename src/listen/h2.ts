import { constants, performServerHandshake } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { REJECT, type Fault } from '../errors/catalogue.ts';
import { forwarderOf, type Forwarder } from '../http/forward-request.ts';
import { HeadGauge } from '../http/head-gauge.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import { EDGE } from '../ledger/layout.ts';
import { ClientConnection } from '../proxy/client.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { MANY_CLIENTS } from '../proxy/callers.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own, type SocketOwner } from '../proxy/sockets.ts';
import type { HeldBack } from '../proxy/unread.ts';
import { Allowance } from './_allowance.ts';
import { Backlog } from './_h2-backlog.ts';
import { H2StreamSocket } from './_h2-stream.ts';
import { STREAM_WINDOW, Thrift } from './_h2-thrift.ts';
import { SessionWindow } from './_h2-window.ts';
import { H2Wire } from './_h2-wire.ts';

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = constants;

/** Errors of nghttp2 that say so: a callback that had enough (too many frames that mean nothing), too many answers owed, too many CONTINUATIONs. */
const FLOODS: ReadonlySet<number> = new Set([-902, -904, -905]);

/** Streams that a client may have reset, itself or by what it sends: so many at once, and a second. */
const RESETS = 100;
const RESETS_A_SECOND = 30;
/** nghttp2 counts them too, but only when streams have been made of them, and without those that we forgive. */
const RESETS_LATER = 10_000;
/** Bytes that heads may grow by when they are decoded: so many at once (or four of the largest heads), and a second. */
const DECODED = 1_048_576;
const DECODED_HEADS = 4;
const DECODED_A_SECOND = 8_388_608;
/** To so much a byte of a head comes that names no entry of a table: 1.6, when it is Huffman-coded. */
const PLAIN = 2;
/** Heads that are no request: so many at once, and a second. A client that is well makes none. */
const MALFORMED = 10;
const MALFORMED_A_SECOND = 1;
/** A read with more heads than that is looked at in pieces, in any of which it may turn out to be a flood. */
const HEADS_AT_ONCE = 32;
const SESSION_MEMORY_MB = 10;
/** What node:http2 counts by itself: frames that mean nothing, and streams that come past the limit or with a head past all measure. */
const INVALID_FRAMES = 100;
const REJECTED_STREAMS = 20;
/** A head that is too large by so much is still read, to be refused on its stream alone (431); a larger one ends the connection unread. */
const HEAD_ROOM = 2;
/** What our goodbye may take to be sent. */
const GOODBYE_MS = 1_000;
/** Between two streams each keeps some 3 KB. */
const MOST_FREE = 16;
const STATE = { open: 0, closing: 1, dying: 2, over: 3 } as const;

/** Who comes with HTTP/2. */
export interface H2Client {
  readonly ends: Endpoints;
  /** What it says in forwarding fields is believed. */
  readonly trusted: boolean;
  /** Of the client, among those whose connections are counted. */
  readonly row: number;
}

/**
 * An HTTP/2 connection (RFC 9113): each of its streams is a client connection of its own to the rest of the proxy. Here are only
 * the things that streams share: flow control and frames (node:http2), how many there may be, how long there may be none.
 */
export class H2Connection implements Expiring, Arriving, HeldBack, SocketOwner {
  private readonly ctx: Context;
  private readonly client: H2Client;
  private readonly socket: Socket;
  private readonly session: ServerHttp2Session;
  /** The same for all its streams. */
  private readonly forwarder: Forwarder;
  private readonly deadline: Deadline;
  readonly thrift: Thrift;
  readonly backlog: Backlog;
  private readonly wire: H2Wire;
  private readonly gauge: HeadGauge;
  private readonly decodable: Allowance;
  /** What streams were carried by, for the next ones. */
  private readonly free: H2StreamSocket[] = [];
  private readonly malformed: Allowance;
  /** Streams that had come and were not taken back when something was sent last, and what had been sent by then. */
  private answered = 0;
  private sent = 0;
  /** When there was room again for bodies that had to wait for it. */
  private roomSince = -Infinity;
  /** The client takes streams back in the bytes that are read now. */
  takesBack = false;
  private open = 0;
  private blamed = false;
  private state: number = STATE.open;
  /** Bytes that waited to be sent when that was looked at last. */
  private unsent = 0;
  /** Resets that are forgiven. */
  private readonly resets: Allowance;
  /** Those that have been counted as they came, before their streams were known to have ended by them. */
  private counted = 0;

  constructor(ctx: Context, socket: Socket, client: H2Client) {
    const { limits, timeouts } = ctx.table.edge;
    this.ctx = ctx;
    this.client = client;
    this.forwarder = forwarderOf(client.ends, client.trusted, ctx.reserved);
    this.socket = socket;
    // Who shares an address with a flooder is to go on all the same, with room for what browsers do.
    const share = client.row === MANY_CLIENTS ? 1 : 0.5 ** ctx.callers.floodsOf(client.ends.address);
    this.resets = new Allowance(RESETS * share, RESETS_A_SECOND * share, ctx.timers.now);
    this.malformed = new Allowance(MALFORMED * share, MALFORMED_A_SECOND, ctx.timers.now);
    this.decodable = new Allowance(Math.max(DECODED, limits.head * DECODED_HEADS), DECODED_A_SECOND, ctx.timers.now);
    this.deadline = new Deadline(this);
    own(socket, this);
    this.gauge = new HeadGauge({ fields: limits.headers * HEAD_ROOM, bytes: limits.head * HEAD_ROOM });
    this.wire = new H2Wire(socket);
    // RFC 9113 §9.2.1.
    if (socket instanceof TLSSocket) socket.disableRenegotiation();
    this.session = performServerHandshake(this.wire, {
      settings: {
        enableConnectProtocol: true,
        enablePush: false,
        initialWindowSize: Math.min(STREAM_WINDOW, limits.unread),
        maxConcurrentStreams: limits.streams,
        maxHeaderListSize: limits.head * HEAD_ROOM,
      },
      maxHeaderListPairs: limits.headers * HEAD_ROOM,
      maxSessionMemory: SESSION_MEMORY_MB,
      maxSettings: 32,
      maxSessionInvalidFrames: INVALID_FRAMES,
      maxSessionRejectedStreams: REJECTED_STREAMS,
      maxOutstandingPings: 2,
      streamResetBurst: RESETS_LATER,
      streamResetRate: RESETS_LATER,
      // A backend may send any field twice; that is for its client to judge, and no reason to throw here.
      strictSingleValueFields: false,
    });
    this.backlog = new Backlog(limits.unread, ctx.unread, new SessionWindow(this.session, limits.unread));
    this.session.on('stream', (stream: ServerHttp2Stream, _headers, flags, raw) => this.begin(stream, flags, raw));
    this.session.on('error', (error: NodeJS.ErrnoException) => this.failed(error));
    this.session.on('close', () => this.leave());
    this.thrift = new Thrift(socket, ctx.timers, { share, window: limits.unread }, () => this.flooded());
    ctx.arriving.add(this);
    ctx.ledger.count(EDGE.connections, 1);
    ctx.ledger.count(EDGE.accepted, 1);
    ctx.timers.arm(this.deadline, timeouts.clientHead);
  }

  private begin(stream: ServerHttp2Stream, flags: number, fields: readonly string[]): void {
    const { ctx, client } = this;
    this.thrift.stream();
    // It was reset in the bytes behind its head, or the connection is about to end: nobody is asked.
    if (stream.destroyed || stream.closed || this.state >= STATE.dying) {
      const isReset = stream.destroyed || stream.closed;
      stream.on('error', () => undefined);
      stream.destroy();
      return isReset ? this.pay() : undefined;
    }
    // While there are streams, each has its own deadlines; that anything is read at all is looked at here.
    if (this.open++ === 0 && this.state === STATE.open) ctx.timers.arm(this.deadline, ctx.table.edge.timeouts.body);
    const socket = this.freeSocket();
    const isFine = socket.begin(stream, fields, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
    if (isFine) return;
    ctx.countRejected(REJECT.h2Malformed);
    ctx.log.refused(client.ends.address, REJECT.h2Malformed.code);
    socket.owner?.close();
    if (!this.malformed.spend(1, ctx.timers.now)) this.flooded();
  }

  /** One that has carried a stream before, or a new one. */
  private freeSocket(): H2StreamSocket {
    for (let free = this.free.pop(); free !== undefined; free = this.free.pop()) if (free.owner?.isIdle === true) return free;
    const socket = new H2StreamSocket(this);
    new ClientConnection(this.ctx, socket, this.forwarder, false);
    return socket;
  }

  ended(stream: ServerHttp2Stream, socket: H2StreamSocket): void {
    const { ctx } = this;
    this.open--;
    this.backlog.flow(socket);
    this.settle();
    if (socket.owner?.isIdle === true && this.state === STATE.open && this.free.length < MOST_FREE) this.free.push(socket);
    else socket.owner?.close();
    // A reset that we were made to send costs as much as one that came (RFC 9113 §10.5; CVE-2023-44487, CVE-2025-8671).
    if (!socket.isCut && (stream.rstCode !== constants.NGHTTP2_NO_ERROR || stream.aborted)) this.pay();
    // Who lets as many requests end as it takes back is no flood.
    else this.resets.give(1);
    if (this.open === 0 && this.state === STATE.open) ctx.timers.arm(this.deadline, ctx.table.edge.timeouts.keepAlive);
  }

  /** For a stream that was reset, unless that was counted when it came. Who cannot is a flood. */
  private pay(): void {
    if (this.counted > 0) this.counted--;
    else if (!this.resets.spend(1, this.ctx.timers.now)) this.flooded();
  }

  private flooded(): void {
    if (this.state >= STATE.dying) return;
    this.blame(REJECT.h2Flood);
    this.end(NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** What the session itself does not put up with. It has said goodbye already, and the socket may be closed. */
  private failed(error: NodeJS.ErrnoException): void {
    if (FLOODS.has(error.errno ?? 0)) this.blame(REJECT.h2Flood);
    else if (error.code === 'ERR_HTTP2_ERROR') this.blame(REJECT.h2Protocol);
    this.close();
  }

  private blame(fault: Fault): void {
    if (this.blamed) return;
    this.blamed = true;
    if (fault === REJECT.h2Flood && this.client.row !== MANY_CLIENTS) this.ctx.callers.flooded(this.client.ends.address);
    this.ctx.countRejected(fault);
    this.ctx.log.refused(this.client.ends.address, fault.code);
  }

  expired(): void {
    const { ctx, socket, session, state } = this;
    const { body } = ctx.table.edge.timeouts;
    if (state === STATE.dying) {
      // It does not read, not even the goodbye.
      socket.destroy();
      this.leave();
    } else if (this.open > 0) {
      const before = this.unsent;
      this.unsent = socket.writableLength;
      if (this.unsent > 0 && this.unsent === before) this.close();
      else ctx.timers.arm(this.deadline, body);
    } else if (state === STATE.closing) this.close();
    else {
      this.state = STATE.closing;
      session.close();
      ctx.timers.arm(this.deadline, body);
    }
  }

  /** The thread is to end: no new streams (GOAWAY); those that are open finish. */
  closeIdle(): void {
    if (this.state !== STATE.open) return;
    this.state = STATE.closing;
    this.session.close();
    this.ctx.timers.arm(this.deadline, this.ctx.table.edge.timeouts.body);
  }

  close(): void {
    this.end(NGHTTP2_NO_ERROR);
  }

  private end(code: number): void {
    if (this.state >= STATE.dying) return;
    this.state = STATE.dying;
    this.thrift.end();
    this.ctx.timers.arm(this.deadline, GOODBYE_MS);
    // While it waits for a write it would end without its goodbye, and it hears of a write an immediate after that is done.
    setImmediate(() => setImmediate(() => this.sayGoodbye(code)));
  }

  private sayGoodbye(code: number): void {
    // Without an error it would not heed the code.
    if (code === NGHTTP2_NO_ERROR) this.session.destroy();
    else this.session.destroy(new Error('a flood'), code);
  }

  taken(bytes: number): void {
    this.thrift.piece(bytes);
    if (this.backlog.isShort || this.backlog.bytes > 0) this.settle();
  }

  private settle(): void {
    const { backlog, ctx, wire } = this;
    if (backlog.settle()) this.roomSince = ctx.timers.now;
    if (this.state >= STATE.dying || backlog.bytes === 0 || !ctx.unread.isFull) {
      if (wire.held && backlog.bytes === 0) this.proceed();
      return;
    }
    wire.hold();
    ctx.unread.hold(this);
  }

  /** The client is read from again. */
  proceed(): void {
    this.ctx.unread.forget(this);
    this.roomSince = this.ctx.timers.now;
    this.wire.release();
  }

  /** That a body did not come for its time may be because there was no room for it. */
  get withholds(): boolean {
    const { backlog, ctx, wire } = this;
    return wire.held || backlog.isShut || ctx.timers.now - this.roomSince < ctx.table.edge.timeouts.body;
  }

  onData(bytes: Buffer): void {
    if (this.state < STATE.dying) this.thrift.came(bytes.length);
    if (this.state >= STATE.dying) return;
    const { data, streams } = this.gauge;
    if (!this.measured(bytes)) this.flooded();
    // It may have ended by what was measured.
    if (this.state >= STATE.dying) return;
    this.backlog.expect(this.gauge.data - data);
    this.feed(bytes, this.gauge.streams - streams);
    this.takesBack = false;
    this.settle();
  }

  private feed(bytes: Buffer, heads: number): void {
    const size = heads <= HEADS_AT_ONCE ? bytes.length : Math.ceil((bytes.length * HEADS_AT_ONCE) / heads);
    for (let at = 0; at < bytes.length && this.state < STATE.dying; at += size) this.wire.feed(bytes.subarray(at, at + size));
  }

  /** What all of it will cost, before any of it is looked at. @returns false when that is too much. */
  private measured(bytes: Buffer): boolean {
    const { gauge, thrift } = this;
    const { now } = this.ctx.timers;
    const { decoded, encoded, data, resets, beside, streams } = gauge;
    const isRead = gauge.read(bytes);
    const heads = gauge.encoded - encoded;
    if (!isRead || !this.decodable.spend(Math.max(0, gauge.decoded - decoded - heads * PLAIN), now)) return false;
    if (gauge.streams - streams > HEADS_AT_ONCE && !this.mayOpen(streams - resets)) return false;
    thrift.head(heads);
    thrift.data(gauge.data - data);
    const reset = gauge.resets - resets;
    if (reset > 0 && !this.resets.spend(reset, now)) return false;
    this.counted += reset;
    this.takesBack = reset > 0;
    if (gauge.beside > beside) thrift.cameBeside(gauge.beside - beside);
    return true;
  }

  /**
   * As long as nothing is sent to a client none of its streams can have ended for it, but those that it has taken back. Who opens so many
   * then would be ended for it, but with all the allowed ones served first.
   * @param before of all streams, those that were not taken back, before this read.
   */
  private mayOpen(before: number): boolean {
    const { bytesWritten } = this.socket;
    if (bytesWritten !== this.sent) this.answered = before;
    this.sent = bytesWritten;
    return this.gauge.streams - this.gauge.resets - this.answered <= this.ctx.table.edge.limits.streams + REJECTED_STREAMS;
  }

  /** Who hears nothing more has no use for streams. */
  onEnd(): void {
    this.close();
  }

  onDrain(): void {
    // The session has been told by what it wrote with.
  }

  onError(): void {
    // What follows is 'close'.
  }

  onClose(): void {
    this.wire.destroy();
    this.close();
  }

  private leave(): void {
    if (this.state === STATE.over) return;
    this.state = STATE.over;
    this.ctx.unread.forget(this);
    this.backlog.close();
    for (const { owner } of this.free) owner?.close();
    this.free.length = 0;
    this.thrift.end();
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
    this.ctx.callers.disconnect(this.client.row);
    this.ctx.ledger.count(EDGE.connections, -1);
  }
}
