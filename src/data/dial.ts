import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { SharedRead } from '../proxy/sockets.ts';

const KEEP_ALIVE_MS = 60_000;

/** Dials a backend over TCP. */
export function dial(host: string, port: number, onread: SharedRead): Socket {
  return connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS, allowHalfOpen: true, onread });
}

/** Names the batch of socket events that the event loop is working off (some 25 ns). */
export function eventBatch(): number {
  // Both only grow: one counts the loop's turns, the other the events of a batch once that is done.
  const { loopCount, events } = performance.nodeTiming.uvMetricsInfo;
  return loopCount + events;
}
