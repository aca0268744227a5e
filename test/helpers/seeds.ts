import type { UpstreamView } from '../../src/control/operations.ts';

/**
 * Whether the first version of an upstream is still to be found healthy: a proxy waits for that but a moment, and says that it is ready
 * then. Not one that has failed a probe, nor one whose processes are launched, nor workers, who come when they want.
 */
export function isSeeding({ kind, swap, versions }: UpstreamView): boolean {
  if (kind !== 'web' || swap === null || swap.kind !== 'seed' || swap.finished) return false;
  const seed = versions.find(({ id }) => id === swap.to);
  return seed !== undefined && seed.launch === null && seed.backends.every(({ probes }) => probes.every(({ ok }) => ok));
}
