import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { openFor } from '../pool/reach.ts';
import { splitProblem, splitRecord, weightOf } from '../pool/split.ts';
import type { Share } from '../pool/split.ts';
import type { Swap } from '../pool/upstream.ts';
import { beginCutover, goBack, lastStepTaken, reachStep, watchCutover } from './_cutover.ts';
import { close, retire, shiftTraffic, startDrain } from './_drain.ts';
import { openGates } from './_gates.ts';
import { beginAdmission } from './_onward.ts';
import { refuseRunning, unknownVersion } from './_requests.ts';
import { addStep, changeSwap, changeVersion, emit, findVersion, healthOf, runningSwap } from './_turn.ts';
import type { Turn } from './_turn.ts';
import { wordsOf } from './_words.ts';

/** An operator steers the running swap. */
export function steer(turn: Turn, verb: 'promote' | 'pause' | 'resume' | 'abort', by: string): void {
  const swap = runningSwap(turn.state);
  if (swap === null) throw new Refusal(REFUSAL.noRunningSwap, `No swap of ${turn.state.name} is running.`, { last: turn.state.swap?.id ?? null });
  if (swap.state === 'rolling-back') throw notNow(swap, `Swap to ${swap.to} is going back already.`);
  if (lastStepTaken(turn, swap))
    throw notNow(swap, `Swap to ${swap.to} has taken its last step; ${verb === 'abort' ? 'use rollback to go back' : 'there is nothing to wait for'}.`);
  if (verb === 'promote') promote(turn, swap, by);
  else if (verb === 'pause') pause(turn, swap, by);
  else if (verb === 'resume') resume(turn, swap, by);
  else goBack(turn, swap, 'aborted', `aborted by ${by}`);
}

function notNow(swap: Swap, detail: string): Refusal {
  return new Refusal(REFUSAL.notNow, detail, { swap: swap.id, state: swap.state });
}

function promote(turn: Turn, swap: Swap, by: string): void {
  const waiting = swap.gates?.waiting ?? null;
  if (swap.state === 'admitting' && waiting === null) throw notNow(swap, `Version ${swap.to} is not admitted yet.`);
  addStep(turn, 'promoted', waiting === null ? { by } : { by, gate: waiting.name });
  const freed = changeSwap(turn, { paused: false });
  // A person who says so at a gate passes all that stand there.
  if (waiting !== null) openGates(turn, waiting.at);
  const open = runningSwap(turn.state) ?? freed;
  if (swap.state === 'admitting') beginAdmission(turn);
  else if (swap.state === 'standby') beginCutover(turn, open);
  else reachStep(turn, open);
}

function pause(turn: Turn, swap: Swap, by: string): void {
  if (swap.paused) return;
  changeSwap(turn, { paused: true });
  addStep(turn, 'paused', { by, weight: weightOf(turn.state.split, swap.to) });
  emit(turn, 'paused', swap.to, { swap: swap.id });
}

function resume(turn: Turn, swap: Swap, by: string): void {
  if (!swap.paused) return;
  const window = swap.window === null ? null : { ...swap.window, extended: false };
  const freed = changeSwap(turn, { paused: false, publishedAt: swap.publishedAt === null ? null : turn.world.now, window });
  addStep(turn, 'resumed', { by });
  emit(turn, 'resumed', swap.to, { swap: swap.id });
  if (swap.state === 'standby') beginCutover(turn, runningSwap(turn.state) ?? freed);
  // What waited at a gate when it was paused may have passed it.
  else if (swap.gates !== null) watchCutover(turn);
}

/** Sets the split by hand. Versions that lose their weight drain as after a swap. */
export function setSplit(turn: Turn, weights: Readonly<Record<string, number>>): void {
  const state = turn.state;
  refuseRunning(state);
  const split: Share[] = [];
  for (const id of Object.keys(weights)) if (findVersion(state, id) === undefined) throw unknownVersion(state, id);
  for (const { id } of state.versions.toReversed()) if (Object.hasOwn(weights, id) && weights[id] !== 0) split.push({ version: id, weight: weights[id] });
  const problem = split.length === 0 ? 'no version has weight; the weights have to sum to 100' : splitProblem(split);
  if (problem !== null) throw new Refusal(REFUSAL.invalid, `The split is not valid: ${problem}.`, {}, [{ path: 'split', message: problem }]);
  for (const { version: id } of split) refuseUnready(turn, id);
  if (split.length === state.split.length && split.every(({ version, weight }) => weightOf(state.split, version) === weight)) return;
  const { drain, rollback } = turn.world.policy;
  shiftTraffic(turn, split, { ...drain, keep: rollback.keep, gated: false, open: openFor(turn.world.policy), then: 'released' });
  emit(turn, 'split', null, { split: splitRecord(split) });
}

function refuseUnready(turn: Turn, id: string): void {
  const version = findVersion(turn.state, id);
  if (version === undefined || version.phase === 'live') return;
  if (version.phase !== 'standby' && version.phase !== 'drained') {
    throw new Refusal(REFUSAL.notNow, `Version ${id} is ${version.phase}; only admitted versions can be given weight.`, { version: id, phase: version.phase });
  }
  const words = wordsOf(turn.world.policy);
  if (healthOf(turn, version).healthy === 0)
    throw new Refusal(REFUSAL.notNow, `Version ${id} has no ${words.healthy} ${words.backend}.`, { version: id, phase: version.phase });
}

/** Requests wait at the door, or go on. */
export function setHold(turn: Turn, held: boolean): void {
  if (turn.state.held === held) return;
  turn.state = { ...turn.state, held };
  turn.effects.push({ type: 'publish' });
  emit(turn, held ? 'held' : 'unheld', null);
}

/** Lets go of a version that has no traffic. */
export function removeVersion(turn: Turn, id: string, by: string): void {
  const version = findVersion(turn.state, id);
  if (version === undefined) throw unknownVersion(turn.state, id);
  if (runningSwap(turn.state)?.to === id) refuseRunning(turn.state, '; abort it first');
  if (version.phase === 'live') throw new Refusal(REFUSAL.notNow, `Version ${id} is live; swap to another version first.`, { version: id, phase: 'live' });
  if (version.phase === 'admitting') retire(turn, version, 'rejected', `removed by ${by}`);
  else if (version.phase === 'standby') startDrain(turn, id, { ...turn.world.policy.drain, keep: 0, gated: false, open: 0, then: 'released' });
  else if (version.phase === 'drained') retire(turn, version, 'released', null);
  else {
    if (version.drain !== null && (version.drain.keep !== 0 || version.drain.gates !== null))
      changeVersion(turn, id, { drain: { ...version.drain, keep: 0, gates: null } });
    close(turn, id);
  }
}
