import type { AnalysisPolicy } from '../../src/pool/analysis.ts';
import { DEFAULT_ANALYSIS } from '../../src/pool/analysis.ts';
import type { Sample } from '../../src/pool/upstream.ts';
import { binOf } from '../../src/ledger/layout.ts';
import { judge } from '../../src/swap/verdict.ts';
import type { Verdict } from '../../src/swap/verdict.ts';
import { emptySample } from './samples.ts';

/** A canary step under load: requests come as a Poisson stream, and each side is looked at every second. */
export interface Scene {
  /** Requests a second, both sides together. */
  readonly rps: number;
  /** Of the new version, 0–1. */
  readonly share: number;
  /** Shares of failed requests, at a second since the step began. */
  readonly stableErrors: (second: number) => number;
  readonly incomingErrors: (second: number) => number;
  /** Log-normal latencies: median in milliseconds and sigma; null = latencies are left out. */
  readonly latency: { readonly stable: number; readonly incoming: number; readonly sigma: number } | null;
  readonly seconds: number;
  /** Steps of the canary that this one shares its false alarms with. */
  readonly steps: number;
  readonly policy?: Partial<AnalysisPolicy>;
}

/** Random numbers of the kinds that a scene needs. */
export class Dice {
  readonly next: () => number;

  constructor(next: () => number) {
    this.next = next;
  }

  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
  }

  /** Exact below 30, by the normal curve above. */
  poisson(mean: number): number {
    if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * this.normal()));
    const least = Math.exp(-mean);
    let count = -1;
    for (let product = 1; product > least; count++) product *= this.next();
    return count;
  }

  /** How many of `of` happen with this chance each: exact, by the gaps between them. */
  binomial(of: number, chance: number): number {
    if (chance <= 0 || of === 0) return 0;
    if (chance > 0.5) return of - this.binomial(of, 1 - chance);
    const gap = Math.log1p(-chance);
    let count = 0;
    for (let at = Math.floor(Math.log1p(-this.next()) / gap); at < of; at += 1 + Math.floor(Math.log1p(-this.next()) / gap)) count++;
    return count;
  }
}

interface Counting {
  requests: number;
  errors: number;
  readonly bins: number[];
}

function sampleOf({ requests, errors, bins }: Counting): Sample {
  return { started: requests, requests, errors, bins };
}

/** Plays one step. @returns the second in which it was failed, with the verdict; null = it never was. */
export function playCanary(scene: Scene, random: () => number): { second: number; verdict: Verdict } | null {
  const dice = new Dice(random);
  const policy = { ...DEFAULT_ANALYSIS, ...scene.policy };
  const counting = (): Counting => ({ requests: 0, errors: 0, bins: [...emptySample().bins] });
  const [incoming, stable] = [counting(), counting()];
  const add = (side: Counting, mean: number, chance: number, median: number | null): void => {
    const requests = dice.poisson(mean);
    side.requests += requests;
    side.errors += dice.binomial(requests, chance);
    if (median === null) return;
    const sigma = scene.latency?.sigma ?? 0;
    for (let i = 0; i < requests; i++) side.bins[binOf(median * Math.exp(sigma * dice.normal()) * 1_000)]++;
  };
  for (let second = 1; second <= scene.seconds; second++) {
    add(incoming, scene.rps * scene.share, scene.incomingErrors(second), scene.latency?.incoming ?? null);
    add(stable, scene.rps * (1 - scene.share), scene.stableErrors(second), scene.latency?.stable ?? null);
    const counted = { incoming: sampleOf(incoming), stable: sampleOf(stable) };
    const verdict = judge({
      policy,
      what: 'requests',
      steps: scene.steps,
      windowMs: second * 1_000,
      counted,
      warm: counted,
      checked: null,
      over: second === scene.seconds,
    });
    if (verdict.decision === 'fail') return { second, verdict };
  }
  return null;
}

/** Plays a scene many times. @returns in which second each was failed; Infinity = never. */
export function playMany(scene: Scene, runs: number, random: () => number): number[] {
  return Array.from({ length: runs }, () => playCanary(scene, random)?.second ?? Infinity);
}
