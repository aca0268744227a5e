import { isAdmitted } from '../pool/phase.ts';
import { isOpen } from '../pool/reach.ts';
import { splitProblem, weightOf } from '../pool/split.ts';
import type { Split } from '../pool/split.ts';
import type { Drain, Version } from '../pool/version.ts';
import type { Swap } from '../pool/upstream.ts';
import { NO_GATES } from '../pool/gates.ts';
import { mayRelease } from './_gates.ts';
import { addStep, changeSwap, changeVersion, emit, findVersion, moveVersion, runningSwap, theVersion } from './_turn.ts';
import type { Turn } from './_turn.ts';
import { outcomes, receiptFor } from './receipt.ts';

const HISTORY = 10;
/** Tunnels are closed over this many milliseconds at most, so that their clients do not come back all at once. */
const MAX_SPREAD = 10_000;

/** How a version that loses its traffic is let go. Durations in milliseconds. */
export interface LettingGo {
  readonly requests: number;
  readonly tunnels: number;
  readonly keep: number;
  /** Whether the gates before the release are asked. */
  readonly gated: boolean;
  /** How long sessions of before may still begin requests on it; then it drains. */
  readonly open: number;
  readonly then: Drain['then'];
}

/** Makes `split` the decided split: versions with weight are live, versions without it any more drain. */
export function shiftTraffic(turn: Turn, split: Split, letGo: LettingGo): void {
  const problem = splitProblem(split);
  if (problem !== null) throw new Error(problem);
  for (const { version: id } of split) {
    const version = theVersion(turn, id);
    if (!isAdmitted(version.phase)) throw new Error(`version ${id} is ${version.phase}; it cannot get traffic`);
    if (version.phase !== 'live') moveVersion(turn, id, 'live', { drain: null });
  }
  for (const version of turn.state.versions) {
    if (version.phase === 'live' && weightOf(split, version.id) === 0) startDrain(turn, version.id, letGo);
  }
  turn.state = { ...turn.state, split };
  turn.effects.push({ type: 'publish' });
}

export function startDrain(turn: Turn, id: string, letGo: LettingGo): void {
  const now = turn.world.now;
  moveVersion(turn, id, 'draining', {
    drain: {
      since: now,
      openUntil: letGo.open > 0 ? now + letGo.open : null,
      generation: null,
      acks: null,
      requestsUntil: now + letGo.requests,
      tunnelsUntil: now + letGo.tunnels,
      requestsCut: false,
      tunnelsCut: false,
      doneAt: null,
      keepUntil: null,
      keep: letGo.keep,
      gates: letGo.gated ? NO_GATES : null,
      then: letGo.then,
    },
  });
  turn.effects.push({ type: 'publish' });
}

/**
 * The table without the draining versions is committed: their deadlines run from here. Not of those that are still open.
 * @returns the versions that began to drain with this generation.
 */
export function drainPublished(turn: Turn, generation: number): string[] {
  const begun: string[] = [];
  for (const { id, phase, drain } of turn.state.versions) {
    if (phase !== 'draining' || drain === null || drain.openUntil !== null || drain.generation !== null) continue;
    const late = turn.world.now - drain.since;
    changeVersion(turn, id, {
      drain: { ...drain, generation, since: turn.world.now, requestsUntil: drain.requestsUntil + late, tunnelsUntil: drain.tunnelsUntil + late },
    });
    begun.push(id);
  }
  if (begun.length > 0) turn.effects.push({ type: 'watch', generation });
  return begun;
}

export function drainAcked(turn: Turn, generation: number, acks: Readonly<Record<string, number>>): void {
  for (const { id, phase, drain } of turn.state.versions) {
    if (phase !== 'draining' || drain === null || drain.generation === null || drain.acks !== null || drain.generation > generation) continue;
    // A thread that acked after a cut may have started something in between: what is due is cut once more.
    changeVersion(turn, id, { drain: { ...drain, acks, requestsCut: false, tunnelsCut: false } });
    tryFinishDrain(turn, id);
    if (findVersion(turn.state, id)?.phase === 'draining') cutWhenDue(turn, id, turn.world.now);
  }
}

/** When the closing of tunnels begins, and over how long it is spread: the last 10 s before the deadline, or the last fifth when that is short. */
export function tunnelCut(drain: Drain): { at: number; spreadMs: number } {
  const spreadMs = Math.min(MAX_SPREAD, Math.round(Math.max(0, drain.tunnelsUntil - drain.since) / 5));
  return { at: drain.tunnelsUntil - spreadMs, spreadMs };
}

export function drainDeadlines(turn: Turn): void {
  const now = turn.world.now;
  for (const { id, phase } of turn.state.versions) {
    if (phase === 'drained') releaseKept(turn, id);
    if (phase !== 'draining') continue;
    closeWhenDue(turn, id, now);
    cutWhenDue(turn, id, now);
    tryFinishDrain(turn, id);
  }
}

function closeWhenDue(turn: Turn, id: string, now: number): void {
  const until = theVersion(turn, id).drain?.openUntil ?? null;
  if (until !== null && now >= until) close(turn, id);
}

/** Ends the time in which sessions of before may begin requests on a version. What proves its drain begins with the generation that comes of this. */
export function close(turn: Turn, id: string): void {
  const { drain } = theVersion(turn, id);
  if (drain === null || drain.openUntil === null) return;
  changeVersion(turn, id, { drain: { ...drain, openUntil: null } });
  turn.effects.push({ type: 'publish' });
}

function cutWhenDue(turn: Turn, id: string, now: number): void {
  const drain = theVersion(turn, id).drain;
  if (drain === null || drain.generation === null) return;
  const tunnels = tunnelCut(drain);
  const requestsDue = !drain.requestsCut && now >= drain.requestsUntil;
  const tunnelsDue = !drain.tunnelsCut && now >= tunnels.at;
  if (!requestsDue && !tunnelsDue) return;
  const version = changeVersion(turn, id, {
    drain: { ...drain, requestsCut: drain.requestsCut || requestsDue, tunnelsCut: drain.tunnelsCut || tunnelsDue },
  });
  const { inFlight, streams, tunnels: open } = turn.world.counts(version);
  if (requestsDue) turn.effects.push({ type: 'cut', version, kind: 'requests', spreadMs: 0 });
  if (tunnelsDue) turn.effects.push({ type: 'cut', version, kind: 'tunnels', spreadMs: tunnels.spreadMs });
  if (inFlight > 0) emit(turn, 'killed', id, { inFlight, streams, tunnels: open, requests: requestsDue, tunnelsToo: tunnelsDue });
}

function releaseKept(turn: Turn, id: string): void {
  const version = theVersion(turn, id);
  const swap = runningSwap(turn.state);
  if (version.drain?.keepUntil == null || version.drain.keepUntil > turn.world.now || swap?.to === id || !mayRelease(turn, id)) return;
  retire(turn, theVersion(turn, id), 'released', null);
}

/** Lets a draining version go when nothing can be started on it (all acks) and nothing is in flight: one zero read is proof. */
export function tryFinishDrain(turn: Turn, id: string): void {
  const version = findVersion(turn.state, id);
  const drain = version?.drain;
  if (version?.phase !== 'draining' || drain == null || drain.acks === null) return;
  if (!turn.world.idle(version)) return;
  const counts = turn.world.counts(version);
  if (counts.inFlight !== 0 || counts.mirroredInFlight !== 0) return;
  const now = turn.world.now;
  const done = changeVersion(turn, id, { drain: { ...drain, doneAt: now, keepUntil: drain.keep > 0 || drain.gates !== null ? now + drain.keep : null } });
  const swap = turn.state.swap;
  if (concerns(swap, id)) addStep(turn, 'drained', { version: id, drainMs: now - drain.since, ...outcomes(counts), killedByKind: counts.killedByKind });
  emit(turn, 'drained', id, { drainMs: now - drain.since, killed: counts.killed });
  if (drain.then === 'rejected') retire(turn, done, 'rejected', (swap?.to === id ? swap.reason : null) ?? 'removed before it was live');
  else if (drain.keep === 0 && drain.gates === null) retire(turn, done, 'released', null);
  else {
    moveVersion(turn, id, 'drained');
    releaseKept(turn, id);
  }
  settleSwap(turn);
}

export function concerns(swap: Swap | null, id: string): boolean {
  return swap !== null && (swap.from.includes(id) || swap.to === id);
}

/** Moves a version into the history, with its receipt if it was drained, and lets go of what it holds. */
export function retire(turn: Turn, version: Version, phase: 'released' | 'rejected', reason: string | null): void {
  const receipt = version.drain === null ? null : receiptFor(turn.state, version, turn.world);
  const final = { ...moveVersion(turn, version.id, phase, { admitBy: null }), drain: version.drain };
  const versions = turn.state.versions.filter(({ id }) => id !== version.id);
  turn.state = { ...turn.state, versions, history: [...turn.state.history, { version: final, receipt, reason }].slice(-HISTORY) };
  turn.effects.push({ type: 'probe', version: final, mode: 'off' }, { type: 'free', version: final });
  emit(turn, phase, version.id, phase === 'released' ? { receipt } : { reason });
  if (phase === 'released' && concerns(turn.state.swap, version.id)) addStep(turn, 'released', { version: version.id, receipt });
}

/** Ends a swap whose outgoing versions have all drained, or whose incoming one has gone. */
export function settleSwap(turn: Turn): void {
  const swap = runningSwap(turn.state);
  if (swap === null) return;
  if (swap.state === 'draining' && !swap.from.some((id) => isClosing(findVersion(turn.state, id)))) {
    changeSwap(turn, { state: 'done', paused: false });
  }
  if (swap.state === 'rolling-back' && swap.publishedAt !== null && findVersion(turn.state, swap.to)?.phase !== 'draining') {
    endSwap(turn, swap.outcome ?? 'rolled-back', swap.reason ?? 'rolled back');
  }
}

/** A swap waits for the proof of a drain, and not for sessions that may go on for hours. */
function isClosing(version: Version | undefined): boolean {
  return version?.phase === 'draining' && !isOpen(version);
}

export function endSwap(turn: Turn, state: 'rejected' | 'rolled-back' | 'aborted', reason: string): void {
  changeSwap(turn, { state, reason, paused: false, outcome: null });
  addStep(turn, state, { reason });
  const swap = turn.state.swap;
  const told = state === 'rejected' && swap !== null && findVersion(turn.state, swap.to) === undefined;
  if (!told) emit(turn, state, swap?.to ?? null, { swap: swap?.id, reason });
}
