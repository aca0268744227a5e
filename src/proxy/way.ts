import type { SharedRead, SocketOwner } from './sockets.ts';

/** What a connection to a backend is made of: a socket, or what behaves as one towards its owner. */
export interface BackendSocket {
  readonly connecting: boolean;
  readonly destroyed: boolean;
  readonly readableEnded: boolean;
  readonly writableEnded: boolean;
  readonly writableLength: number;
  readonly writableNeedDrain: boolean;
  write(bytes: Buffer): boolean;
  end(): unknown;
  destroy(): unknown;
  pause(): unknown;
  resume(): unknown;
  isPaused(): boolean;
}

/** Who dials: hears of the connection, too. */
export interface DialOwner extends SocketOwner {
  onConnect(): void;
}

/** A way to one backend that is more than plain TCP: TLS, HTTP/2. Lives as long as its backend. */
export interface Way {
  /** Each `dial` is one request's stream on a connection that it shares; the way counts its open connections itself. */
  readonly shared: boolean;
  /**
   * Begins a connection. When it is `connecting`, the owner hears `onConnect` once the backend is known to be the right one;
   * no byte that is written before goes out earlier. What fails is told by `onError`, in words that `lossOf` understands.
   */
  dial(owner: DialOwner, onread: SharedRead): BackendSocket;
  /** Opens a shared connection ahead of its first request. */
  warm(): void;
  /** The backend is in no table any more: what is idle is closed now, the rest when it becomes idle. */
  retire(): void;
}
