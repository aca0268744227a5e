import type { UpstreamKind } from '../control/operations.ts';

/** What people read: upstreams of workers have members, which take jobs under leases, where others have backends that get requests. */
export interface Words {
  readonly backend: string;
  readonly healthy: string;
  readonly request: string;
  readonly traffic: string;
  readonly inFlight: string;
}

const WEB: Words = { backend: 'backend', healthy: 'healthy', request: 'request', traffic: 'traffic', inFlight: 'in flight' };
const WORKERS: Words = { backend: 'member', healthy: 'ready', request: 'lease', traffic: 'work', inFlight: 'in hand' };

export function wordsFor(kind: UpstreamKind): Words {
  return kind === 'worker' ? WORKERS : WEB;
}
