import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { HANDSHAKE_FAILURES, handshakeFailure } from '../errors/handshake.ts';
import type { HandshakeFailure } from '../errors/handshake.ts';
import { identityLines } from '../http/client-identity.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import { EDGE, HANDSHAKES } from '../ledger/layout.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own } from '../proxy/sockets.ts';
import type { SocketOwner } from '../proxy/sockets.ts';
import { clientCertificateProblem, established, handleOf, holderOf, secureSocket } from './_secure-socket.ts';
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

function countHandshake(ctx: Context, what: number, by = 1): void {
  ctx.ledger.count(EDGE.handshakes + what, by);
}

/** There are too many handshakes under way: each costs a millisecond of CPU, and an answer would need one too. */
export function refuseHandshake(ctx: Context, socket: Socket): void {
  countHandshake(ctx, HANDSHAKES.failed + HANDSHAKE_FAILURES.indexOf('limit'));
  socket.destroy();
}

/** A TLS handshake under way. It has a deadline of its own, and is counted by how it ends. */
export class Handshake implements SocketOwner, Expiring, Arriving {
  private readonly ctx: Context;
  private readonly parts: HandshakeParts;
  private readonly socket: TLSSocket;
  private readonly deadline: Deadline;
  private readonly since: number;
  private over = false;

  /** Takes over from the plain socket, which is of no use afterwards. */
  constructor(ctx: Context, plain: Socket, parts: HandshakeParts) {
    const { contexts, rest, since } = parts;
    this.ctx = ctx;
    this.parts = parts;
    this.since = since;
    this.deadline = new Deadline(this);
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
    own(this.socket, this);
    this.socket.on('secure', () => this.secure());
    ctx.arriving.add(this);
    ctx.handshakes++;
    this.count(HANDSHAKES.open);
    ctx.ledger.count(EDGE.connections, 1);
    ctx.timers.arm(this.deadline, since + ctx.table.edge.timeouts.handshake - ctx.timers.now);
  }

  private secure(): void {
    if (this.over) return;
    const { contexts, ends, trusted, row, next } = this.parts;
    const { clientAuth } = contexts;
    const problem = clientAuth === null ? null : clientCertificateProblem(this.socket);
    if (clientAuth !== null && clientAuth.required && problem !== null) return this.fail('client-certificate');
    this.leave();
    established(this.socket);
    this.count(HANDSHAKES.done);
    if (this.socket.isSessionReused()) this.count(HANDSHAKES.resumed);
    if (this.socket.getProtocol() === 'TLSv1.3') this.count(HANDSHAKES.tls13);
    const holder = clientAuth === null || problem !== null ? null : holderOf(this.socket);
    const known = holder === null || clientAuth === null ? ends : { ...ends, identity: identityLines(clientAuth.fields, holder) };
    next.secured({ socket: this.socket, ends: known, trusted, row, http2: this.socket.alpnProtocol === 'h2' });
  }

  private fail(reason: HandshakeFailure): void {
    if (this.over) return;
    this.count(HANDSHAKES.failed + HANDSHAKE_FAILURES.indexOf(reason));
    this.leave();
    this.ctx.callers.disconnect(this.parts.row);
    this.socket.destroy();
  }

  private count(what: number, by = 1): void {
    countHandshake(this.ctx, what, by);
  }

  private leave(): void {
    this.over = true;
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
    this.ctx.handshakes--;
    this.count(HANDSHAKES.open, -1);
    this.ctx.ledger.count(EDGE.connections, -1);
  }

  closeIdle(at: number): void {
    if (this.since <= at) this.close();
  }

  close(): void {
    this.fail('closed');
  }

  expired(): void {
    this.fail('timeout');
  }

  onData(): void {
    // No bytes of the client come before the handshake is over.
  }

  onDrain(): void {
    // Nothing is written here but by TLS itself.
  }

  onEnd(): void {
    this.fail('closed');
  }

  onError(error: Error): void {
    this.fail(handshakeFailure(error));
  }

  onClose(): void {
    this.fail('closed');
  }
}
