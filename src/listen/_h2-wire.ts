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
  /** The socket is not read, whatever the session wants. */
  held = false;
  private gathering = false;
  private pieces: Buffer[] = [];
  private size = 0;
  private done: Done | null = null;

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
    if (!this.held && this.socket.isPaused()) this.socket.resume();
    return this;
  }

  hold(): void {
    this.held = true;
    this.socket.pause();
  }

  release(): void {
    this.held = false;
    this.resume();
  }

  override cork(): void {
    this.gathering = true;
  }

  /** What the session sends at once is one write: each of several would cost a microsecond, and a callback. */
  override uncork(): void {
    const { pieces, size, done } = this;
    this.gathering = false;
    if (pieces.length === 0) return;
    this.pieces = [];
    this.size = 0;
    this.done = null;
    const bytes = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, size);
    this.socket.write(bytes, (error) => {
      // It counts them.
      for (let i = 0; i < pieces.length; i++) done?.(error);
    });
  }

  override write(bytes: Buffer, done?: unknown): boolean {
    if (!this.gathering) return this.socket.write(bytes, done as Done);
    this.pieces.push(bytes);
    this.size += bytes.length;
    this.done = done as Done;
    return true;
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
