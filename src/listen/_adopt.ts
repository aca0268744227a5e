import { Socket } from 'node:net';
import type { SocketConstructorOpts } from 'node:net';
import type { SharedRead } from '../proxy/sockets.ts';

/**
 * Gives an accepted, paused socket's handle to a socket that reads into a shared buffer. `net.Server`
 * has no option for that, though `net.Socket` has (`onread`). Reads without the readable side of streams, and without a
 * 64 KB allocation each, cost 1 µs less a message.
 */
export function adopt(accepted: Socket, onread: SharedRead): Socket {
  const handle: unknown = Reflect.get(accepted, '_handle');
  Reflect.set(accepted, '_handle', null);
  const options = { handle, allowHalfOpen: true, onread };
  return new Socket(options as unknown as SocketConstructorOpts);
}
