import type { Socket } from 'node:net';
import { HANDSHAKE_FAILURES } from '../errors/handshake.ts';
import type { HandshakeFailure } from '../errors/handshake.ts';
import { readClientHello } from '../http/client-hello.ts';
import type { ClientHello } from '../http/client-hello.ts';
import { EDGE, HANDSHAKES } from '../ledger/layout.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own } from '../proxy/sockets.ts';
import type { SocketOwner } from '../proxy/sockets.ts';

interface Next {
  /** @param hello null = it cannot be read. @param read what has come so far; good for this tick only. @param since when it began to come. */
  asked(hello: ClientHello | null, read: Buffer, since: number): void;
  /** It is gone, or late, before it has said. */
  gone(): void;
}

/**
 * A connection to a TLS listener until it is clear what its client asks for. Only while a challenge of a certificate authority is
 * pending: OpenSSL chooses the certificate before the protocol, so who asks has to be known before the handshake begins.
 */
export class Hello implements SocketOwner, Expiring, Arriving {
  private readonly ctx: Context;
  private readonly socket: Socket;
  private readonly next: Next;
  private readonly deadline: Deadline;
  private readonly since: number;
  private held: Buffer | null = null;
  private over = false;

  constructor(ctx: Context, socket: Socket, next: Next) {
    this.ctx = ctx;
    this.socket = socket;
    this.next = next;
    this.since = ctx.timers.now;
    this.deadline = new Deadline(this);
    own(socket, this);
    ctx.arriving.add(this);
    ctx.handshakes++;
    ctx.ledger.count(EDGE.handshakes + HANDSHAKES.open, 1);
    ctx.ledger.count(EDGE.connections, 1);
    ctx.timers.arm(this.deadline, ctx.table.edge.timeouts.handshake);
  }

  onData(chunk: Buffer): void {
    if (this.over) return;
    const read = this.held === null ? chunk : Buffer.concat([this.held, chunk]);
    const hello = readClientHello(read);
    if (hello === 'more') {
      this.held = this.held === null ? Buffer.from(chunk) : read;
      return;
    }
    this.leave();
    this.next.asked(hello === 'other' ? null : hello, read, this.since);
  }

  private leave(): void {
    this.over = true;
    this.held = null;
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
    this.ctx.handshakes--;
    this.ctx.ledger.count(EDGE.handshakes + HANDSHAKES.open, -1);
    this.ctx.ledger.count(EDGE.connections, -1);
  }

  private fail(reason: HandshakeFailure): void {
    if (this.over) return;
    this.leave();
    this.ctx.ledger.count(EDGE.handshakes + HANDSHAKES.failed + HANDSHAKE_FAILURES.indexOf(reason), 1);
    this.socket.destroy();
    this.next.gone();
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

  onEnd(): void {
    this.fail('closed');
  }

  onDrain(): void {
    // Nothing is written here.
  }

  onError(): void {
    // What follows is 'close'.
  }

  onClose(): void {
    this.fail('closed');
  }
}
