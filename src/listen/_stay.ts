import type { Socket } from 'node:net';
import { EDGE, HANDSHAKES } from '../ledger/layout.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own } from '../proxy/sockets.ts';
import type { SocketOwner } from '../proxy/sockets.ts';

/** What ends a stay: its time is over, the client has sent its FIN, the socket has failed; else it was closed, by the client or by us. */
export type Ending = 'timeout' | 'finished' | 'closed' | Error;

/** What a new connection is waited for. */
export interface Stage {
  /** @param read all that has come so far; good for this tick only. @returns false = there has to be more of it. Who has enough leaves. */
  take(read: Buffer): boolean;
  /** It will not come. The stay is left, and the socket is still to be closed. @param read what had come. */
  ended(why: Ending, read: Buffer | null): void;
}

interface Terms {
  /** Since when it is waited, and how long at the most, in ms on the wheel's clock. */
  readonly since: number;
  readonly within: number;
  /** It is one of the handshakes under way. */
  readonly handshake: boolean;
}

/** A new connection while something is waited for that comes before its first request: it counts as open, and has a deadline. */
export class Stay implements SocketOwner, Expiring, Arriving {
  readonly since: number;
  private readonly ctx: Context;
  private readonly stage: Stage;
  private readonly handshake: boolean;
  private readonly deadline: Deadline;
  private held: Buffer | null = null;
  private over = false;

  constructor(ctx: Context, socket: Socket, stage: Stage, { since, within, handshake }: Terms) {
    this.ctx = ctx;
    this.stage = stage;
    this.since = since;
    this.handshake = handshake;
    this.deadline = new Deadline(this);
    own(socket, this);
    ctx.arriving.add(this);
    this.count(1);
    ctx.timers.arm(this.deadline, since + within - ctx.timers.now);
  }

  private count(by: number): void {
    const { ctx } = this;
    ctx.ledger.count(EDGE.connections, by);
    if (!this.handshake) return;
    ctx.handshakes += by;
    ctx.ledger.count(EDGE.handshakes + HANDSHAKES.open, by);
  }

  /** It goes on, or is given up. @returns false when it was over before. */
  leave(): boolean {
    if (this.over) return false;
    this.over = true;
    this.held = null;
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
    this.count(-1);
    return true;
  }

  end(why: Ending): void {
    const { held } = this;
    if (this.leave()) this.stage.ended(why, held);
  }

  onData(chunk: Buffer): void {
    if (this.over) return;
    const read = this.held === null ? chunk : Buffer.concat([this.held, chunk]);
    if (!this.stage.take(read)) this.held = read === chunk ? Buffer.from(chunk) : read;
  }

  closeIdle(at: number): void {
    // What has come of a handshake is no request yet.
    if (this.since <= at && (this.held === null || this.handshake)) this.close();
  }

  close(): void {
    this.end('closed');
  }

  expired(): void {
    this.end('timeout');
  }

  onEnd(): void {
    this.end('finished');
  }

  onDrain(): void {
    // Nothing is written here.
  }

  onError(error: Error): void {
    this.end(error);
  }

  onClose(): void {
    this.end('closed');
  }
}
