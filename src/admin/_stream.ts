import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebSocket } from 'ws';
import type { LoggedEvent, Operations } from '../control/operations.ts';

/** Bytes that may wait for a slow consumer before it is disconnected. */
const MAX_BUFFERED = 1024 * 1024;
const HEARTBEAT_MS = 15_000;
/** What an EventSource waits before it connects again, in milliseconds. */
const RETRY_MS = 2_000;

const TRY_AGAIN_LATER = 1013;
const GOING_AWAY = 1001;

export interface Subscription {
  /** Only events of this upstream; undefined = all. */
  readonly upstream: string | undefined;
  /** The last event that the consumer has seen; null = from now on. */
  readonly after: string | null;
}

const RESET = { type: 'reset', reason: 'Events were forgotten in between: read the present state again.' } as const;

/** Hands over what was missed, then what happens from now on. Nothing is lost in between: both happen in one tick. */
function subscribe(operations: Operations, { upstream, after }: Subscription, reset: () => void, next: (event: LoggedEvent) => void): () => void {
  const wanted = (event: LoggedEvent): boolean => upstream === undefined || event.upstream === upstream;
  if (after !== null) {
    const { events, complete } = operations.eventsAfter(after);
    if (!complete) reset();
    for (const event of events) if (wanted(event)) next(event);
  }
  return operations.onEvent((event) => {
    if (wanted(event)) next(event);
  });
}

/** Sends events as Server-Sent Events until the client goes, `closing` aborts or the client is too slow. */
export function streamSse(operations: Operations, wanted: Subscription, request: IncomingMessage, response: ServerResponse, closing: AbortSignal): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const write = (text: string): void => {
    if (response.destroyed) return;
    response.write(text);
    if (response.writableLength > MAX_BUFFERED) response.destroy();
  };
  write(`retry: ${RETRY_MS}\n\n`);
  const off = subscribe(
    operations,
    wanted,
    () => write(`event: reset\ndata: ${JSON.stringify(RESET)}\n\n`),
    (event) => write(`id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`),
  );
  const heartbeat = setInterval(() => write(': still here\n\n'), HEARTBEAT_MS);
  const end = (): void => {
    response.end();
  };
  closing.addEventListener('abort', end, { once: true });
  response.once('close', () => {
    clearInterval(heartbeat);
    off();
    closing.removeEventListener('abort', end);
  });
  if (closing.aborted) end();
}

/** Sends events as JSON messages over a WebSocket until the client goes, `closing` aborts, or the client is too slow (close 1013) or silent. */
export function streamWebSocket(operations: Operations, wanted: Subscription, socket: WebSocket, closing: AbortSignal): void {
  const send = (message: unknown): void => {
    if (socket.readyState !== socket.OPEN) return;
    socket.send(JSON.stringify(message));
    // The close frame waits behind all that was not read: it is given until the next heartbeat.
    if (socket.bufferedAmount > MAX_BUFFERED) socket.close(TRY_AGAIN_LATER, 'too slow');
    if (socket.readyState !== socket.OPEN) off();
  };
  let off = (): void => {};
  off = subscribe(operations, wanted, () => send(RESET), send);
  let answered = true;
  socket.on('pong', () => {
    answered = true;
  });
  const heartbeat = setInterval(() => {
    if (!answered || socket.readyState !== socket.OPEN) {
      socket.terminate();
      return;
    }
    answered = false;
    socket.ping();
  }, HEARTBEAT_MS);
  const end = (): void => socket.close(GOING_AWAY, 'shutting down');
  closing.addEventListener('abort', end, { once: true });
  // A broken frame closes the socket; 'close' follows and cleans up.
  socket.on('error', () => socket.terminate());
  socket.once('close', () => {
    clearInterval(heartbeat);
    off();
    closing.removeEventListener('abort', end);
  });
}
