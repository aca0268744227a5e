import type { TLSSocket } from 'node:tls';
import { HANDSHAKE_FAILURES, handshakeFailure } from '../errors/handshake.ts';
import type { HandshakeFailure } from '../errors/handshake.ts';
import type { Endpoints } from '../http/proxy-protocol.ts';
import { EDGE, HANDSHAKES } from '../ledger/layout.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own } from '../proxy/sockets.ts';
import type { SocketOwner } from '../proxy/sockets.ts';
import { clientCertificateProblem, secureSocket } from './_secure-socket.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** What a handshake has found out. */
export interface Secured {
  readonly socket: TLSSocket;
  readonly ends: Endpoints;
  readonly http2: boolean;
}

interface Next {
  secured(found: Secured): void;
}

/** A TLS handshake under way. It has a deadline of its own, and is counted by how it ends. */
export class Handshake implements SocketOwner, Expiring, Arriving {
  private readonly ctx: Context;
  private readonly contexts: TlsContexts;
  private readonly ends: Endpoints;
  private readonly next: Next;
  private readonly socket: TLSSocket;
  private readonly deadline: Deadline;
  private readonly since: number;
  private over = false;

  /** @param read bytes that were read from the handle already. */
  constructor(ctx: Context, handle: object, parts: { contexts: TlsContexts; ends: Endpoints; next: Next; read: Buffer | null }) {
    this.ctx = ctx;
    this.contexts = parts.contexts;
    this.ends = parts.ends;
    this.next = parts.next;
    this.since = ctx.timers.now;
    this.deadline = new Deadline(this);
    const { contexts } = this;
    this.socket = secureSocket(
      handle,
      {
        context: contexts.fallback,
        alpn: contexts.alpn,
        select: contexts.different > 1 ? (name, done) => done(null, contexts.find(name)) : null,
        clientCertificate: contexts.clientAuth !== null,
        onread: ctx.reads,
      },
      parts.read,
    );
    own(this.socket, this);
    this.socket.on('secure', () => this.secure());
    ctx.arriving.add(this);
    ctx.ledger.count(EDGE.connections, 1);
    ctx.timers.arm(this.deadline, ctx.table.edge.timeouts.handshake);
  }

  private secure(): void {
    if (this.over) return;
    const { clientAuth } = this.contexts;
    const problem = clientAuth === null ? null : clientCertificateProblem(this.socket);
    if (clientAuth !== null && clientAuth.required && problem !== null) return this.fail('client-certificate');
    this.leave();
    this.count(HANDSHAKES.done);
    if (this.socket.isSessionReused()) this.count(HANDSHAKES.resumed);
    if (this.socket.getProtocol() === 'TLSv1.3') this.count(HANDSHAKES.tls13);
    this.next.secured({ socket: this.socket, ends: this.ends, http2: this.socket.alpnProtocol === 'h2' });
  }

  private fail(reason: HandshakeFailure): void {
    if (this.over) return;
    this.count(HANDSHAKES.failed + HANDSHAKE_FAILURES.indexOf(reason));
    this.leave();
    this.socket.destroy();
  }

  private count(what: number): void {
    this.ctx.ledger.count(EDGE.handshakes + what, 1);
  }

  private leave(): void {
    this.over = true;
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
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
