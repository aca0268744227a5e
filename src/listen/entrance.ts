import type { Socket } from 'node:net';
import { REJECT } from '../errors/catalogue.ts';
import { forwarderOf } from '../http/forward-request.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import type { TlsPolicy } from '../pool/tls.ts';
import { MANY_CLIENTS, NO_ROW } from '../proxy/callers.ts';
import { ClientConnection } from '../proxy/client.ts';
import type { Context } from '../proxy/context.ts';
import { AddressList, endpointsOf } from '../proxy/trust.ts';
import type { SocketOwner } from '../proxy/sockets.ts';
import { H2Connection } from './h2.ts';
import { Challenged } from './_challenged.ts';
import { Handshake, refuseHandshake, type HandshakeParts, type Secured } from './_handshake.ts';
import { Hello } from './_hello.ts';
import { Preface } from './_preface.ts';
import { ProxiedConnection } from './_proxied.ts';
import { TurnedAway } from './_turned-away.ts';
import { TlsContexts, type ChallengeContexts } from './tls-contexts.ts';

const NOTHING = Buffer.alloc(0);

/** Whose connections begin with a PROXY protocol header: nobody's, those of `trustedProxies`, or of these addresses and networks. */
export type ProxyProtocolPeers = boolean | readonly string[];

/** What a listener asks of its connections. */
export interface EntrancePolicy {
  readonly proxyProtocol: ProxyProtocolPeers;
  /** null = plain HTTP. */
  readonly tls: TlsPolicy | null;
  /** Without TLS: clients that know that HTTP/2 is spoken here may begin with it. */
  readonly http2: boolean;
}

/** The way of a new connection from the accept to its first request: is there room, who is the client, may it come in. */
export class Entrance {
  private readonly ctx: Context;
  private readonly everyTrusted: boolean;
  private readonly listed: AddressList | null;
  private readonly http2: boolean;
  /** null = plain HTTP. Replaced by a reload: connections that come from then on are shown the new certificates. */
  private contexts: TlsContexts | null;
  /** What is shown to certificate authorities that ask whether a name is ours; null = nothing is pending. */
  challenges: ChallengeContexts | null = null;

  constructor(ctx: Context, { proxyProtocol: peers, tls, http2 }: EntrancePolicy) {
    this.ctx = ctx;
    this.http2 = http2;
    this.contexts = tls === null ? null : new TlsContexts(tls);
    this.everyTrusted = peers === true;
    this.listed = typeof peers === 'boolean' ? null : new AddressList(peers);
  }

  /** How certificates of clients are checked; null = they are not asked for. */
  get clientAuth(): TlsPolicy['clientAuth'] {
    return this.contexts === null ? null : this.contexts.clientAuth;
  }

  /** Takes an accepted socket that nobody owns yet. */
  accept(socket: Socket): void {
    const { ctx } = this;
    const ends = endpointsOf(socket, false);
    if (ctx.connections >= ctx.table.edge.limits.connections) return void new TurnedAway(ctx, socket, ends.address, REJECT.connections);
    if (!this.mustIntroduce(ends.address)) {
      this.clientKnown(socket, ends, ctx.trusted.has(ends.address), NOTHING);
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
   * @param trusted what it says in forwarding fields is believed. @param rest bytes that were read already.
   * @param shared the connection is a proxy's, and no one client's.
   */
  clientKnown(socket: Socket, ends: Endpoints, trusted: boolean, rest: Buffer, shared = false): void {
    const { ctx, contexts } = this;
    const row = shared ? MANY_CLIENTS : this.rowOf(ends.address);
    if (contexts === null) {
      const owner = row === null ? new TurnedAway(ctx, socket, ends.address, REJECT.clientConnections) : this.plain(socket, ends, trusted, row);
      if (rest.length > 0) owner.onData(rest);
    } else if (row === null) {
      ctx.countRejected(REJECT.clientConnections);
      ctx.log.refused(ends.address, REJECT.clientConnections.code);
      socket.destroy();
    } else if (ctx.handshakes >= ctx.table.edge.limits.handshakes) {
      ctx.callers.disconnect(row);
      refuseHandshake(ctx, socket);
    } else if (this.challenges === null) {
      new Handshake(ctx, socket, { contexts, ends: { ...ends, secure: true }, trusted, row, rest, since: ctx.timers.now, next: this });
    } else this.listenTo(socket, { contexts, ends: { ...ends, secure: true }, trusted, row, next: this }, rest);
  }

  /** Somebody may be a certificate authority that asks whether a name is ours: heard out first, then shown what answers that. */
  private listenTo(socket: Socket, parts: Omit<HandshakeParts, 'rest' | 'since'>, rest: Buffer): void {
    const { ctx } = this;
    const { stay } = new Hello(ctx, socket, {
      asked: (asked, read, since) => {
        const answer = asked === null ? null : (this.challenges?.find(asked) ?? null);
        if (answer === null) new Handshake(ctx, socket, { ...parts, rest: read, since });
        else {
          const next = { secured: (found: Secured): void => void new Challenged(ctx, found.socket, parts.row) };
          new Handshake(ctx, socket, { ...parts, contexts: answer, rest: read, since, next });
        }
      },
      gone: () => ctx.callers.disconnect(parts.row),
    });
    if (rest.length > 0) stay.onData(rest);
  }

  /** Row of the client among those whose connections are counted; null = it has too many. */
  private rowOf(address: string): number | null {
    const { connectionsPerClient } = this.ctx.table.edge.limits;
    // Connections of a proxy are those of many clients.
    if (this.ctx.trusted.has(address)) return MANY_CLIENTS;
    return connectionsPerClient === null ? NO_ROW : this.ctx.callers.connect(address, connectionsPerClient);
  }

  /** The handshake is over, and the client may come in. */
  secured({ socket, ends, trusted, row, http2 }: Secured): void {
    if (http2) new H2Connection(this.ctx, socket, { ends, trusted, row });
    else this.enter(socket, ends, trusted, row);
  }

  private plain(socket: Socket, ends: Endpoints, trusted: boolean, row: number): SocketOwner {
    if (!this.http2) return this.enter(socket, ends, trusted, row);
    const { stay } = new Preface(this.ctx, socket, {
      spoken: (http2, read) => {
        if (!http2) return this.enter(socket, ends, trusted, row).onData(read);
        new H2Connection(this.ctx, socket, { ends, trusted, row }).onData(read);
      },
      late: (read) => {
        const client = this.enter(socket, ends, trusted, row);
        client.onData(read);
        client.expired();
      },
      gone: () => this.ctx.callers.disconnect(row),
    });
    return stay;
  }

  private enter(socket: Socket, ends: Endpoints, trusted: boolean, row: number): ClientConnection {
    const { ctx } = this;
    const client = new ClientConnection(ctx, socket, forwarderOf(ends, trusted, ctx.reserved));
    client.row = row;
    return client;
  }

  /** Shows new connections other certificates, which were checked before; what is open stays as it is. */
  renew(tls: TlsPolicy): void {
    this.contexts = new TlsContexts(tls);
  }
}
