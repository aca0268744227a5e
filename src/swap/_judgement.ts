import { weightOf } from '../pool/split.ts';
import type { AnalysisPolicy } from '../pool/analysis.ts';
import type { Checked, Sample, Samples, Swap, UpstreamState } from '../pool/upstream.ts';
import { BINS } from '../ledger/layout.ts';
import { addStep, changeSwap, emit, findVersion, runningSwap } from './_turn.ts';
import type { Turn } from './_turn.ts';
import type { World } from './events.ts';
import { judge, since } from './verdict.ts';
import type { Verdict } from './verdict.ts';

/** Between two looks at a canary step that is judged. */
const LOOK = 1_000;
/** The warm-up takes at most this share of a hold. */
const WARMUP_SHARE = 0.25;

const NOTHING: Sample = { started: 0, requests: 0, errors: 0, bins: Array.from({ length: BINS }, () => 0) };

function sum(a: Sample, b: Sample): Sample {
  return { started: a.started + b.started, requests: a.requests + b.requests, errors: a.errors + b.errors, bins: a.bins.map((count, i) => count + b.bins[i]) };
}

function samplesNow(state: UpstreamState, swap: Swap, world: World): Samples {
  const of = (id: string): Sample => {
    const version = findVersion(state, id);
    return version === undefined ? NOTHING : world.sample(version);
  };
  return { incoming: of(swap.to), stable: swap.from.map(of).reduce(sum, NOTHING) };
}

function holdOf(swap: Swap): number | null {
  return swap.at === 0 ? null : (swap.canary.at(swap.at - 1)?.hold ?? null);
}

function warmAt(swap: Swap, analysis: AnalysisPolicy): number {
  const hold = holdOf(swap);
  return (swap.window?.since ?? 0) + Math.min(analysis.warmup, hold === null ? Infinity : hold * WARMUP_SHARE);
}

/** A canary step is published: it is judged by what is counted from here on. One that is not held is not judged. */
export function openWindow(turn: Turn): void {
  const swap = runningSwap(turn.state);
  if (swap === null || swap.analysis === null || swap.recoverBy !== null || holdOf(swap) === 0) return;
  const base = samplesNow(turn.state, swap, turn.world);
  changeSwap(turn, { window: { since: turn.world.now, base, warm: null, extended: false, checked: null } });
}

/** Takes the counters down once the warm-up is over. */
export function keepWindow(turn: Turn): void {
  const swap = runningSwap(turn.state);
  if (swap === null || swap.analysis === null || swap.window === null || swap.window.warm !== null) return;
  if (turn.world.now >= warmAt(swap, swap.analysis)) changeSwap(turn, { window: { ...swap.window, warm: samplesNow(turn.state, swap, turn.world) } });
}

/** The Prometheus server was asked, in the window that began at `began`. */
export function measured(turn: Turn, began: number, checked: Checked): void {
  const swap = runningSwap(turn.state);
  if (swap !== null && swap.window !== null && swap.window.since === began) changeSwap(turn, { window: { ...swap.window, checked } });
}

/** What the present canary step has come to so far; null when it is not judged. `over`: its hold is. */
export function stepVerdict(state: UpstreamState, world: World, over: boolean): Verdict | null {
  const swap = runningSwap(state);
  if (swap === null || swap.analysis === null || swap.window === null) return null;
  const { analysis: policy, window } = swap;
  const now = samplesNow(state, swap, world);
  return judge({
    policy,
    what: world.policy.worker === null ? 'requests' : 'jobs',
    steps: Math.max(1, swap.canary.filter(({ hold }) => hold !== 0).length),
    windowMs: world.now - window.since,
    counted: since(window.base, now),
    warm: window.warm === null ? null : since(window.warm, now),
    checked: window.checked,
    over,
  });
}

/** Writes what a step has come to into the swap's evidence. @returns it in words. */
export function settleStep(turn: Turn, verdict: Verdict): string {
  const swap = runningSwap(turn.state);
  if (swap === null) return verdict.words;
  const weight = weightOf(turn.state.split, swap.to);
  addStep(turn, 'judged', { version: swap.to, weight, ...verdict });
  emit(turn, 'judged', swap.to, { swap: swap.id, weight, decision: verdict.decision, words: verdict.words });
  return verdict.words;
}

/**
 * The hold of a step is over: whether the next may be taken. What cannot be judged is held longer and then paused for a person,
 * when the swap has to be judged, when requests were sent and not answered, or when it looks worse; else it goes on.
 */
export function mayGoOn(turn: Turn, verdict: Verdict | null): boolean {
  const swap = runningSwap(turn.state);
  if (verdict === null || swap === null || swap.analysis === null || swap.window === null || swap.publishedAt === null) return true;
  const { analysis, window } = swap;
  if (verdict.decision === 'pass' || (!analysis.required && !verdict.unanswered && !verdict.doubtful)) {
    settleStep(turn, verdict);
    return true;
  }
  const weight = weightOf(turn.state.split, swap.to);
  const longest = (holdOf(swap) ?? 0) * analysis.extend;
  const facts = { version: swap.to, weight, ...verdict };
  if (turn.world.now < swap.publishedAt + longest) {
    if (window.extended) return false;
    changeSwap(turn, { window: { ...window, extended: true } });
    addStep(turn, 'held longer', { ...facts, until: new Date(swap.publishedAt + longest).toISOString() });
    return false;
  }
  changeSwap(turn, { paused: true });
  addStep(turn, 'paused', { by: 'switchyard', reason: verdict.words, ...facts });
  emit(turn, 'paused', swap.to, { swap: swap.id, by: 'switchyard', reason: verdict.words });
  return false;
}

/** Until when a step is held that could not be judged in its time; null = it is not held longer. */
export function longestHold(swap: Swap): number | null {
  if (swap.paused || swap.window?.extended !== true || swap.analysis === null || swap.publishedAt === null) return null;
  return swap.publishedAt + (holdOf(swap) ?? 0) * swap.analysis.extend;
}

/** When the present step is looked at next; null when it is not judged. */
export function lookAt(swap: Swap, now: number): number | null {
  if (swap.analysis === null || swap.window === null) return null;
  const { since, warm } = swap.window;
  const next = since + (Math.floor(Math.max(0, now - since) / LOOK) + 1) * LOOK;
  return warm === null ? Math.min(next, warmAt(swap, swap.analysis)) : next;
}
