import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { SharedRead } from '../proxy/sockets.ts';

const KEEP_ALIVE_MS = 60_000;

/** Dials a backend over TCP. */
export function dial(host: string, port: number, onread: SharedRead): Socket {
  return connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS, allowHalfOpen: true, onread });
}
