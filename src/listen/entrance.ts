import type { Socket } from 'node:net';
import { REJECT } from '../errors/catalogue.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import { ClientConnection } from '../proxy/client.ts';
import type { Context } from '../proxy/context.ts';
import type { SocketOwner } from '../proxy/sockets.ts';
import { AddressList, endpointsOf } from '../proxy/trust.ts';
import { ProxiedConnection } from './_proxied.ts';
import { TurnedAway } from './_turned-away.ts';

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
    const ends = endpointsOf(socket, false);
    if (ctx.connections >= ctx.table.edge.limits.connections) return void new TurnedAway(ctx, socket, ends.address, REJECT.connections);
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
  clientKnown(socket: Socket, ends: Endpoints, trusted: boolean): SocketOwner {
    const { ctx } = this;
    const { connectionsPerClient } = ctx.table.edge.limits;
    if (connectionsPerClient === null || this.isProxy(ends.address)) return new ClientConnection(ctx, socket, ends, trusted);
    const row = ctx.callers.connect(ends.address, connectionsPerClient);
    if (row === null) return new TurnedAway(ctx, socket, ends.address, REJECT.clientConnections);
    const client = new ClientConnection(ctx, socket, ends, trusted);
    client.row = row;
    return client;
  }

  /** Its connections are those of many clients. */
  private isProxy(address: string): boolean {
    return this.ctx.trusted.has(address) || this.mustIntroduce(address);
  }
}
