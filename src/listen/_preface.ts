import type { Socket } from 'node:net';
import type { Context } from '../proxy/context.ts';
import { Stay } from './_stay.ts';
import type { Ending, Stage } from './_stay.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

interface Next {
  /** @param read what has come so far; to be kept it must be copied. */
  spoken(http2: boolean, read: Buffer): void;
  /** Its time is over. Half a preface is half a request line to HTTP/1.1, which says what is to be said about it. @param read as above. */
  late(read: Buffer): void;
  /** It is gone before it has said which. */
  gone(): void;
}

/** A plain connection on a listener that takes HTTP/2 with prior knowledge (RFC 9113 §3.3), until it is clear what the client speaks. */
export class Preface implements Stage {
  readonly stay: Stay;
  private readonly socket: Socket;
  private readonly next: Next;

  constructor(ctx: Context, socket: Socket, next: Next) {
    this.socket = socket;
    this.next = next;
    this.stay = new Stay(ctx, socket, this, { since: ctx.timers.now, within: ctx.table.edge.timeouts.clientHead, handshake: false });
  }

  take(read: Buffer): boolean {
    const have = Math.min(read.length, PREFACE.length);
    const same = read.compare(PREFACE, 0, have, 0, have) === 0;
    if (same && have < PREFACE.length) return false;
    this.stay.leave();
    this.next.spoken(same, read);
    return true;
  }

  ended(why: Ending, read: Buffer | null): void {
    if (why === 'timeout') return this.next.late(read ?? Buffer.alloc(0));
    this.socket.destroy();
    this.next.gone();
  }
}
