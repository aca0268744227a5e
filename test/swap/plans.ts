import { DEFAULT_ANALYSIS } from '../../src/pool/analysis.ts';
import type { AnalysisPolicy } from '../../src/pool/analysis.ts';
import { weightOf } from '../../src/pool/split.ts';
import { isFinished } from '../../src/pool/upstream.ts';
import { Dice } from './canaries.ts';
import { OPERATOR, RISE } from './fixtures.ts';
import { to, withLive } from './upstream.ts';

/** A whole canary under load, from its first step to its end. */
export interface Plan {
  readonly rps: number;
  /** Percent, and seconds that it is held. */
  readonly steps: readonly (readonly [weight: number, hold: number])[];
  /** Shares of failed requests. */
  readonly stableErrors: number;
  readonly incomingErrors: number;
  readonly analysis?: Partial<AnalysisPolicy>;
}

export interface Played {
  readonly end: 'rolled back' | 'paused' | 'promoted';
  readonly seconds: number;
  /** Requests that the new version had got until then. */
  readonly got: number;
}

/** Takes a swap through its life, with the real machine and a clock that is moved, and requests that come as a Poisson stream. */
export async function playPlan(plan: Plan, random: () => number): Promise<Played> {
  const dice = new Dice(random);
  const world = await withLive({ canary: { steps: [], analysis: { ...DEFAULT_ANALYSIS, ...plan.analysis } } });
  const canary = plan.steps.map(([weight, hold]) => ({ weight, hold: hold * 1_000 }));
  await world.driver.swap(to('v2', { canary }), 'canary', OPERATOR);
  await world.probe('v2', RISE);
  let got = 0;
  for (let seconds = 1; ; seconds++) {
    const share = weightOf(world.state.split, 'v2') / 100;
    const [incoming, stable] = [dice.poisson(plan.rps * share), dice.poisson(plan.rps * (1 - share))];
    world.samples.answered(world.version('v2').slot, incoming, dice.binomial(incoming, plan.incomingErrors));
    world.samples.answered(world.version('v1').slot, stable, dice.binomial(stable, plan.stableErrors));
    got += incoming;
    await world.advance(1_000);
    const { swap, split } = world.state;
    if (swap === null || swap.paused) return { end: 'paused', seconds, got };
    if (weightOf(split, 'v2') === 100) return { end: 'promoted', seconds, got };
    if (isFinished(swap) || swap.state === 'rolling-back') return { end: 'rolled back', seconds, got };
  }
}

/** Plays a plan many times. */
export async function playPlans(plan: Plan, runs: number, random: () => number): Promise<Played[]> {
  const all: Played[] = [];
  for (let i = 0; i < runs; i++) all.push(await playPlan(plan, random));
  return all;
}
