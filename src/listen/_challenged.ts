import type { Socket } from 'node:net';
import { CHALLENGES, EDGE } from '../ledger/layout.ts';
import type { Context } from '../proxy/context.ts';
import { Stay } from './_stay.ts';
import type { Stage } from './_stay.ts';

/** What the authority may take to hang up. */
const GOODBYE_MS = 1_000;

/** A certificate authority that was shown what it asked for: the handshake was all of it, and nothing is said inside (RFC 8737 §3). */
export class Challenged implements Stage {
  private readonly ctx: Context;
  private readonly socket: Socket;
  private readonly row: number;
  private readonly stay: Stay;

  /** @param row of the client, among those whose connections are counted. */
  constructor(ctx: Context, socket: Socket, row: number) {
    this.ctx = ctx;
    this.socket = socket;
    this.row = row;
    this.stay = new Stay(ctx, socket, this, { since: ctx.timers.now, within: GOODBYE_MS, handshake: false });
    ctx.ledger.count(EDGE.challenges + CHALLENGES.tls, 1);
    socket.end();
  }

  take(): boolean {
    this.stay.close();
    return true;
  }

  ended(): void {
    this.ctx.callers.disconnect(this.row);
    this.socket.destroy();
  }
}
