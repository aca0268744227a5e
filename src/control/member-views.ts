import { fewOf } from '../errors/message.ts';
import { emptyCounts } from '../ledger/control.ts';
import type { Counts } from '../ledger/control.ts';
import type { Register } from '../members/register.ts';
import type { Version } from '../pool/version.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import type { Explanation, MemberView } from './operations.ts';
import type { Observed } from './views.ts';

type Entry = ReturnType<Register['all']>[number];

/** The members of an upstream, or of one version of it, by name. */
export function memberViews(register: Register, version?: Version): MemberView[] {
  const entries = version === undefined ? register.all() : register.of(version.slot);
  return entries.map((entry) => memberView(register, entry)).toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

function memberView(register: Register, entry: Entry): MemberView {
  const { id, instance, version, restored, confirmed, ready, inHand, names, joinedAt, wallAt } = entry;
  const newest = register.isNewest(entry);
  return {
    name: id,
    instance,
    version,
    declared: register.isDeclared(entry),
    order: register.orderOf(entry),
    generation: confirmed,
    state: restored ? 'silent' : newest ? 'alive' : 'superseded',
    ready,
    leases: inHand,
    leaseNames: [...names],
    counts: countsOf(entry),
    joinedAt: new Date(joinedAt).toISOString(),
    lastReportAt: new Date(wallAt).toISOString(),
    expiresIn: register.expiresIn(entry),
  };
}

function countsOf({ tally: { completed, failed, aborted, killed }, inHand }: Entry): MemberView['counts'] {
  return { started: completed + failed + aborted + killed + inHand, completed, clientAborted: aborted, upstreamFailed: failed, killed };
}

/** Workers in the words of backends, at this moment: a member's leases are its requests, and it is available while it may take work. */
export function workersObserved(register: Register): Omit<Observed, 'policy' | 'verdict' | 'launched' | 'stopping'> {
  const places = new Map<number, Map<string, Entry[]>>();
  const at = ({ slot }: Version, address: string): Entry[] => {
    let byName = places.get(slot);
    if (byName === undefined) places.set(slot, (byName = Map.groupBy(register.of(slot), ({ id }) => id)));
    return byName.get(address) ?? [];
  };
  return {
    counts: (version) => register.counts(version),
    backendCounts: (version, { address }) => {
      const sum = emptyCounts();
      for (const entry of at(version, address)) addTo(sum, entry);
      return sum;
    },
    available: (version, { address }) => at(version, address).some((entry) => register.orderOf(entry) === 'run'),
    members: (version) => memberViews(register, version),
    health: (version) => register.health(version),
    isEjected: () => false,
    isStopped: () => false,
    waiting: () => 0,
  };
}

function addTo(sum: Counts, entry: Entry): void {
  sum.started += countsOf(entry).started;
  sum.inFlight += entry.inHand;
}

/** Who keeps a draining version (`id`, or any) from its release: what each of its members still has in hand, or has not confirmed. */
export function memberFacts(register: Register, { versions }: UpstreamState, id: string | null): Explanation['facts'] {
  const draining = versions.filter((version) => version.phase === 'draining' && (id === null || version.id === id));
  const found = draining.flatMap((version) => {
    const { drain, slot } = version;
    const late = drain?.acks == null ? (drain?.generation ?? null) : null;
    return register.of(slot).flatMap((entry): string[] => {
      const dead = `presumed dead in ${(register.expiresIn(entry) / 1_000).toFixed(1)} s unless it reports`;
      if (entry.restored) return [`${entry.id} has not been heard since the proxy was started; ${dead}`];
      if (late !== null && entry.ranIn > 0 && entry.confirmed < late) return [`${entry.id} has not confirmed generation ${late}; ${dead}`];
      const names = entry.names.length === 0 ? '' : ` (${entry.names.join(', ')}${entry.names.length < entry.inHand ? ', …' : ''})`;
      return entry.inHand === 0 ? [] : [`${entry.id} has ${entry.inHand} in hand${names}`];
    });
  });
  return fewOf(found).map((fact) => ({ fact, blocks: 'released' }));
}
