import { fewOf } from '../errors/message.ts';
import type { Swap, UpstreamState } from '../pool/upstream.ts';
import type { Gates } from '../pool/gates.ts';
import { weightOf } from '../pool/split.ts';
import { isOpen, reachOf } from '../pool/reach.ts';
import type { Version } from '../pool/version.ts';
import { holdUntil } from './_cutover.ts';
import { stepVerdict } from './_judgement.ts';
import { findVersion, runningSwap } from './_turn.ts';
import { describeBackend, listed, wordsOf } from './_words.ts';
import type { World } from './events.ts';

/** Why something is not (yet) so: the facts that block it, most telling first. */
export interface Explanation {
  upstream: string;
  version: string | null;
  /** One sentence. */
  summary: string;
  facts: Fact[];
}

interface Fact {
  fact: string;
  blocks: 'admitted' | 'live' | 'released' | 'nothing';
}

/**
 * Explains an upstream (`id` null: its running swap, or what is live) or one of its versions.
 * @returns null when the upstream has never had this version.
 */
export function explain(state: UpstreamState, id: string | null, world: World): Explanation | null {
  if (id === null) return explainUpstream(state, world);
  const version = findVersion(state, id);
  if (version !== undefined) return { upstream: state.name, version: id, ...explainVersion(state, version, world) };
  const past = state.history.findLast((entry) => entry.version.id === id);
  if (past === undefined) return null;
  const summary = past.reason === null ? `${id} is released: it may be destroyed.` : `${id} was rejected: ${past.reason}.`;
  return { upstream: state.name, version: id, summary, facts: [] };
}

function explainUpstream(state: UpstreamState, world: World): Explanation {
  const swap = runningSwap(state);
  const facts: Fact[] = [];
  if (state.held)
    facts.push({
      fact: `${world.policy.worker === null ? 'requests are held at the door' : 'nobody may take work'}; unhold lets them go on`,
      blocks: 'nothing',
    });
  if (swap !== null) {
    const about = [swap.to, ...swap.from].map((id) => findVersion(state, id)).filter((version) => version !== undefined);
    for (const version of about) facts.push(...named(version, explainVersion(state, version, world).facts));
    return { upstream: state.name, version: null, summary: `A ${swap.kind} to ${swap.to} is running: ${swap.state}${swap.paused ? ', paused' : ''}.`, facts };
  }
  const live = state.split.map(({ version, weight }) => `${version} with ${weight} %`);
  if (live.length === 0)
    facts.push({ fact: `no version has weight; ${world.policy.worker === null ? 'requests are answered 503' : 'nobody may take work'}`, blocks: 'live' });
  for (const version of state.versions) {
    if (version.phase !== 'live') facts.push(...named(version, explainVersion(state, version, world).facts));
    else facts.push(...fewOf(unhealthy(version, world)).map((fact): Fact => ({ fact, blocks: 'nothing' })));
  }
  const last = state.swap === null || state.swap.reason === null ? '' : ` The last swap, to ${state.swap.to}, was ${state.swap.state}: ${state.swap.reason}.`;
  return { upstream: state.name, version: null, summary: live.length === 0 ? `Nothing is live.${last}` : `Live: ${listed(live)}.${last}`, facts };
}

/** Of several versions at once, each fact says which it is of. */
function named({ id }: Version, facts: readonly Fact[]): Fact[] {
  return facts.map(({ fact, blocks }) => ({ fact: `${id}: ${fact}`, blocks }));
}

function explainVersion(state: UpstreamState, version: Version, world: World): { summary: string; facts: Fact[] } {
  switch (version.phase) {
    case 'admitting':
      return admitting(state, version, world);
    case 'standby':
      return waiting(state, version, world);
    case 'live':
      return live(state, version, world);
    case 'draining':
      return draining(version, world);
    default:
      return kept(state, version, world);
  }
}

function unhealthy(version: Version, world: World): string[] {
  const seen = world.health(version);
  const words = wordsOf(world.policy);
  return version.backends
    .filter(({ address }) => seen.get(address)?.health !== 'healthy')
    .map(({ address }) => describeBackend(address, seen.get(address), words));
}

/** The gate that holds something up, in words; null = none does. */
function gateFact(gates: Gates | null, world: World): string | null {
  if (gates?.stopped != null)
    return `the gate ${gates.stopped.name} has said stop: ${gates.stopped.reason}; remove the version to release it, or roll back to it`;
  const waiting = gates?.waiting ?? null;
  if (waiting === null) return null;
  const said = waiting.said === null ? '; it has not answered yet' : `: ${waiting.said}`;
  return `it waits for the gate ${waiting.name}, for another ${seconds(waiting.until - world.now)}${said}`;
}

/** What the Prometheus server has said last in this step; null = none is asked. */
function checkFact({ analysis, window }: Swap): string | null {
  if (analysis === null || analysis.prometheus === null || window === null) return null;
  const { min, max } = analysis.prometheus;
  const bounds = [min === null ? '' : `at least ${min}`, max === null ? '' : `at most ${max}`].filter((bound) => bound !== '').join(' and ');
  if (window.checked === null) return `the Prometheus query has not been answered yet in this step; it has to give ${bounds}`;
  const { value, problem } = window.checked;
  return value === null
    ? `the Prometheus query has no answer: ${problem ?? 'nobody knows why'}`
    : `the Prometheus query gave ${value} last; it has to give ${bounds}`;
}

function admitting(state: UpstreamState, version: Version, world: World): { summary: string; facts: Fact[] } {
  const swap = runningSwap(state);
  const gate = swap?.to === version.id ? gateFact(swap.gates, world) : null;
  if (gate !== null) return { summary: `${version.id} is not admitted: a gate has not passed it.`, facts: [{ fact: gate, blocks: 'admitted' }] };
  const missing = unhealthy(version, world);
  const facts = fewOf(missing).map((fact): Fact => ({ fact, blocks: 'admitted' }));
  const left = version.admitBy === null ? 'there is no time limit' : `${seconds(version.admitBy - world.now)} left`;
  facts.push({ fact: left, blocks: 'nothing' });
  const { backends } = wordsOf(world.policy);
  return { summary: `${version.id} is not admitted: ${missing.length} of ${version.backends.length} ${backends} have not passed.`, facts };
}

function waiting(state: UpstreamState, version: Version, world: World): { summary: string; facts: Fact[] } {
  const swap = runningSwap(state);
  const facts: Fact[] = [];
  if (swap?.to !== version.id) facts.push({ fact: `no swap to ${version.id} has been asked for`, blocks: 'live' });
  else if (swap.paused) facts.push({ fact: 'the swap is paused; resume or promote it', blocks: 'live' });
  else facts.push({ fact: gateFact(swap.gates, world) ?? `the swap is ${swap.state}`, blocks: 'live' });
  facts.push(...fewOf(unhealthy(version, world)).map((fact): Fact => ({ fact, blocks: 'live' })));
  if (reachOf(version, world.policy).mirror) facts.push({ fact: `requests are mirrored to it: ${world.counts(version).mirrored} so far`, blocks: 'nothing' });
  return { summary: `${version.id} is admitted and waits on standby without ${wordsOf(world.policy).traffic}.`, facts };
}

function live(state: UpstreamState, version: Version, world: World): { summary: string; facts: Fact[] } {
  const weight = weightOf(state.split, version.id);
  const swap = runningSwap(state);
  const { traffic } = wordsOf(world.policy);
  const facts: Fact[] = [{ fact: `it has ${weight} % of the ${traffic}`, blocks: 'released' }];
  if (swap !== null && swap.to === version.id && swap.state === 'cutting-over') {
    const until = holdUntil(swap);
    const hold =
      swap.recoverBy !== null
        ? `the machine was restarted; ${version.id} has another ${seconds(swap.recoverBy - world.now)} to be ${wordsOf(world.policy).healthy} again`
        : swap.paused
          ? 'the swap is paused; resume or promote it'
          : until === null
            ? 'this step is held until promoted'
            : until <= world.now && swap.window?.extended === true
              ? 'this step is held longer, because it could not be judged'
              : `the next step is due in ${seconds(until - world.now)}`;
    const verdict = stepVerdict(state, world, false);
    if (verdict !== null) facts.unshift({ fact: `judged so far: ${verdict.words}`, blocks: verdict.decision === 'pass' ? 'nothing' : 'live' });
    const check = checkFact(swap);
    if (check !== null) facts.push({ fact: check, blocks: 'nothing' });
    facts.unshift({ fact: (swap.paused ? null : gateFact(swap.gates, world)) ?? hold, blocks: 'live' });
  }
  facts.push(...fewOf(unhealthy(version, world)).map((fact): Fact => ({ fact, blocks: 'nothing' })));
  return { summary: `${version.id} is live with ${weight} % of the ${traffic}.`, facts };
}

function draining(version: Version, world: World): { summary: string; facts: Fact[] } {
  const facts: Fact[] = [];
  const words = wordsOf(world.policy);
  const { drain } = version;
  const { inFlight, streams, tunnels, mirroredInFlight } = world.counts(version);
  if (drain !== null && drain.openUntil !== null)
    facts.push({ fact: `it is open to sessions of before for another ${seconds(drain.openUntil - world.now)}; drain it to close it now`, blocks: 'released' });
  else if (drain === null || drain.generation === null) facts.push({ fact: 'the split without it is not published yet', blocks: 'released' });
  else if (drain.acks === null) facts.push({ fact: `not every ${words.threads} has acked generation ${drain.generation}`, blocks: 'released' });
  const plain = inFlight - streams - tunnels;
  // The deadlines of an open version run from its close on.
  const cutIn = (until: number): string => seconds(drain?.openUntil != null ? until - drain.since : until - world.now);
  const after = drain?.openUntil == null ? 'in' : 'at its close, after';
  if (drain !== null && plain > 0) facts.push({ fact: `${plain} ${words.requests} in flight, cut ${after} ${cutIn(drain.requestsUntil)}`, blocks: 'released' });
  if (drain !== null && mirroredInFlight > 0)
    facts.push({ fact: `${mirroredInFlight} copies of requests in flight, cut ${after} ${cutIn(drain.requestsUntil)}`, blocks: 'released' });
  if (drain !== null && streams + tunnels > 0)
    facts.push({ fact: `${streams} streams and ${tunnels} tunnels open, cut ${after} ${cutIn(drain.tunnelsUntil)}`, blocks: 'released' });
  return { summary: `${version.id} is ${isOpen(version) ? 'open' : 'draining'}: ${inFlight + mirroredInFlight} in flight.`, facts };
}

function kept(state: UpstreamState, version: Version, world: World): { summary: string; facts: Fact[] } {
  const until = version.drain?.keepUntil ?? world.now;
  const gate = gateFact(version.drain?.gates ?? null, world);
  const facts: Fact[] = [{ fact: gate ?? `it is kept for a rollback for another ${seconds(until - world.now)}`, blocks: 'released' }];
  const swap = runningSwap(state);
  if (swap?.to === version.id) facts.unshift({ fact: `a ${swap.kind} to it is ${swap.state}`, blocks: 'released' });
  return { summary: `${version.id} is drained and kept.`, facts };
}

function seconds(ms: number): string {
  return `${(Math.max(0, ms) / 1_000).toFixed(1)} s`;
}
