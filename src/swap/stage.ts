import type { Swap, UpstreamState } from '../pool/upstream.ts';
import { isFinished } from '../pool/upstream.ts';
import { holdUntil } from './_cutover.ts';
import { longestHold } from './_judgement.ts';
import { findVersion } from './_turn.ts';

/**
 * When the present stage of a swap ends by itself at the latest: its admission, the hold of its step or, after a restart of the machine, the wait for its version, the drain of what it lets go.
 * Epoch milliseconds; null = no limit, somebody has to say so, or it is finished.
 */
export function stageEndsAt(state: UpstreamState, swap: Swap): number | null {
  if (isFinished(swap)) return null;
  if (swap.state === 'admitting') return findVersion(state, swap.to)?.admitBy ?? null;
  if (swap.state === 'cutting-over' && swap.recoverBy !== null) return swap.recoverBy;
  if (swap.state === 'cutting-over') return longestHold(swap) ?? holdUntil(swap);
  const gone = swap.state === 'draining' ? swap.from : swap.state === 'rolling-back' ? [swap.to] : [];
  const deadlines = gone.flatMap((id) => {
    const version = findVersion(state, id);
    return version?.phase === 'draining' && version.drain !== null ? [Math.max(version.drain.requestsUntil, version.drain.tunnelsUntil)] : [];
  });
  return deadlines.length === 0 ? null : Math.max(...deadlines);
}
