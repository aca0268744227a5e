import { Socket } from 'node:net';
import type { Server, SocketConstructorOpts } from 'node:net';
import type { SharedRead } from '../proxy/sockets.ts';

/** What is used here of the TCP handle inside a `net.Server`. */
interface ListeningHandle {
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, seconds: number): number;
  onconnection: (status: number, handle: object | undefined) => void;
}

const KEEP_ALIVE_SECONDS = 60;

/**
 * Takes the connections of a listening server at its handle, each as a socket that reads into the shared buffer.
 * `net.Server` has no `onread` option, and makes a socket of its own for each connection first. Options set on the
 * listening socket are those of every accepted one (Linux). Together this saves 5 system calls and one of two sockets
 * a connection: some 6 of 55 µs for a connection with one request.
 * @param failed an accept failed (no descriptors left); the next one is tried all the same.
 */
export function acceptFrom(server: Server, onread: SharedRead, taken: (socket: Socket) => void, failed: () => void): void {
  const handle = Reflect.get(server, '_handle') as ListeningHandle;
  handle.setNoDelay(true);
  handle.setKeepAlive(true, KEEP_ALIVE_SECONDS);
  handle.onconnection = (status, accepted) => {
    if (status !== 0 || accepted === undefined) return failed();
    taken(new Socket({ handle: accepted, allowHalfOpen: true, onread } as unknown as SocketConstructorOpts));
  };
}
