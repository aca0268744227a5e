import { EventEmitter } from 'node:events';
import { constants, type ServerHttp2Stream } from 'node:http2';

/** What a stream tells its owner. */
export interface StreamOwner {
  /** The client takes streams back in the bytes that are read now. */
  readonly takesBack: boolean;
  /** Trailers of the request, as they came. */
  received: readonly string[];
  onBody(chunk: Buffer): void;
  onBodyEnd(): void;
  drained(): void;
  /** The client has reset it. */
  aborted(): void;
  /** The answer is sent but for its trailers. */
  sendTrailers(): void;
  /** It is over, and tells nothing more. */
  closed(): void;
}

/** null = it is over. */
type OwnedStream = ServerHttp2Stream & { owner: StreamOwner | null };

/** Has the owner told of all that happens to the stream, and lets it end when its answer is sent. */
export function ownStream(stream: ServerHttp2Stream, owner: StreamOwner): void {
  const owned = stream as OwnedStream;
  owned.owner = owner;
  owned.emit = emit;
  owned.destroy = destroyInTime;
}

/** Hears of the request's body too. */
export function listenToBody(stream: ServerHttp2Stream): void {
  stream.on('data', onBody);
  stream.on('trailers', onTrailers);
  stream.on('end', onBodyEnd);
}

/** The end of what has come is told now: to one stream at a time. */
let ending = false;

const inherited = Reflect.get(EventEmitter.prototype, 'emit') as (
  this: ServerHttp2Stream,
  event: string | symbol,
  a?: unknown,
  b?: unknown,
  c?: unknown,
) => boolean;

/** What happens to every stream is told without listeners: adding four of them would be a fortieth of a small request. */
function emit(this: OwnedStream, event: string | symbol, a?: unknown, b?: unknown, c?: unknown): boolean {
  const { owner } = this;
  if (owner === null) return false;
  switch (event) {
    case 'close':
      // Node may keep the stream alive for a while: what is ours must not be kept with it.
      this.owner = null;
      owner.closed();
      return true;
    case 'drain':
      owner.drained();
      return true;
    case 'aborted':
      owner.aborted();
      return true;
    case 'wantTrailers':
      owner.sendTrailers();
      return true;
    case 'error':
      // What follows is 'close'.
      return true;
    case 'end':
      ending = true;
      try {
        return inherited.call(this, event);
      } finally {
        ending = false;
      }
    default:
      return inherited.call(this, event, a, b, c);
  }
}

/**
 * Node destroys a stream when its last frame is handed over, before that write is known to be done. Then it makes an error for the
 * write, which nobody sees, and leaves what the stream has outside the heap to the collector (`HasWritesOnSocketForStream` in its
 * node_http2.cc): of a small request that was a seventh. So the end waits for 'finish', at which Node destroys the stream by itself.
 * What a reset of the client has left unsent would wait in vain: then Node destroys at once, in the read that brings it, or at 'end'.
 */
function destroyInTime(this: OwnedStream, error?: Error | null): OwnedStream {
  const { session, owner } = this;
  const isSent = this.writableFinished;
  const mayWait = !isSent && this.writableEnded && (error === undefined || error === null) && this.rstCode === constants.NGHTTP2_NO_ERROR;
  if (mayWait && !ending && owner?.takesBack === false && session !== undefined && !session.destroyed) return this;
  const { stackTraceLimit } = Error;
  // A stack would be most of what the error for an unsent write costs.
  if (!isSent) Error.stackTraceLimit = 0;
  try {
    return (Object.getPrototypeOf(this) as ServerHttp2Stream).destroy.call(this, error ?? undefined) as OwnedStream;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

// One function for all streams: closures for each would be most of what a stream costs in memory.
function onBody(this: ServerHttp2Stream, chunk: Buffer): void {
  (this as OwnedStream).owner?.onBody(chunk);
}
function onBodyEnd(this: ServerHttp2Stream): void {
  (this as OwnedStream).owner?.onBodyEnd();
}
function onTrailers(this: ServerHttp2Stream, _headers: unknown, _flags: unknown, raw: string[]): void {
  const { owner } = this as OwnedStream;
  if (owner !== null) owner.received = raw;
}
