import type { Socket } from 'node:net';
import { LossError } from '../dial/loss.ts';
import type { Context } from './context.ts';
import { Deadline } from './deadline.ts';
import type { Expiring } from './deadline.ts';
import type { Preface } from './preface.ts';
import { own, type SocketOwner } from './sockets.ts';
import type { BackendTarget } from './targets.ts';
import type { BackendSocket, DialOwner } from './way.ts';

/** What a connection tells the exchange that uses it. */
export interface UpstreamUser {
  connected(): void;
  /** Bytes that are good for this tick only. */
  received(chunk: Buffer): void;
  /** The backend has sent its FIN. */
  upstreamEnded(): void;
  /** The connection is gone; `error` when it broke. */
  upstreamClosed(error: Error | null): void;
  upstreamDrained(): void;
}

/** Without `Keep-Alive: timeout`, shorter than the 5 s after which common servers close an idle connection. */
const IDLE_MS = 4_000;
const IDLE_MARGIN_MS = 1_000;
const MOST_IDLE_MS = 60_000;
/** As many as there are requests at a time, else they are closed and opened again all the time: with 1 000 clients 44 µs a request with 256, 23 with these. */
const MOST_IDLE = 1024;
/** For the last bytes of a tunnel to go out, once nobody waits for an answer to them. */
const CLOSE_MS = 30_000;
/** For an answer that is here already to be read, once the backend takes no more of the request. */
const LAST_WORDS_MS = 250;

/**
 * A connection to a backend. Used by one exchange at a time, or idle; bytes or an end while it is idle
 * are a surprise, and a connection that was ever surprised is destroyed, never used again.
 */
export class UpstreamConnection implements Expiring, DialOwner {
  readonly socket: BackendSocket;
  readonly backend: BackendTarget;
  connected = false;
  /** What broke it. */
  error: Error | null = null;
  user: UpstreamUser | null;
  readonly ctx: Context;
  /** What it began with; null = it may carry requests of any client. */
  private readonly preface: Preface | null;
  private readonly deadline: Deadline;
  private open = true;
  /** Batch of events in which it was taken from the idle ones; NaN = since then it has been read. */
  private takenIn = Number.NaN;

  /** Dials at once; the user hears `connected` or `upstreamClosed`. */
  constructor(ctx: Context, backend: BackendTarget, user: UpstreamUser | null, preface: Preface | null) {
    this.ctx = ctx;
    this.backend = backend;
    this.user = user;
    this.preface = preface;
    this.deadline = new Deadline(this);
    const { way } = backend;
    if (way === null) {
      const socket = ctx.dial(backend.host, backend.port, ctx.reads);
      own(socket, this);
      socket.on('connect', () => this.onConnect());
      this.socket = socket;
      if (preface !== null) introduce(socket, preface);
    } else {
      this.socket = way.dial(this, ctx.reads);
      this.connected = !this.socket.connecting;
    }
    if (way?.shared !== true) ctx.ledger.sockets(backend.slot, 1);
  }

  /**
   * Takes an idle connection that is clean now, or dials a new one.
   * @param user hears of everything from now on. @param fresh dial in any case: where one idle connection was stale, others may be.
   * @param preface what the connection begins with, and whose it is; null = it may have been anybody's.
   */
  static take(ctx: Context, backend: BackendTarget, user: UpstreamUser, fresh: boolean, preface: Preface | null): UpstreamConnection {
    if (fresh) {
      if (ctx.ledger.openSockets(backend.slot) >= backend.sockets) backend.idle.pop()?.destroy();
      return new UpstreamConnection(ctx, backend, user, preface);
    }
    for (let idle = idleOne(backend, preface); idle !== undefined; idle = idleOne(backend, preface)) {
      ctx.timers.disarm(idle.deadline);
      // Checked here, in the tick that uses it: one that has ended is not used.
      if (idle.open && !idle.socket.destroyed && !idle.socket.readableEnded) {
        idle.user = user;
        idle.takenIn = ctx.batch();
        return idle;
      }
      idle.destroy();
    }
    return new UpstreamConnection(ctx, backend, user, preface);
  }

  /**
   * Sends a further piece of a request body. A backend may have answered and hung up by now: then the write fails, and
   * would take the socket and the answer in it with it. What was received is read first (RFC 9112 §9.3).
   */
  sendMore(piece: Buffer): void {
    if (this.backend.way?.shared !== true) (this.socket as Socket).destroy = destroyOnceRead;
    this.socket.write(piece);
  }

  /** A write has failed. @returns whether the socket is kept a moment longer, for the answer in it. */
  listenOn(error: Error): boolean {
    if (this.user === null || !this.open || this.error !== null) return false;
    this.error = error;
    this.ctx.timers.arm(this.deadline, LAST_WORDS_MS);
    return true;
  }

  /** Opens a connection ahead of its first request. */
  static warm(ctx: Context, backend: BackendTarget): void {
    if (backend.way?.shared === true) return backend.way.warm();
    const connection = new UpstreamConnection(ctx, backend, null, null);
    backend.idle.push(connection);
    ctx.timers.arm(connection.deadline, IDLE_MS);
  }

  /**
   * Gives the connection back after a complete, clean exchange.
   * @param keepAliveSeconds of the backend's Keep-Alive field; −1 = not said.
   */
  giveBack(keepAliveSeconds: number): void {
    this.user = null;
    const idle = keepAliveSeconds < 0 ? IDLE_MS : Math.min(keepAliveSeconds * 1000 - IDLE_MARGIN_MS, MOST_IDLE_MS);
    if (this.error !== null || this.backend.retired || idle <= 0 || this.socket.writableLength > 0 || !this.keep()) {
      this.destroy();
      return;
    }
    if (this.socket.isPaused()) this.socket.resume();
    this.ctx.timers.arm(this.deadline, idle);
  }

  /** Puts it where the next request finds it. @returns false when there is no room. */
  private keep(): boolean {
    if (this.preface !== null) return this.preface.keep(this);
    const { idle, slot, sockets, share } = this.backend;
    // At the limit an idle connection of this thread is one that another thread cannot make.
    if (idle.length >= share && this.ctx.ledger.openSockets(slot) >= sockets) return false;
    return idle.length < MOST_IDLE && idle.push(this) > 0;
  }

  /** Ends it when all that was written has gone out. The user hears nothing more. */
  close(): void {
    if (this.socket.writableLength === 0) return this.destroy();
    this.user = null;
    // The claim ends with this call, and the row may be another version's soon.
    this.closeBooks();
    this.socket.end();
    this.ctx.timers.arm(this.deadline, CLOSE_MS);
  }

  /** Ends it now. The user, if any, hears nothing more. */
  destroy(): void {
    this.user = null;
    this.closeBooks();
    this.socket.destroy();
  }

  /** Its time as an idle connection is over, or that for last words. */
  expired(): void {
    const { user } = this;
    if (user === null) return this.dropIdle();
    this.destroy();
    user.upstreamClosed(this.error);
  }

  private dropIdle(): void {
    this.preface?.forget(this);
    const { idle } = this.backend;
    const at = idle.lastIndexOf(this);
    if (at !== -1) idle.splice(at, 1);
    this.destroy();
  }

  private closeBooks(): void {
    if (!this.open) return;
    this.open = false;
    this.ctx.timers.drop(this.deadline);
    if (this.backend.way?.shared !== true) this.ctx.ledger.sockets(this.backend.slot, -1);
  }

  onConnect(): void {
    this.connected = true;
    this.user?.connected();
  }

  onData(chunk: Buffer): void {
    const { user } = this;
    if (user === null) return this.dropIdle();
    if (this.takenIn === this.ctx.batch()) {
      // These bytes were here before the request was: they answer nothing of this user's (RFC 9112 §9.2).
      this.destroy();
      return user.upstreamClosed(null);
    }
    this.takenIn = Number.NaN;
    user.received(chunk);
  }

  onEnd(): void {
    if (this.user === null) this.dropIdle();
    else this.user.upstreamEnded();
  }

  onDrain(): void {
    this.user?.upstreamDrained();
  }

  onError(error: Error): void {
    this.error = error;
    // As if it had never been made: the request may go elsewhere.
    if (error instanceof LossError && error.untouched) this.connected = false;
  }

  onClose(): void {
    const { user } = this;
    if (user === null) {
      if (this.open) this.dropIdle();
      else this.ctx.timers.drop(this.deadline);
      return;
    }
    this.user = null;
    this.closeBooks();
    user.upstreamClosed(this.error);
  }
}

/** Stands in for `destroy` of a socket over which a body is sent. */
function destroyOnceRead(this: Socket & { owner?: SocketOwner }, error?: NodeJS.ErrnoException): Socket {
  if (error?.syscall === 'write' && this.owner instanceof UpstreamConnection && this.owner.listenOn(error)) return this;
  return (Object.getPrototypeOf(this) as Socket).destroy.call(this, error);
}

function idleOne(backend: BackendTarget, preface: Preface | null): UpstreamConnection | undefined {
  return preface === null ? backend.idle.pop() : preface.take(backend);
}

function uncork(socket: Socket): void {
  socket.uncork();
}

/** The header goes out in one packet with the first bytes of the request. */
function introduce(socket: Socket, { bytes }: Preface): void {
  socket.cork();
  socket.write(bytes);
  process.nextTick(uncork, socket);
}
