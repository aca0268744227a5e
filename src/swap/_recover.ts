import { openFor } from '../pool/reach.ts';
import { admissionDeadline, askAgain } from './_admission.ts';
import { lastStepTaken } from './_cutover.ts';
import { awaitReturn } from './_return.ts';
import { changeSwap, changeVersion, runningSwap } from './_turn.ts';
import type { Turn } from './_turn.ts';

const UNPROVEN = { generation: null, acks: null, requestsCut: false, tunnelsCut: false } as const;

/**
 * Takes up a state after the process has died. The recorded split is served at once; whatever waited
 * for a publish, a probe or an ack waits for it anew. After a restart of the whole machine a canary waits for its incoming version, too.
 */
export function recover(turn: Turn, slots: Readonly<Record<string, readonly number[]>>, rebooted: boolean): void {
  for (const { id } of turn.state.versions) recoverVersion(turn, id, slots[id]);
  turn.effects.push({ type: 'publish' });
  const swap = runningSwap(turn.state);
  if (swap === null) return;
  if (swap.state === 'cutting-over' || swap.state === 'rolling-back') changeSwap(turn, { publishedAt: null, window: null });
  if (rebooted && swap.state === 'cutting-over' && !lastStepTaken(turn, swap)) awaitReturn(turn, swap);
  const waits = (swap.state === 'admitting' && swap.gates === null) || (swap.state === 'standby' && !swap.paused);
  if (waits && turn.state.versions.some(({ id, phase }) => id === swap.to && phase !== 'admitting')) askAgain(turn, swap);
}

function recoverVersion(turn: Turn, id: string, slots: readonly number[]): void {
  const swap = runningSwap(turn.state);
  const old = changeVersion(turn, id, {});
  // It is probed when the gates before it are passed.
  const gated = swap?.to === id && swap.state === 'admitting' && swap.gates !== null;
  const version = changeVersion(turn, id, {
    slot: slots[old.backends.length],
    backends: old.backends.map((backend, i) => ({ ...backend, slot: slots[i] })),
    admitBy: old.phase === 'admitting' && !gated ? admissionDeadline(turn, swap?.to === id ? swap : null) : null,
    // Acks of the old process prove nothing about the threads of this one.
    drain:
      old.phase === 'draining' && old.drain !== null
        ? { ...old.drain, ...UNPROVEN, ...(openFor(turn.world.policy) === 0 ? { openUntil: null } : {}) }
        : old.drain,
  });
  if (old.phase === 'admitting') {
    if (!gated) turn.effects.push({ type: 'probe', version, mode: 'admitting' });
    return;
  }
  turn.effects.push({ type: 'trust', version, addresses: version.trusted }, { type: 'probe', version, mode: 'steady' });
}
