import type { Socket } from 'node:net';
import type { Fault } from '../errors/catalogue.ts';
import { ownAnswer } from '../http/own-answer.ts';
import type { Context } from '../proxy/context.ts';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring } from '../proxy/deadline.ts';
import { own, type SocketOwner } from '../proxy/sockets.ts';

const LINGER_MS = 1_000;
const LINGER_BYTES = 65_536;
/** Of one thread. They are over the limit already: past this, no answer is waited for. */
const MOST = 1_000;

/**
 * A connection that is one too many: it is told so, and what it sends is read and dropped for a bounded time and size, so that it
 * gets the answer and not a reset (RFC 9112 §9.6).
 */
export class TurnedAway implements SocketOwner, Expiring {
  private static waiting = 0;
  private readonly ctx: Context;
  private readonly socket: Socket;
  private readonly deadline: Deadline;
  private read = 0;

  constructor(ctx: Context, socket: Socket, address: string, fault: Fault) {
    this.ctx = ctx;
    this.socket = socket;
    this.deadline = new Deadline(this);
    TurnedAway.waiting++;
    own(socket, this);
    ctx.countRejected(fault);
    ctx.log.refused(address, fault.code);
    if (TurnedAway.waiting > MOST) {
      socket.resetAndDestroy();
      return;
    }
    ctx.timers.arm(this.deadline, LINGER_MS);
    socket.end(ownAnswer(fault, { form: 'text', close: true, head: false, date: ctx.date() }));
  }

  onData(chunk: Buffer): void {
    this.read += chunk.length;
    if (this.read > LINGER_BYTES) this.socket.destroy();
  }

  onEnd(): void {
    this.socket.destroy();
  }

  onDrain(): void {
    // There is nothing more to write.
  }

  onError(): void {
    // What follows is 'close', which says all that matters here.
  }

  onClose(): void {
    TurnedAway.waiting--;
    this.ctx.timers.drop(this.deadline);
  }

  expired(): void {
    this.socket.destroy();
  }
}
