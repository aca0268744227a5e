import type { Socket } from 'node:net';
import { EDGE } from '../ledger/layout.ts';
import type { Arriving, Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own } from '../proxy/sockets.ts';
import type { SocketOwner } from '../proxy/sockets.ts';

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
export class Preface implements SocketOwner, Expiring, Arriving {
  private readonly ctx: Context;
  private readonly socket: Socket;
  private readonly next: Next;
  private readonly deadline: Deadline;
  private readonly since: number;
  private held: Buffer = Buffer.alloc(0);
  private over = false;

  constructor(ctx: Context, socket: Socket, next: Next) {
    this.ctx = ctx;
    this.socket = socket;
    this.next = next;
    this.since = ctx.timers.now;
    this.deadline = new Deadline(this);
    own(socket, this);
    ctx.arriving.add(this);
    ctx.ledger.count(EDGE.connections, 1);
    ctx.timers.arm(this.deadline, ctx.table.edge.timeouts.clientHead);
  }

  onData(chunk: Buffer): void {
    if (this.over) return;
    const read = Buffer.concat([this.held, chunk]);
    const have = Math.min(read.length, PREFACE.length);
    const same = read.compare(PREFACE, 0, have, 0, have) === 0;
    if (same && have < PREFACE.length) this.held = read;
    else {
      this.leave();
      this.next.spoken(same, read);
    }
  }

  private leave(): void {
    this.over = true;
    this.ctx.timers.drop(this.deadline);
    this.ctx.arriving.delete(this);
    this.ctx.ledger.count(EDGE.connections, -1);
  }

  closeIdle(at: number): void {
    if (this.held.length === 0 && this.since <= at) this.close();
  }

  close(): void {
    if (this.over) return;
    this.leave();
    this.socket.destroy();
    this.next.gone();
  }

  expired(): void {
    if (this.over) return;
    this.leave();
    this.next.late(this.held);
  }

  onEnd(): void {
    this.close();
  }

  onDrain(): void {
    // Nothing is written here.
  }

  onError(): void {
    // What follows is 'close'.
  }

  onClose(): void {
    this.close();
  }
}
