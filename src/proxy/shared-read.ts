import type { Socket } from 'node:net';

/** The `onread` option of a socket: all sockets of a thread read into one buffer. */
export interface SharedRead {
  readonly buffer: Buffer;
  readonly callback: (this: Socket, size: number) => boolean;
}

const READ_BYTES = 65_536;

/**
 * The buffer that all reads of a data thread land in. Bytes in it are good for the tick in which they
 * came: who keeps them, or writes them to a socket, takes a copy.
 */
export function readBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(READ_BYTES);
}

/** A copy of bytes [from, to), to keep or to write. */
export function copyOf(chunk: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafe(to - from);
  chunk.copy(copy, 0, from, to);
  return copy;
}
