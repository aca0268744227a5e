import { FIELD } from '../http/fields.ts';
import type { ResponseHead } from '../http/response-head.ts';
import { OUTCOME } from '../ledger/thread.ts';
import type { Outcome } from '../ledger/thread.ts';
import { CLOSE_TO_BACKEND, CLOSE_TO_CLIENT, FrameTracker } from '../http/websocket.ts';
import type { Context } from './context.ts';
import { Deadline } from './deadline.ts';
import type { Expiring } from './deadline.ts';
import type { Downstream } from './downstream.ts';
import { copyOf } from './sockets.ts';
import type { UpstreamConnection, UpstreamUser } from './upstream.ts';

/** How long a peer that was told to close may take to hang up. */
const GOODBYE_MS = 2_000;

/** What the exchange hears when its tunnel has ended. */
export interface TunnelOwner {
  /** @param clean what was sent to the client still arrives. */
  tunnelOver(outcome: Outcome, clean: boolean, bytesUp: number, bytesDown: number): void;
}

interface TunnelParts {
  readonly ctx: Context;
  readonly down: Downstream;
  readonly owner: TunnelOwner;
  readonly connection: UpstreamConnection;
  /** How long neither side may say anything, in ms. */
  readonly idle: number;
  /** The same once one side has ended: what is left of the tunnel is a body. */
  readonly halfIdle: number;
  readonly webSocket: boolean;
}

/**
 * An upgraded connection: bytes both ways as they are, with backpressure, half-closes passed on, and
 * an idle deadline. A WebSocket can be asked to close: 1012 to the client, between two frames (RFC 6455 §7.4.1).
 */
export class Tunnel implements UpstreamUser, Expiring {
  private readonly down: Downstream;
  private readonly owner: TunnelOwner;
  private readonly connection: UpstreamConnection;
  private readonly ctx: Context;
  private idle: number;
  private readonly halfIdle: number;
  private readonly deadline: Deadline;
  private readonly fromBackend: FrameTracker | null;
  private readonly fromClient: FrameTracker | null;
  private bytesUp = 0;
  private bytesDown = 0;
  private clientEnded = false;
  private backendEnded = false;
  private closing = false;
  private said = false;
  private over = false;

  constructor(parts: TunnelParts) {
    this.ctx = parts.ctx;
    this.down = parts.down;
    this.owner = parts.owner;
    this.connection = parts.connection;
    this.idle = parts.idle;
    this.halfIdle = Math.min(parts.halfIdle, parts.idle);
    this.deadline = new Deadline(this);
    this.fromBackend = parts.webSocket ? new FrameTracker() : null;
    this.fromClient = parts.webSocket ? new FrameTracker() : null;
    this.connection.user = this;
    this.ctx.timers.arm(this.deadline, this.idle);
  }

  /** Bytes from the client. */
  up(chunk: Buffer, from: number, to: number): void {
    if (this.closing && this.said) return;
    this.touch();
    this.fromClient?.feed(chunk, from, to);
    this.bytesUp += to - from;
    if (!this.connection.socket.write(copyOf(chunk, from, to))) this.down.pause();
  }

  received(chunk: Buffer): void {
    this.fromUpstream(chunk, 0, chunk.length);
    this.down.flush();
  }

  /** Bytes from the backend. */
  fromUpstream(chunk: Buffer, from: number, to: number): void {
    if (this.said) return;
    this.touch();
    let end = to;
    if (this.fromBackend !== null) {
      const boundary = this.fromBackend.feed(chunk, from, to);
      if (this.closing && boundary !== -1) end = boundary;
    }
    this.bytesDown += end - from;
    this.down.tunnel(chunk, from, end);
    if (this.closing && (end < to || this.fromBackend?.atBoundary !== false)) this.sayGoodbye();
    else if (this.down.congested) this.connection.socket.pause();
  }

  private touch(): void {
    if (!this.closing) this.ctx.timers.arm(this.deadline, this.idle);
  }

  clientDrained(): void {
    this.connection.socket.resume();
  }

  upstreamDrained(): void {
    this.down.resume();
  }

  /** The client has sent its FIN. */
  clientFinished(): void {
    this.clientEnded = true;
    this.connection.socket.end();
    this.halfEnded(this.backendEnded);
  }

  upstreamEnded(): void {
    this.backendEnded = true;
    this.down.endTunnel();
    this.halfEnded(this.clientEnded);
  }

  private halfEnded(both: boolean): void {
    if (both) return this.end(this.closing ? OUTCOME.killed : OUTCOME.completed);
    this.idle = this.halfIdle;
    this.touch();
  }

  upstreamClosed(error: Error | null): void {
    if (this.closing) this.end(OUTCOME.killed);
    else this.end(error === null || this.clientEnded || this.backendEnded ? OUTCOME.completed : OUTCOME.upstreamFailed);
  }

  /** The client's connection is gone. */
  clientGone(): void {
    if (this.closing) this.end(OUTCOME.killed);
    else this.end(this.clientEnded || this.backendEnded ? OUTCOME.completed : OUTCOME.clientAborted);
  }

  connected(): void {
    // It was made before the tunnel was.
  }

  expired(): void {
    this.end(this.closing ? OUTCOME.killed : OUTCOME.completed);
  }

  /** The drain deadline has come: say so at the next frame boundary, then hang up. */
  close(): void {
    if (this.closing || this.over) return;
    this.closing = true;
    this.ctx.timers.arm(this.deadline, GOODBYE_MS);
    if (this.fromBackend === null || this.fromBackend.atBoundary) {
      this.sayGoodbye();
      this.down.flush();
    }
  }

  private sayGoodbye(): void {
    if (this.said) return;
    this.said = true;
    if (this.fromBackend !== null) this.down.tunnel(CLOSE_TO_CLIENT, 0, CLOSE_TO_CLIENT.length);
    if (this.fromClient?.atBoundary === true && !this.connection.socket.writableEnded) this.connection.socket.write(CLOSE_TO_BACKEND);
    this.connection.socket.end();
    this.down.endTunnel();
  }

  /** Ends it now, but for what is still on its way when it ends as it should. */
  end(outcome: Outcome): void {
    if (this.over) return;
    this.over = true;
    this.ctx.timers.drop(this.deadline);
    const clean = outcome === OUTCOME.completed || this.said;
    if (clean) this.connection.close();
    else this.connection.destroy();
    this.owner.tunnelOver(outcome, clean, this.bytesUp, this.bytesDown);
  }
}

/**
 * What a 101 switches to, in lower case; null when that is not what the client asked for, and the backend is not to be
 * trusted with a tunnel (RFC 9110 §7.8, §15.2.2).
 * @param asked value of the client's Upgrade field, in lower case.
 */
export function switchedTo(asked: string, head: ResponseHead, buf: Buffer): string | null {
  const { fields } = head;
  const at = fields.find(FIELD.upgrade);
  if (at === -1) return null;
  for (let i = at + 1; i < fields.count; i++) if (fields.ids[i] === FIELD.upgrade) return null;
  const protocol = fields.value(buf, at).toLowerCase();
  return asked.split(',').some((each) => each.trim() === protocol) && protocol !== '' ? protocol : null;
}
