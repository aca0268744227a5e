import type { Socket } from 'node:net';
import { CHALLENGES, EDGE } from '../ledger/layout.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own } from '../proxy/sockets.ts';
import type { SocketOwner } from '../proxy/sockets.ts';

/** What the authority may take to hang up. */
const GOODBYE_MS = 1_000;

/** A certificate authority that was shown what it asked for: the handshake was all of it, and nothing is said inside (RFC 8737 §3). */
export class Challenged implements SocketOwner, Expiring, Arriving {
  private readonly ctx: Context;
  private readonly socket: Socket;
  private readonly row: number;
  private readonly deadline: Deadline;
  private over = false;

  /** @param row of the client, among those whose connections are counted. */
  constructor(ctx: Context, socket: Socket, row: number) {
    this.ctx = ctx;
    this.socket = socket;
    this.row = row;
    this.deadline = new Deadline(this);
    own(socket, this);
    ctx.arriving.add(this);
    ctx.ledger.count(EDGE.connections, 1);
    ctx.ledger.count(EDGE.challenges + CHALLENGES.tls, 1);
    ctx.timers.arm(this.deadline, GOODBYE_MS);
    socket.end();
  }

  closeIdle(): void {
    this.close();
  }

  close(): void {
    if (this.over) return;
    this.over = true;
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
    this.ctx.ledger.count(EDGE.connections, -1);
    this.ctx.callers.disconnect(this.row);
    this.socket.destroy();
  }

  expired(): void {
    this.close();
  }

  onData(): void {
    this.close();
  }

  onEnd(): void {
    this.close();
  }

  onDrain(): void {
    // There is nothing more to write.
  }

  onError(): void {
    // What follows is 'close'.
  }

  onClose(): void {
    this.close();
  }
}
