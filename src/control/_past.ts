import type { History } from '../history/history.ts';
import { isFinished } from '../pool/upstream.ts';
import type { Swap } from '../pool/upstream.ts';

/** Writes a swap that has ended into the history. */
export function recordSwap(history: History, upstream: string, swap: Swap): void {
  const { id, kind, from, to, state, requestedBy, reason } = swap;
  const way = `${kind} ${from.at(0) ?? 'nothing'} → ${to}: ${state}`;
  history.record({
    by: requestedBy,
    via: 'api',
    kind: 'swap',
    upstream,
    summary: reason === null ? way : `${way} (${reason})`,
    changes: [],
    facts: { swap: id, from: from.at(0) ?? null, to, outcome: state },
  });
}

/** A swap that ended just before the proxy was killed. */
export function recordMissed(history: History, upstream: string, swap: Swap | null): void {
  if (swap === null || swap.kind === 'seed' || !isFinished(swap) || history.has('swap', swap.id)) return;
  recordSwap(history, upstream, swap);
}
