import type { Socket } from 'node:net';

/** What a socket tells its owner, besides the bytes that it reads. */
export interface SocketOwner {
  onEnd(): void;
  onDrain(): void;
  onError(error: Error): void;
  onClose(): void;
}

type OwnedSocket = Socket & { owner?: SocketOwner };

/** Ties a socket to its owner. */
export function own(socket: Socket, owner: SocketOwner): void {
  const owned: OwnedSocket = socket;
  owned.owner = owner;
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
