import type { BackendProtocol, BackendTls } from '../pool/backend-tls.ts';
import type { Way } from '../proxy/way.ts';
import { TlsWay } from './_tls-way.ts';
import { TlsClient } from '../dial/tls.ts';

/** Makes the way to one backend, which has that row in the ledger. */
export type Ways = (slot: number, host: string, port: number) => Way;

/** Counts open connections to a backend. */
export type CountSockets = (slot: number, change: 1 | -1) => void;

/** How the backends of an upstream are reached; null = over plain TCP. */
export function makeWays(tls: BackendTls | null, protocol: BackendProtocol, _count: CountSockets): Ways | null {
  const client = tls === null ? null : new TlsClient(tls, protocol);
  if (client === null) return null;
  return (_slot, host, port) => new TlsWay(client, host, port);
}
