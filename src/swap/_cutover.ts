import { isOpen, openFor } from '../pool/reach.ts';
import { splitRecord, weightOf } from '../pool/split.ts';
import type { Swap } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import { askAgain, isReady, withdraw } from './_admission.ts';
import { keepWindow, mayGoOn, openWindow, settleStep, stepVerdict } from './_judgement.ts';
import { drainPublished, endSwap, settleSwap, shiftTraffic } from './_drain.ts';
import type { LettingGo } from './_drain.ts';
import { isGated, passesGates } from './_gates.ts';
import { notBack, returnOf } from './_return.ts';
import { sharesFor } from './_shares.ts';
import { addStep, changeSwap, emit, findVersion, healthOf, runningSwap, theVersion } from './_turn.ts';
import type { Turn } from './_turn.ts';
import { wordsOf } from './_words.ts';

/** Whether the running swap has decided its last step: all traffic to the incoming version. */
export function lastStepTaken(turn: Turn, swap: Swap): boolean {
  return swap.state === 'draining' || (swap.state === 'cutting-over' && weightOf(turn.state.split, swap.to) === 100);
}

/** From standby to the first step, if the incoming version still is ready; else it is probed again first. */
export function beginCutover(turn: Turn, swap: Swap): void {
  if (isReady(turn, theVersion(turn, swap.to), swap)) reachStep(turn, swap);
  else askAgain(turn, swap);
}

/** The next step is due: the gates before it are asked, and once all are passed it is taken. */
export function reachStep(turn: Turn, swap: Swap): void {
  if (passesGates(turn, swap, 'step')) takeStep(turn, runningSwap(turn.state) ?? swap);
}

/** Decides the next step. Its hold begins when it is published. */
export function takeStep(turn: Turn, swap: Swap): void {
  const step = swap.canary.at(swap.at);
  changeSwap(turn, { state: 'cutting-over', at: Math.min(swap.at + 1, swap.canary.length), publishedAt: null, window: null, recoverBy: null, gates: null });
  const weight = swap.at < swap.canary.length && step !== undefined ? step.weight : 100;
  shiftTraffic(turn, sharesFor(swap.before, swap.to, weight), letGoBy(turn, swap));
}

/** A rollback is for everybody at once: what is wrong with a version is so for sessions of before, too. */
function letGoBy(turn: Turn, swap: Swap): LettingGo {
  return {
    ...swap.drain,
    keep: swap.keep,
    gated: isGated(turn, swap, 'release'),
    open: swap.kind === 'rollback' ? 0 : openFor(turn.world.policy),
    then: 'released',
  };
}

/** The present state is the committed generation: what waited for that goes on. */
export function onPublished(turn: Turn, generation: number): void {
  const begun = drainPublished(turn, generation);
  swapPublished(turn, generation);
  for (const id of begun) emit(turn, 'draining', id, { generation });
}

function swapPublished(turn: Turn, generation: number): void {
  const swap = runningSwap(turn.state);
  if (swap === null) return;
  if (swap.state === 'standby' && !swap.paused) beginCutover(turn, swap);
  if (swap.state === 'standby' || swap.publishedAt !== null) return;
  if (swap.state === 'cutting-over') stepPublished(turn, swap, generation);
  else if (swap.state === 'rolling-back') {
    changeSwap(turn, { publishedAt: turn.world.now });
    addStep(turn, 'split restored', { generation, split: splitRecord(turn.state.split) });
    settleSwap(turn);
  }
}

function stepPublished(turn: Turn, swap: Swap, generation: number): void {
  const facts = { version: swap.to, generation, ...healthOf(turn, theVersion(turn, swap.to)) };
  changeSwap(turn, { publishedAt: turn.world.now });
  if (!lastStepTaken(turn, swap)) {
    const weight = weightOf(turn.state.split, swap.to);
    addStep(turn, `weight ${weight}`, { ...facts, split: splitRecord(turn.state.split) });
    emit(turn, 'step', swap.to, { swap: swap.id, weight, generation });
    openWindow(turn);
    return;
  }
  addStep(turn, 'live', facts);
  emit(turn, 'live', swap.to, { swap: swap.id, generation });
  changeSwap(turn, { state: 'draining', paused: false });
  const letGo = swap.from.map((id) => findVersion(turn.state, id)).filter((version) => version?.phase === 'draining');
  for (const version of letGo) if (version !== undefined) addStep(turn, isOpen(version) ? 'open' : 'draining', drainFacts(turn, version));
  settleSwap(turn);
}

function drainFacts(turn: Turn, version: Version): Record<string, unknown> {
  const { inFlight, streams, tunnels, killed } = turn.world.counts(version);
  const until = (at: number | undefined): string | null => (at === undefined ? null : new Date(at).toISOString());
  return {
    version: version.id,
    inFlight,
    streams,
    tunnels,
    /** With data threads that died, before the drain began. */
    killedBefore: killed,
    generation: version.drain?.generation,
    ...(version.drain?.openUntil == null ? {} : { openUntil: until(version.drain.openUntil) }),
    requestsUntil: until(version.drain?.requestsUntil),
    tunnelsUntil: until(version.drain?.tunnelsUntil),
  };
}

/** Looks at a cutover between its steps: goes back when the incoming version has failed, goes on when the hold is over and nothing speaks against it. */
export function watchCutover(turn: Turn): void {
  const swap = runningSwap(turn.state);
  if (swap === null || swap.state !== 'cutting-over' || swap.publishedAt === null || lastStepTaken(turn, swap)) return;
  if (swap.recoverBy !== null) return watchReturn(turn, swap, swap.recoverBy);
  const version = theVersion(turn, swap.to);
  if (isDown(turn, version)) {
    const words = wordsOf(turn.world.policy);
    goBack(turn, swap, 'rolled-back', `no ${words.backend} of ${swap.to} was ${words.healthy} at weight ${weightOf(turn.state.split, swap.to)}`);
    return;
  }
  const until = holdUntil(swap);
  const over = until !== null && turn.world.now >= until;
  keepWindow(turn);
  const verdict = stepVerdict(turn.state, turn.world, over);
  if (verdict?.decision === 'fail') {
    const words = settleStep(turn, verdict);
    goBack(turn, swap, 'rolled-back', `${swap.to} did worse at weight ${weightOf(turn.state.split, swap.to)}: ${words}`);
    return;
  }
  if (swap.paused || healthOf(turn, version).healthy === 0) return;
  // While gates are asked, the step has been judged.
  if (swap.gates !== null || (over && mayGoOn(turn, verdict))) reachStep(turn, runningSwap(turn.state) ?? swap);
}

/** The machine was restarted. When the incoming version is back its step begins anew; a version that does not come back is let go. */
function watchReturn(turn: Turn, swap: Swap, until: number): void {
  const found = returnOf(turn, swap, until);
  if (found === 'late') return goBack(turn, swap, 'rolled-back', notBack(turn, swap));
  if (found !== 'back') return;
  changeSwap(turn, { recoverBy: null, publishedAt: turn.world.now });
  addStep(turn, 'healthy again', { version: swap.to, ...healthOf(turn, theVersion(turn, swap.to)) });
  openWindow(turn);
}

/** Every backend is known to be of no use; `unknown` (after a restart) is not yet a verdict. */
function isDown(turn: Turn, version: Version): boolean {
  const seen = turn.world.health(version);
  return version.backends.every(({ address }) => {
    const health = seen.get(address)?.health;
    return health === 'unhealthy' || health === 'stopping';
  });
}

/** When the present canary step ends by itself; null = paused, until promoted, or not published yet. */
export function holdUntil(swap: Swap): number | null {
  const hold = swap.at === 0 ? null : (swap.canary.at(swap.at - 1)?.hold ?? null);
  return swap.paused || swap.publishedAt === null || swap.recoverBy !== null || hold === null ? null : swap.publishedAt + hold;
}

/** Ends a swap before its last step: the split is as before, the incoming version is let go. */
export function goBack(turn: Turn, swap: Swap, outcome: 'rolled-back' | 'aborted', reason: string): void {
  const version = theVersion(turn, swap.to);
  if (swap.state === 'cutting-over') {
    changeSwap(turn, { state: 'rolling-back', outcome, reason, paused: false, publishedAt: null, window: null, recoverBy: null, gates: null });
    addStep(turn, 'going back', { reason });
    shiftTraffic(turn, swap.before, { ...swap.drain, keep: 0, gated: false, open: 0, then: 'rejected' });
    return;
  }
  changeSwap(turn, { reason, gates: null });
  withdraw(turn, version, reason);
  if (version.phase === 'standby') changeSwap(turn, { state: 'rolling-back', outcome, paused: false, publishedAt: null });
  else endSwap(turn, outcome, reason);
}
