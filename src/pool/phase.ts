/**
 * Phase of a version. Phase is decided, health is observed: the two never mix.
 *
 *     admitting ─▶ standby ─▶ live ─▶ draining ─▶ drained ─▶ released
 *         └─▶ rejected ◀─────────────────┘          └─▶ live (rollback only)
 */
export type Phase = 'admitting' | 'standby' | 'live' | 'draining' | 'drained' | 'released' | 'rejected';

const NEXT: Readonly<Record<Phase, readonly Phase[]>> = {
  admitting: ['standby', 'rejected'],
  standby: ['live', 'draining'],
  live: ['draining'],
  // A rollback while the old version still drains takes it straight back.
  draining: ['drained', 'live', 'rejected', 'released'],
  drained: ['live', 'released'],
  released: [],
  rejected: [],
};

/** Whether a version may move from one phase to another. */
export function mayMove(from: Phase, to: Phase): boolean {
  return NEXT[from].includes(to);
}

/** Final phases: the version can never get traffic again and its slots are free. */
export function isFinal(phase: Phase): boolean {
  return phase === 'released' || phase === 'rejected';
}

/** Whether a version in this phase has passed admission, and so may be given weight. */
export function isAdmitted(phase: Phase): boolean {
  return phase === 'standby' || phase === 'live' || phase === 'draining' || phase === 'drained';
}

/** Health of a backend, as its probes see it. `stopping`: it answered 404 on its probe path, and asks to be drained. */
export type Health = 'unknown' | 'healthy' | 'unhealthy' | 'stopping';
