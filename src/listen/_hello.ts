import type { Socket } from 'node:net';
import { readClientHello } from '../http/client-hello.ts';
import type { ClientHello } from '../http/client-hello.ts';
import type { Context } from '../proxy/context.ts';
import { countFailed } from './_handshake.ts';
import { Stay } from './_stay.ts';
import type { Ending, Stage } from './_stay.ts';

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
export class Hello implements Stage {
  readonly stay: Stay;
  private readonly ctx: Context;
  private readonly socket: Socket;
  private readonly next: Next;

  constructor(ctx: Context, socket: Socket, next: Next) {
    this.ctx = ctx;
    this.socket = socket;
    this.next = next;
    this.stay = new Stay(ctx, socket, this, { since: ctx.timers.now, within: ctx.table.edge.timeouts.handshake, handshake: true });
  }

  take(read: Buffer): boolean {
    const hello = readClientHello(read);
    if (hello === 'more') return false;
    this.stay.leave();
    this.next.asked(hello === 'other' ? null : hello, read, this.stay.since);
    return true;
  }

  ended(why: Ending): void {
    countFailed(this.ctx, why === 'timeout' ? 'timeout' : 'closed');
    this.socket.destroy();
    this.next.gone();
  }
}
