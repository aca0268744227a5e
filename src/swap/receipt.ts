import type { Counts } from '../ledger/control.ts';
import type { Receipt, UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import type { World } from './events.ts';

function iso(at: number): string {
  return new Date(at).toISOString();
}

/** What the ledger has counted for a version, without the gauges. */
export function outcomes(counts: Counts): Receipt['counts'] {
  const { started, completed, clientAborted, upstreamFailed, killed } = counts;
  return { started, completed, clientAborted, upstreamFailed, killed };
}

/**
 * The proof that a version may be destroyed. Promised: `started` is the sum of the four outcomes,
 * nothing is in flight, and every ack is at least `generation`.
 * @throws when the version has not been drained, or its counts break the conservation law.
 */
export function receiptFor(state: UpstreamState, version: Version, world: World): Receipt {
  const drain = version.drain;
  if (drain === null || drain.generation === null || drain.acks === null || drain.doneAt === null) throw new Error(`version ${version.id} is not drained`);
  const counts = world.counts(version);
  const ended = counts.completed + counts.clientAborted + counts.upstreamFailed + counts.killed;
  if (counts.mirroredInFlight !== 0) throw new Error(`version ${version.id}: ${counts.mirroredInFlight} copies of requests have not ended`);
  if (counts.started !== ended) throw new Error(`version ${version.id}: ${counts.started} requests started, ${ended} ended`);
  return {
    upstream: state.name,
    kind: world.policy.worker === null ? 'web' : 'worker',
    version: version.id,
    releasedAt: iso(world.now),
    generation: drain.generation,
    admitted: { healthy: version.admittedHealthy, of: version.backends.length },
    firstRequestAt: counts.firstAt === 0 ? null : iso(counts.firstAt),
    lastRequestAt: counts.lastAt === 0 ? null : iso(counts.lastAt),
    counts: outcomes(counts),
    killedByKind: { ...counts.killedByKind },
    mirrored: counts.mirrored,
    peakInFlight: world.peak(version),
    drainMs: drain.doneAt - drain.since,
    acks: drain.acks,
    countedSince: iso(Math.max(version.createdAt, world.startedAt)),
  };
}
