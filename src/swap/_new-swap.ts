import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { DEFAULT_ANALYSIS } from '../pool/analysis.ts';
import type { AnalysisPolicy } from '../pool/analysis.ts';
import { weightOf } from '../pool/split.ts';
import type { CanaryStep, Swap } from '../pool/upstream.ts';
import type { Turn } from './_turn.ts';
import { listed } from './_words.ts';
import type { SwapRequest } from './ports.ts';

const MAX_CANARY = 100;

interface NewSwap {
  readonly request: SwapRequest;
  readonly id: string;
  readonly by: string;
  readonly kind: Swap['kind'];
}

/** A swap as it begins; nothing is done yet. Refuses numbers that make no sense. */
export function newSwap(turn: Turn, { request, id, by, kind }: NewSwap): Swap {
  const { policy, now } = turn.world;
  const before = turn.state.split;
  const from = before.map(({ version }) => version).filter((version) => version !== request.to);
  checkNumbers(request);
  if (policy.worker !== null) checkJobs(request);
  const steps = request.canary ?? (kind === 'swap' ? policy.canary.steps : []);
  const canary = canaryFor(steps, from, weightOf(before, request.to));
  return {
    id,
    kind,
    from,
    to: request.to,
    state: 'admitting',
    paused: false,
    at: 0,
    publishedAt: null,
    steps: [],
    outcome: null,
    reason: null,
    before,
    canary,
    analysis: canary.length === 0 ? null : analysisFor(policy.canary.analysis, request.analysis),
    window: null,
    recoverBy: null,
    gates: null,
    requestedBy: by,
    requestedAt: now,
    admissionTimeout: request.admission?.timeout ?? policy.admission.timeout,
    minReady: request.admission?.minReady ?? null,
    drain: { requests: request.drain?.requests ?? policy.drain.requests, tunnels: request.drain?.tunnels ?? policy.drain.tunnels },
    keep: request.keep ?? policy.rollback.keep,
  };
}

function checkNumbers(request: SwapRequest): void {
  const given: [string, number | undefined, number][] = [
    ['admission.timeout', request.admission?.timeout, 0],
    ['admission.minReady', request.admission?.minReady, 1],
    ['drain.requests', request.drain?.requests, 0],
    ['drain.tunnels', request.drain?.tunnels, 0],
    ['rollback.keep', request.keep, 0],
  ];
  for (const [path, value, least] of given) {
    if (value !== undefined && !(Number.isFinite(value) && value >= least)) throw invalid(path, `${value}: expected a number of at least ${least}`);
  }
}

/** What is known of requests and not of jobs cannot be a condition. */
function checkJobs({ analysis }: SwapRequest): void {
  if (typeof analysis !== 'object') return;
  for (const [path, value] of [
    ['analysis.p99MsMax', analysis.p99MsMax],
    ['analysis.latencyFactor', analysis.latencyFactor],
  ] as const)
    if (value != null) throw invalid(path, `${value}: expected none, because workers are judged by jobs that failed, not by how long jobs take`);
}

function invalid(path: string, message: string): Refusal {
  return new Refusal(REFUSAL.invalid, `${path}: ${message}`, {}, [{ path, message }]);
}

/** The steps that raise the weight above what the version has; none when nothing else is live. */
function canaryFor(canary: readonly CanaryStep[], from: readonly string[], present: number): readonly CanaryStep[] {
  if (canary.length > MAX_CANARY) throw invalid('canary', `${canary.length} steps; expected at most ${MAX_CANARY}`);
  for (const [i, { weight, hold }] of canary.entries()) {
    const path = `canary[${i}]`;
    if (!Number.isInteger(weight) || weight < 1 || weight > 99) throw invalid(`${path}.weight`, `${weight}: expected a whole number from 1 to 99`);
    if (i > 0 && weight <= canary[i - 1].weight) throw invalid(`${path}.weight`, `${weight}: expected more than the step before`);
    if (hold !== null && !(Number.isFinite(hold) && hold >= 0)) throw invalid(`${path}.hold`, `${hold}: expected milliseconds, or null`);
    if (100 - weight < from.length) throw invalid(`${path}.weight`, `${weight}: leaves less than 1 % for each of ${listed(from)}`);
  }
  return from.length === 0 ? [] : canary.filter(({ weight }) => weight > present);
}

/** What a swap asks for goes before what its upstream says; a judgement that is asked for is one that has to be. */
function analysisFor(usual: AnalysisPolicy | null, asked: SwapRequest['analysis']): AnalysisPolicy | null {
  if (asked === undefined) return usual;
  if (asked === false) return null;
  return { ...(usual ?? DEFAULT_ANALYSIS), required: true, ...(asked === true ? {} : asked) };
}
