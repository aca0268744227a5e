import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { HANDSHAKE_FAILURES, handshakeFailure } from '../errors/handshake.ts';
import type { HandshakeFailure } from '../errors/handshake.ts';
import { identityLines } from '../http/client-identity.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import { EDGE, HANDSHAKES } from '../ledger/layout.ts';
import type { Context } from '../proxy/context.ts';
import { clientCertificateProblem, established, handleOf, holderOf, secureSocket } from './_secure-socket.ts';
import { Stay } from './_stay.ts';
import type { Ending, Stage } from './_stay.ts';
import type { HandshakeTerms } from './tls-contexts.ts';

/** A connection whose handshake is over. */
export interface Secured {
  readonly socket: TLSSocket;
  readonly ends: Endpoints;
  /** What the client says in forwarding fields is believed. */
  readonly trusted: boolean;
  /** Of the client, among those whose connections are counted. */
  readonly row: number;
  readonly http2: boolean;
}

export interface HandshakeParts {
  readonly contexts: HandshakeTerms;
  readonly ends: Endpoints;
  readonly trusted: boolean;
  readonly row: number;
  /** Bytes that were read already. */
  readonly rest: Buffer;
  /** When the first of them were waited for, on the wheel's clock. */
  readonly since: number;
  readonly next: { secured(found: Secured): void };
}

/** Counts a handshake that failed. */
export function countFailed(ctx: Context, reason: HandshakeFailure): void {
  ctx.ledger.count(EDGE.handshakes + HANDSHAKES.failed + HANDSHAKE_FAILURES.indexOf(reason), 1);
}

/** There are too many handshakes under way: each costs a millisecond of CPU, and an answer would need one too. */
export function refuseHandshake(ctx: Context, socket: Socket): void {
  countFailed(ctx, 'limit');
  socket.destroy();
}

/** A TLS handshake under way. It has a deadline of its own, and is counted by how it ends. */
export class Handshake implements Stage {
  private readonly ctx: Context;
  private readonly parts: HandshakeParts;
  private readonly socket: TLSSocket;
  private readonly stay: Stay;

  /** Takes over from the plain socket, which is of no use afterwards. */
  constructor(ctx: Context, plain: Socket, parts: HandshakeParts) {
    const { contexts, rest, since } = parts;
    this.ctx = ctx;
    this.parts = parts;
    this.socket = secureSocket(
      handleOf(plain),
      {
        context: contexts.fallback,
        alpn: contexts.alpn,
        select: contexts.different > 1 ? (name, done) => done(null, contexts.find(name)) : null,
        clientCertificate: contexts.clientAuth !== null,
        onread: ctx.reads,
      },
      rest,
    );
    this.socket.on('secure', () => this.secure());
    this.stay = new Stay(ctx, this.socket, this, { since, within: ctx.table.edge.timeouts.handshake, handshake: true });
  }

  private secure(): void {
    const { contexts, ends, trusted, row, next } = this.parts;
    const { clientAuth } = contexts;
    if (!this.stay.leave()) return;
    const problem = clientAuth === null ? null : clientCertificateProblem(this.socket);
    if (clientAuth !== null && clientAuth.required && problem !== null) return this.fail('client-certificate');
    established(this.socket);
    this.count(HANDSHAKES.done);
    if (this.socket.isSessionReused()) this.count(HANDSHAKES.resumed);
    if (this.socket.getProtocol() === 'TLSv1.3') this.count(HANDSHAKES.tls13);
    const holder = clientAuth === null || problem !== null ? null : holderOf(this.socket);
    const known = holder === null || clientAuth === null ? ends : { ...ends, identity: identityLines(clientAuth.fields, holder) };
    next.secured({ socket: this.socket, ends: known, trusted, row, http2: this.socket.alpnProtocol === 'h2' });
  }

  private count(what: number): void {
    this.ctx.ledger.count(EDGE.handshakes + what, 1);
  }

  private fail(reason: HandshakeFailure): void {
    countFailed(this.ctx, reason);
    this.ctx.callers.disconnect(this.parts.row);
    this.socket.destroy();
  }

  take(): boolean {
    // No bytes of the client come before the handshake is over.
    return true;
  }

  ended(why: Ending): void {
    if (why instanceof Error) this.fail(handshakeFailure(why));
    else this.fail(why === 'timeout' ? 'timeout' : 'closed');
  }
}
