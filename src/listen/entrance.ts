import type { Socket } from 'node:net';
import { REJECT } from '../errors/catalogue.ts';
import { ownAnswer } from '../http/own-answer.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import { ClientConnection } from '../proxy/client.ts';
import type { Context } from '../proxy/context.ts';
import { AddressList, endpointsOf } from '../proxy/trust.ts';
import { ProxiedConnection } from './_proxied.ts';

const REFUSED_LINGER_MS = 1_000;

/** Whose connections begin with a PROXY protocol header: nobody's, those of `trustedProxies`, or of these addresses and networks. */
export type ProxyProtocolPeers = boolean | readonly string[];

/** The way of a new connection from the accept to its first request: is there room, who is the client, may it come in. */
export class Entrance {
  private readonly ctx: Context;
  private readonly everyTrusted: boolean;
  private readonly listed: AddressList | null;

  constructor(ctx: Context, peers: ProxyProtocolPeers) {
    this.ctx = ctx;
    this.everyTrusted = peers === true;
    this.listed = typeof peers === 'boolean' ? null : new AddressList(peers);
  }

  /** Takes an accepted socket that nobody owns yet. */
  accept(socket: Socket): void {
    const { ctx } = this;
    if (ctx.connections >= ctx.table.edge.limits.connections) return this.refuse(socket);
    const ends = endpointsOf(socket, false);
    if (!this.mustIntroduce(ends.address)) {
      this.clientKnown(socket, ends, ctx.trusted.has(ends.address));
      return;
    }
    new ProxiedConnection(ctx, socket, ends, this);
  }

  private mustIntroduce(peer: string): boolean {
    return this.everyTrusted ? this.ctx.trusted.has(peer) : this.listed !== null && this.listed.has(peer);
  }

  /**
   * The client is known now: the peer, or who a PROXY protocol header says it is. Whatever depends on a client's address,
   * before its first request, is decided here.
   * @param trusted what it says in forwarding fields is believed.
   */
  clientKnown(socket: Socket, ends: Endpoints, trusted: boolean): ClientConnection {
    return new ClientConnection(this.ctx, socket, ends, trusted);
  }

  private refuse(socket: Socket): void {
    const { ctx } = this;
    ctx.countRejected(REJECT.connections);
    socket.on('error', () => socket.destroy());
    socket.setTimeout(REFUSED_LINGER_MS, () => socket.destroy());
    socket.on('end', () => socket.destroy());
    socket.end(ownAnswer(REJECT.connections, { json: false, close: true, head: false, date: ctx.date() }));
  }
}
