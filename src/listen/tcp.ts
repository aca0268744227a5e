import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { REJECT } from '../errors/catalogue.ts';
import type { Context } from '../proxy/context.ts';
import { acceptFrom } from './_accept.ts';
import { Entrance } from './entrance.ts';
import type { EntrancePolicy } from './entrance.ts';

const BACKLOG = 4096;
/** Linux lets one more wait. */
const MOST_WAITING = BACKLOG + 1;
const SHORT_TURN_MS = 0.03;
const CLOSE_MS = 500;
/** Of a turn that takes longer (the thread was held up) the rest does not count. */
const LONG_TURN_MS = 50;

export interface ListenerSpec extends EntrancePolicy {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
}

/**
 * A plain-TCP listener of one data thread. All threads bind the same address with SO_REUSEPORT and
 * the kernel spreads the connections.
 */
export class TcpListener {
  /** When a connection was last accepted, on the timer wheel's clock. */
  lastAccept = 0;
  /** Nobody is accepted any more. */
  closed = false;
  private accepted = 0;
  private readonly server: Server;
  private readonly ctx: Context;
  readonly entrance: Entrance;

  constructor(ctx: Context, policy: EntrancePolicy) {
    this.ctx = ctx;
    this.server = createServer();
    this.entrance = new Entrance(ctx, policy);
  }

  private take(socket: Socket): void {
    this.lastAccept = this.ctx.timers.now;
    this.accepted++;
    this.entrance.accept(socket);
  }

  /** Resolves with the port that was bound. */
  listen(spec: ListenerSpec): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ host: spec.host, port: spec.port, reusePort: true, backlog: BACKLOG }, () => {
        this.server.off('error', reject);
        const full = (): void => this.ctx.countRejected(REJECT.connections);
        acceptFrom(this.server, this.ctx.reads, (socket) => this.take(socket), full);
        this.server.on('error', full);
        resolve((this.server.address() as AddressInfo).port);
      });
    });
  }

  /**
   * Stops listening. Closing resets the connections that wait to be accepted, and the event loop accepts one a turn: so it
   * closes after a turn that had none to accept and was too short for another to come, or, when it has waited `CLOSE_MS` for one, after
   * any that had none. Where they come without end it closes when all that waited at first are accepted: first come, first accepted.
   */
  close(): void {
    this.closeAfterTurn(performance.now() + CLOSE_MS, this.accepted + MOST_WAITING);
  }

  private closeAfterTurn(until: number, all: number): void {
    const { accepted } = this;
    const before = performance.now();
    setImmediate(() => {
      const now = performance.now();
      const last = until + Math.max(0, now - before - LONG_TURN_MS);
      const isOver = this.accepted === accepted && (now - before < SHORT_TURN_MS || now > last);
      if (!isOver && this.accepted < all) return this.closeAfterTurn(last, all);
      this.server.close();
      this.closed = true;
    });
  }
}
