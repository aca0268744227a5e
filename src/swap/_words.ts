import type { BackendHealth } from '../health/evidence.ts';

/** A backend and its last probe in a few words. */
export function describeBackend(address: string, seen: BackendHealth | undefined): string {
  const probe = seen?.probes.at(-1);
  if (seen === undefined || probe === undefined) return `${address}: no probe has ended yet`;
  if (probe.ok) return `${address}: ${seen.health}, passed ${Math.max(0, seen.run)} in a row`;
  const what = probe.error ?? (probe.status === null ? 'no answer' : `status ${probe.status}`);
  return `${address}: ${seen.health}, ${what}`;
}

/** `v1`, `v1 and v2`, `v1, v2 and v3`. */
export function listed(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? 'nothing') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
