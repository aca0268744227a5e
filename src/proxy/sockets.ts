import type { Socket } from 'node:net';
import { Views } from '../http/views.ts';

/** What a socket tells its owner. */
export interface SocketOwner {
  /** Bytes in the thread's read buffer: good for this tick only. */
  onData(chunk: Buffer): void;
  /** The peer has sent its FIN. */
  onEnd(): void;
  onDrain(): void;
  onError(error: Error): void;
  onClose(): void;
}

/** The `onread` option of a socket: all sockets of a thread read into one buffer. */
export interface SharedRead {
  readonly buffer: Buffer;
  callback(this: Socket, size: number): boolean;
}

/** Begins a connection to a backend; it says `connect`, or `error` and `close`. Half-open is allowed, reads go the shared way. */
export type Dial = (host: string, port: number, onread: SharedRead) => Socket;

/** What the proxy needs of a client's connection: a socket, or a stream of an HTTP/2 connection that passes for one. */
export interface ClientSocket {
  readonly writableNeedDrain: boolean;
  readonly writableLength: number;
  readonly writableEnded: boolean;
  /** The client may have more to send than it is let. */
  readonly withheld?: boolean;
  /** It copies what is written to it at once. */
  readonly copies?: true;
  /** It encrypts, and so copies, what is written to it when nothing else waits to be. */
  readonly encrypts?: true;
  /** Unless it copies, or encrypts and nothing waits but these, the bytes are good for this call only when `writableLength` is 0 after it. */
  write(bytes: Buffer): boolean;
  end(): unknown;
  destroy(): unknown;
  resetAndDestroy(): unknown;
  pause(): unknown;
  resume(): unknown;
  cork(): void;
  uncork(): void;
  on(event: string, listener: (this: OwnedSocket, error: Error) => void): unknown;
}

type OwnedSocket = { owner?: SocketOwner };

const READ_BYTES = 65_536;

/**
 * How the sockets of a data thread read: into one buffer, past the readable side of streams. Saves the
 * 64 KB allocation of each read and some 2 µs a request. Who keeps bytes, or writes them to a socket, takes a copy.
 */
export function sharedRead(): SharedRead {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const views = new Views(buffer);
  return {
    buffer,
    callback(size) {
      const { owner } = this as OwnedSocket;
      owner?.onData(views.upTo(size));
      return true;
    },
  };
}

/** A copy of bytes [from, to), to keep or to write. */
export function copyOf(chunk: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafe(to - from);
  chunk.copy(copy, 0, from, to);
  return copy;
}

/** `more` behind what was kept before, to keep; what does not lie in the read buffer has been copied already. */
export function kept(before: Buffer | null, more: Buffer, { buffer }: SharedRead): Buffer {
  if (before !== null) return Buffer.concat([before, more]);
  return more.buffer === buffer.buffer ? copyOf(more, 0, more.length) : more;
}

/** Has the owner, from now on, told of all that happens to the socket; a former owner hears nothing more. */
export function own(socket: ClientSocket, owner: SocketOwner): void {
  const owned = socket as OwnedSocket;
  const first = owned.owner === undefined;
  owned.owner = owner;
  if (!first) return;
  socket.on('end', onEnd);
  socket.on('drain', onDrain);
  socket.on('error', onError);
  socket.on('close', onClose);
}

// One function for all sockets: a closure per connection and event would cost some 200 bytes each.
function onEnd(this: OwnedSocket): void {
  this.owner?.onEnd();
}
function onDrain(this: OwnedSocket): void {
  this.owner?.onDrain();
}
function onError(this: OwnedSocket, error: Error): void {
  this.owner?.onError(error);
}
function onClose(this: OwnedSocket): void {
  this.owner?.onClose();
}
