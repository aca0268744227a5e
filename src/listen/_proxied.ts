import type { Socket } from 'node:net';
import { REJECT } from '../errors/catalogue.ts';
import { readProxyHeader } from '../http/proxy-protocol.ts';
import type { Endpoints, ProxyHeader } from '../http/proxy-protocol.ts';
import { EDGE } from '../ledger/layout.ts';
import type { Context } from '../proxy/context.ts';
import { Stay } from './_stay.ts';
import type { Ending, Stage } from './_stay.ts';

/** Who takes the connection once its header is read. */
interface Next {
  /** @param rest bytes behind the header; good for this tick only. @param shared the header names no client. */
  clientKnown(socket: Socket, ends: Endpoints, trusted: boolean, rest: Buffer, shared: boolean): void;
}

/**
 * A connection of a proxy that must begin with a PROXY protocol header, until that is complete. Broken, missing or late, it
 * ends the connection without an answer: nobody knows whom an answer would be for. It has the time of a request head.
 */
export class ProxiedConnection implements Stage {
  private readonly ctx: Context;
  private readonly socket: Socket;
  /** Of the proxy's own connection. */
  private readonly ends: Endpoints;
  private readonly next: Next;
  private readonly stay: Stay;

  constructor(ctx: Context, socket: Socket, ends: Endpoints, next: Next) {
    this.ctx = ctx;
    this.socket = socket;
    this.ends = ends;
    this.next = next;
    this.stay = new Stay(ctx, socket, this, { since: ctx.timers.now, within: ctx.table.edge.timeouts.clientHead, handshake: false });
  }

  take(read: Buffer): boolean {
    const header = readProxyHeader(read, read.length);
    if (header === 'more') return false;
    this.stay.leave();
    if (header === 'bad') this.refuse();
    else this.pass(header, read.subarray(header.end));
    return true;
  }

  /** Bytes behind the header are the client's. */
  private pass({ kind, ends }: ProxyHeader, rest: Buffer): void {
    const client = ends ?? this.ends;
    // Of a client that the proxy cannot name nothing is known, so it is not taken for the proxy either.
    this.next.clientKnown(this.socket, client, kind !== 'unknown' && this.ctx.trusted.has(client.address), rest, ends === null);
  }

  private refuse(): void {
    const { ctx } = this;
    ctx.countRejected(REJECT.proxyProtocol);
    ctx.log.refused(this.ends.address, REJECT.proxyProtocol.code);
    this.hangUp();
  }

  private hangUp(): void {
    this.ctx.ledger.count(EDGE.accepted, 1);
    this.socket.destroy();
  }

  ended(why: Ending, read: Buffer | null): void {
    // Who only looks whether the port is open has said nothing wrong.
    if (why === 'timeout' || (why === 'finished' && read !== null)) this.refuse();
    else this.hangUp();
  }
}
