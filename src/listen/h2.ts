import { constants, performServerHandshake } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { REJECT } from '../errors/catalogue.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import { EDGE } from '../ledger/layout.ts';
import { ClientConnection } from '../proxy/client.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own, type SocketOwner } from '../proxy/sockets.ts';
import { H2StreamSocket } from './_h2-stream.ts';

const { NGHTTP2_ENHANCE_YOUR_CALM } = constants;

/** Bytes of request bodies a stream, and all streams together, may have on the way without our having taken them. */
const STREAM_WINDOW = 262_144;
const SESSION_WINDOW = 1_048_576;
/** Streams that a client may take back without having let them be answered: so many at once, and a second. */
const RESETS = 100;
const RESETS_A_SECOND = 20;
const SESSION_MEMORY_MB = 10;

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
export class H2Connection implements Expiring, Arriving, SocketOwner {
  private readonly ctx: Context;
  private readonly client: H2Client;
  private readonly session: ServerHttp2Session;
  private readonly deadline: Deadline;
  private open = 0;
  private saidGoodbye = false;
  private over = false;
  /** Bucket of the resets that are forgiven. */
  private resets = RESETS;
  private resetsAt: number;

  constructor(ctx: Context, socket: Socket, client: H2Client) {
    const { limits, timeouts } = ctx.table.edge;
    this.ctx = ctx;
    this.client = client;
    this.resetsAt = ctx.timers.now;
    this.deadline = new Deadline(this);
    own(socket, this);
    this.session = performServerHandshake(socket, {
      settings: {
        enableConnectProtocol: true,
        enablePush: false,
        initialWindowSize: STREAM_WINDOW,
        maxConcurrentStreams: limits.streams,
        maxHeaderListSize: limits.head,
      },
      maxHeaderListPairs: limits.headers + 4,
      maxSessionMemory: SESSION_MEMORY_MB,
      maxSettings: 32,
      maxOutstandingPings: 2,
      streamResetBurst: RESETS,
      streamResetRate: RESETS_A_SECOND,
    });
    this.session.setLocalWindowSize(SESSION_WINDOW);
    this.session.on('stream', (stream: ServerHttp2Stream, _headers, flags, raw) => this.begin(stream, flags, raw));
    this.session.on('error', () => this.close());
    this.session.on('close', () => this.leave());
    ctx.arriving.add(this);
    ctx.ledger.count(EDGE.connections, 1);
    ctx.ledger.count(EDGE.accepted, 1);
    ctx.timers.arm(this.deadline, timeouts.clientHead);
  }

  private begin(stream: ServerHttp2Stream, flags: number, fields: readonly string[]): void {
    const { ctx, client } = this;
    ctx.timers.disarm(this.deadline);
    this.open++;
    ctx.streams++;
    stream.on('close', () => this.ended(stream));
    const socket = new H2StreamSocket(stream);
    const connection = new ClientConnection(ctx, socket, client.ends, client.trusted, false);
    const isFine = socket.begin(fields, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
    if (isFine) return;
    ctx.countRejected(REJECT.h2Malformed);
    ctx.log.refused(client.ends.address, REJECT.h2Malformed.code);
    connection.close();
  }

  private ended(stream: ServerHttp2Stream): void {
    const { ctx } = this;
    this.open--;
    ctx.streams--;
    // A reset that we were made to send costs as much as one that came (RFC 9113 §10.5; CVE-2023-44487, CVE-2025-8671).
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR && !this.forgives()) return this.session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
    if (this.open > 0 || this.over) return;
    ctx.timers.arm(this.deadline, ctx.table.edge.timeouts.keepAlive);
  }

  private forgives(): boolean {
    const { now } = this.ctx.timers;
    this.resets = Math.min(RESETS, this.resets + ((now - this.resetsAt) * RESETS_A_SECOND) / 1000);
    this.resetsAt = now;
    if (this.resets >= 1) {
      this.resets--;
      return true;
    }
    this.ctx.countRejected(REJECT.h2Flood);
    return false;
  }

  /** No stream for too long. */
  expired(): void {
    this.session.close();
    this.ctx.timers.arm(this.deadline, this.ctx.table.edge.timeouts.body);
    if (this.saidGoodbye) this.close();
    this.saidGoodbye = true;
  }

  /** The thread is to end: no new streams (GOAWAY); those that are open finish. */
  closeIdle(): void {
    if (this.saidGoodbye) return;
    this.saidGoodbye = true;
    this.session.close();
  }

  close(): void {
    this.session.destroy();
    this.leave();
  }

  onData(): void {
    // The session reads at the handle.
  }

  /** Who hears nothing more has no use for streams. */
  onEnd(): void {
    this.close();
  }

  onDrain(): void {
    // The session writes at the handle.
  }

  onError(): void {
    // What follows is 'close'.
  }

  onClose(): void {
    this.close();
  }

  private leave(): void {
    if (this.over) return;
    this.over = true;
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
    this.ctx.callers.disconnect(this.client.row);
    this.ctx.ledger.count(EDGE.connections, -1);
  }
}
