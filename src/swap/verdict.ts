import { isWithin } from '../pool/analysis.ts';
import type { AnalysisPolicy } from '../pool/analysis.ts';
import type { Checked, Sample, Samples } from '../pool/upstream.ts';
import { evidence, quantileBounds, slowerThan } from './_evidence.ts';

const QUANTILES = [0.5, 0.95, 0.99] as const;
/** Evidence of more errors from which on a step is not called as good as before, although it is not failed: ten to one. Without a difference one step in ten ever gets there, and one in a hundred is there when its hold ends. */
const DOUBT = 10;

/** What a canary step has come to, with the numbers that decided it. Plain data: it goes into the swap's evidence. */
export interface Verdict {
  /** `inconclusive` = not to be judged (yet). */
  readonly decision: 'pass' | 'fail' | 'inconclusive';
  /** In words; one sentence without its full stop. */
  readonly words: string;
  /** Length of the window in milliseconds. */
  readonly windowMs: number;
  readonly incoming: Side;
  readonly stable: Side;
  readonly errorTest: ErrorTest;
  readonly latency: readonly QuantileTest[];
  readonly prometheus: Checked | null;
  /** Requests were sent to the new version, or jobs taken by it, but it has not answered enough of them: that is no lack of traffic. */
  readonly unanswered: boolean;
  /** More of it fails than before, as far as can be told; that may still be chance. */
  readonly doubtful: boolean;
}

interface Side {
  readonly requests: number;
  readonly errors: number;
  /** Share of failed requests, 0–1. */
  readonly errorRate: number;
  /** Sent and not answered yet, or given up by the client. */
  readonly open: number;
}

/** An e-process of "fails more often" and one of "fails less often", as decimal logarithms; `threshold` is what either has to reach. */
interface ErrorTest {
  readonly worse: number;
  readonly better: number;
  readonly threshold: number;
}

/** Milliseconds; null = not to be told yet. `surely` is the least that the new version's can be, `atMost` the most that it may be. */
interface QuantileTest {
  readonly quantile: number;
  readonly incoming: number;
  readonly stable: number;
  readonly surely: number;
  readonly atMost: number | null;
}

export interface Judged {
  readonly policy: AnalysisPolicy;
  /** What is counted. How long jobs take says nothing about a version, and is not judged. */
  readonly what: 'requests' | 'jobs';
  /** Steps of this canary that are judged: they share its chance of a false alarm. */
  readonly steps: number;
  /** How long the window is, in milliseconds. */
  readonly windowMs: number;
  /** What was counted in the window. */
  readonly counted: Samples;
  /** The same without the warm-up; null while that lasts. */
  readonly warm: Samples | null;
  readonly checked: Checked | null;
  /** Whether the hold is over: then limits are held against what was measured, before that only against what is certain. */
  readonly over: boolean;
}

/** What has come since: the counters of `now` less those of `base`. */
export function since(base: Samples, now: Samples): Samples {
  const less = (after: Sample, before: Sample): Sample => ({
    started: after.started - before.started,
    requests: after.requests - before.requests,
    errors: after.errors - before.errors,
    bins: after.bins.map((count, bin) => count - (before.bins.at(bin) ?? 0)),
  });
  return { incoming: less(now.incoming, base.incoming), stable: less(now.stable, base.stable) };
}

/**
 * Judges a canary step. Promised: over all looks at all steps of a canary that is no worse, at most `falseAlarms` of them
 * end in `fail` for errors or latency relative to the stable versions (requests taken as independent; see _evidence.ts).
 * Half of that is spent on errors, half on latency; of jobs, which have none, all on errors. One that is significantly better passes.
 */
export function judge(judged: Judged): Verdict {
  const { policy, counted, checked, windowMs } = judged;
  const hasLatency = judged.what === 'requests';
  const spent = policy.falseAlarms / judged.steps / (hasLatency ? 2 : 1);
  const errorTest = testErrors(counted, spent);
  const latency = judged.warm === null || !hasLatency ? [] : testLatency(judged.warm, policy, spent);
  const unanswered = counted.incoming.started >= policy.minRequests && counted.incoming.requests < policy.minRequests;
  const found = {
    windowMs,
    incoming: sideOf(counted.incoming),
    stable: sideOf(counted.stable),
    errorTest,
    latency,
    prometheus: checked,
    unanswered,
    doubtful: false,
  };
  const fault = externalFault(policy, checked) ?? (counted.incoming.requests < policy.minRequests ? null : faultOf(judged, errorTest, latency, spent));
  if (fault !== null) return { decision: 'fail', words: fault, ...found };
  const lack = lackOf(judged);
  if (lack !== null) return { decision: 'inconclusive', words: lack, ...found };
  if (errorTest.worse >= Math.log10(DOUBT)) return { decision: 'inconclusive', words: doubt(judged), ...found, doubtful: true };
  return { decision: 'pass', words: praise(judged, errorTest), ...found };
}

function sideOf({ started, requests, errors }: Sample): Side {
  return { requests, errors, errorRate: requests === 0 ? 0 : errors / requests, open: Math.max(0, started - requests) };
}

function testErrors({ incoming, stable }: Samples, spent: number): ErrorTest {
  const errors = incoming.errors + stable.errors;
  const requests = incoming.requests + stable.requests;
  const share = requests === 0 ? 0 : incoming.requests / requests;
  // Two-sided: each side has half of what is spent.
  const decimal = (log: number): number => Math.round((log / Math.LN10) * 1_000) / 1_000;
  return {
    worse: decimal(evidence(incoming.errors, errors, share)),
    better: decimal(evidence(incoming.errors, errors, share, true)),
    threshold: decimal(Math.log(2 / spent)),
  };
}

function testLatency({ incoming, stable }: Samples, { latencyFactor, latencySlack }: AnalysisPolicy, spent: number): QuantileTest[] {
  // Each comparison has two bounds, and either may be wrong.
  const enough = Math.log((2 * QUANTILES.length) / spent);
  return QUANTILES.map((quantile) => {
    const of = quantileBounds(incoming.bins, quantile, enough);
    const others = quantileBounds(stable.bins, quantile, enough);
    const atMost = Math.max(others.high * latencyFactor, others.high + latencySlack);
    return {
      quantile,
      incoming: tenths(of.measured),
      stable: tenths(others.measured),
      surely: tenths(of.low),
      atMost: Number.isFinite(atMost) ? tenths(atMost) : null,
    };
  });
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** Why the new version has failed, or null. */
function faultOf({ policy, what, counted, warm, over }: Judged, errorTest: ErrorTest, latency: readonly QuantileTest[], spent: number): string | null {
  const { incoming, stable } = counted;
  const { errorRateMax, p99MsMax } = policy;
  if (errorTest.worse >= errorTest.threshold) return `${failures(incoming, what)}, of the versions before it ${failures(stable, what)}`;
  const rate = incoming.errors / incoming.requests;
  const certain = Math.log(1 / spent);
  if (errorRateMax !== null && rate > errorRateMax && (over || evidence(incoming.errors, incoming.requests, errorRateMax) >= certain))
    return `${failures(incoming, what)}, more than errorRateMax allows (${percent(errorRateMax)})`;
  const slow = latency.find(({ surely, atMost }) => atMost !== null && surely > atMost);
  if (slow !== undefined) {
    return `${nameOf(slow.quantile)} is ${slow.incoming} ms and of the versions before it ${slow.stable} ms, more than ${policy.latencyFactor} times as long`;
  }
  const p99 = latency.at(-1)?.incoming ?? 0;
  if (p99MsMax === null || p99 <= p99MsMax || warm === null) return null;
  const answered = warm.incoming.bins.reduce((sum, count) => sum + count, 0);
  const sure = p99MsMax > 0 && evidence(slowerThan(warm.incoming.bins, p99MsMax), answered, 0.01) >= certain;
  if (!sure && (!over || answered < policy.minRequests)) return null;
  return `p99 is ${p99} ms, more than p99MsMax allows (${p99MsMax} ms)`;
}

function externalFault({ prometheus }: AnalysisPolicy, checked: Checked | null): string | null {
  if (prometheus === null || checked === null || checked.value === null || isWithin(prometheus, checked.value)) return null;
  const { min, max } = prometheus;
  const bound = max !== null && checked.value > max ? `more than ${max}` : `less than ${min}`;
  return `the Prometheus query gives ${checked.value}, ${bound}`;
}

/** Why it cannot be judged, or null. */
function lackOf({ policy, what, counted, warm, checked }: Judged): string | null {
  const { minRequests } = policy;
  const { incoming, stable } = counted;
  if (incoming.requests < minRequests && incoming.started >= minRequests)
    return `only ${incoming.requests} of ${incoming.started} ${what === 'jobs' ? 'jobs were finished' : 'requests were answered'} so far; ${minRequests} are needed`;
  if (incoming.requests < minRequests) return `too few ${what}: ${incoming.requests} of the ${minRequests} needed`;
  if (stable.requests < minRequests) return `too few ${what} of the versions before it: ${stable.requests} of the ${minRequests} needed`;
  if (warm === null && what === 'requests') return 'latencies are not judged before the warm-up is over';
  if (policy.prometheus !== null && (checked === null || checked.value === null))
    return `the Prometheus query has no answer${checked?.problem == null ? '' : `: ${checked.problem}`}`;
  return null;
}

function doubt({ what, counted: { incoming, stable } }: Judged): string {
  return `looks worse, but that may be chance: ${failures(incoming, what)}, of the versions before it ${percent(stable.errors / stable.requests)}`;
}

function praise({ what, counted: { incoming, stable } }: Judged, { better, threshold }: ErrorTest): string {
  return better >= threshold
    ? `${failures(incoming, what)}, significantly fewer than of the versions before it (${percent(stable.errors / stable.requests)})`
    : `no worse: ${failures(incoming, what)}, of the versions before it ${percent(stable.errors / stable.requests)}`;
}

function failures({ errors, requests }: Sample, what: Judged['what']): string {
  return `${errors} of ${requests} ${what} failed (${percent(errors / requests)})`;
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(2))} %`;
}

function nameOf(quantile: number): string {
  return quantile === 0.5 ? 'the median' : `p${quantile * 100}`;
}
