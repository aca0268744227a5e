import type { BackendHealth } from '../health/evidence.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';

/** What an upstream calls its parts: one of workers has members instead of backends, which take jobs and not requests. */
export interface Words {
  readonly backend: string;
  readonly backends: string;
  readonly healthy: string;
  readonly requests: string;
  readonly traffic: string;
  readonly threads: string;
}

const WEB: Words = { backend: 'backend', backends: 'backends', healthy: 'healthy', requests: 'requests', traffic: 'traffic', threads: 'data thread' };
const WORKERS: Words = { backend: 'member', backends: 'members', healthy: 'ready', requests: 'leases', traffic: 'work', threads: 'member' };

export function wordsOf({ worker }: Pick<UpstreamPolicy, 'worker'>): Words {
  return worker === null ? WEB : WORKERS;
}

/** A backend and its last probe in a few words. */
export function describeBackend(address: string, seen: BackendHealth | undefined, words: Words): string {
  const probe = seen?.probes.at(-1);
  if (seen === undefined || probe === undefined) return `${address}: ${words === WORKERS ? 'it has not reported yet' : 'no probe has ended yet'}`;
  if (words === WORKERS) return `${address}: ${probe.error ?? 'it is ready'}`;
  if (probe.ok) return `${address}: ${seen.health}, passed ${Math.max(0, seen.run)} in a row`;
  const what = probe.error ?? (probe.status === null ? 'no answer' : `status ${probe.status}`);
  return `${address}: ${seen.health}, ${what}`;
}

/** `v1`, `v1 and v2`, `v1, v2 and v3`. */
export function listed(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? 'nothing') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
