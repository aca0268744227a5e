import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

type Done = (error?: Error | null) => void;

/**
 * A client's socket as node:http2 is given it: what the session reads is what it is fed, so that all of it can be looked at first,
 * and read after read; given the socket itself, it would read up to 2 MB at the handle before anybody could stop it. What it writes
 * goes straight to the socket.
 */
export class H2Wire extends Duplex {
  private readonly socket: Socket;

  constructor(socket: Socket) {
    super({ autoDestroy: false });
    this.socket = socket;
  }

  /** Bytes for the session, which copies them. */
  feed(bytes: Buffer): void {
    this.emit('data', bytes);
  }

  /** The session wants no more while it writes. Reads go on unless that takes its time. */
  override pause(): this {
    if (this.socket.writableNeedDrain) this.socket.pause();
    return this;
  }

  override resume(): this {
    if (this.socket.isPaused()) this.socket.resume();
    return this;
  }

  override cork(): void {
    this.socket.cork();
  }

  override uncork(): void {
    this.socket.uncork();
  }

  override write(bytes: Buffer, done?: unknown): boolean {
    return this.socket.write(bytes, done as Done);
  }

  override end(done?: unknown): this {
    this.socket.end(done as Done);
    return this;
  }

  override _read(): void {
    // It is fed.
  }

  override _destroy(_error: Error | null, done: Done): void {
    this.socket.destroy();
    done(null);
  }
}
