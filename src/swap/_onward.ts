import { admissionDeadline, admissionHealth, askAgain, isReady } from './_admission.ts';
import { beginCutover, goBack, watchCutover } from './_cutover.ts';
import { passesGates } from './_gates.ts';
import { addStep, changeSwap, changeVersion, healthOf, runningSwap, theVersion } from './_turn.ts';
import type { Turn } from './_turn.ts';

/** The gates before the admission are asked; once all are passed, a new version is probed. */
export function beginAdmission(turn: Turn): void {
  const swap = runningSwap(turn.state);
  if (swap === null || !passesGates(turn, swap, 'admission')) return;
  const free = changeSwap(turn, { gates: null });
  const version = theVersion(turn, swap.to);
  if (version.phase === 'admitting' && swap.gates !== null) {
    const probed = changeVersion(turn, swap.to, { admitBy: admissionDeadline(turn, free) });
    turn.effects.push({ type: 'probe', version: probed, mode: 'admitting' });
  }
  proceed(turn);
}

/** A swap goes as far as it can without new evidence. */
export function proceed(turn: Turn): void {
  const swap = runningSwap(turn.state);
  if (swap === null) return;
  const version = theVersion(turn, swap.to);
  if (version.phase === 'admitting') admissionHealth(turn, version.id);
  else if (version.phase === 'drained' || !isReady(turn, version, swap)) askAgain(turn, swap);
  else {
    addStep(turn, 'admitted', { version: version.id, ...healthOf(turn, version) });
    beginCutover(turn, changeSwap(turn, { state: 'standby' }));
  }
}

/** What a gate has decided lets the swap go on, or, with a reason, back. */
export function afterGates(turn: Turn, back: string | null): void {
  const swap = runningSwap(turn.state);
  if (swap === null || swap.gates === null) return;
  if (back !== null) goBack(turn, swap, 'rolled-back', back);
  else if (swap.state === 'admitting') beginAdmission(turn);
  else if (swap.state === 'standby' && !swap.paused) beginCutover(turn, swap);
  else if (swap.state === 'cutting-over') watchCutover(turn);
}
