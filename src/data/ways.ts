import type { BackendProtocol, BackendTls } from '../pool/backend-tls.ts';
import { TlsClient } from '../dial/tls.ts';
import type { Way } from '../proxy/way.ts';
import { H2Way } from './_h2-way.ts';
import { TlsWay } from './_tls-way.ts';

/** Makes the way to one backend, which has that row in the ledger. */
export type Ways = (slot: number, host: string, port: number) => Way;

/** Counts open connections to a backend. */
export type CountSockets = (slot: number, change: 1 | -1) => void;

/** How the backends of an upstream are reached; null = over plain TCP. */
export function makeWays(tls: BackendTls | null, protocol: BackendProtocol, count: CountSockets): Ways | null {
  const client = tls === null ? null : new TlsClient(tls, protocol);
  if (protocol === 'h2') return (slot, host, port) => new H2Way(client, host, port, (change) => count(slot, change));
  return client === null ? null : (_slot, host, port) => new TlsWay(client, host, port);
}
