import { z } from 'zod';
import { DEFAULT_ANALYSIS } from '../pool/analysis.ts';
import type { AnalysisPolicy } from '../pool/analysis.ts';
import type { CanaryPolicy } from '../pool/policy.ts';
import { duration, httpUrl, whole } from './_fields.ts';
import { parseShare } from './share.ts';

const SECOND = 1000;

const share = (expected: string) =>
  z.custom<string | number>((value) => parseShare(value) !== null, { error: expected }).transform((value) => parseShare(value) ?? 0);
const finite = z.custom<number>((value) => typeof value === 'number' && Number.isFinite(value), { error: 'a number' });
const between = (least: number, most: number) =>
  z.custom<number>((value) => typeof value === 'number' && value >= least && value <= most, { error: `a number from ${least} to ${most}` });

const prometheus = z
  .strictObject({
    url: httpUrl,
    query: z.custom<string>((value) => typeof value === 'string' && value.trim() !== '' && value.length <= 4096, { error: 'a PromQL query' }),
    min: finite.nullable().default(null),
    max: finite.nullable().default(null),
    interval: duration(SECOND).default(10 * SECOND),
    timeout: duration(100).default(5 * SECOND),
  })
  .refine(({ min, max }) => min !== null || max !== null, { error: 'min or max, or both' });

const analysis = z.strictObject({
  required: z.boolean().default(true),
  minRequests: whole(1, 1_000_000_000).default(DEFAULT_ANALYSIS.minRequests),
  falseAlarms: share("a share over 0, such as 0.01 or '1%'")
    .refine((value) => value > 0 && value <= 0.5, { error: "a share over 0, up to 0.5, such as 0.01 or '1%'" })
    .default(DEFAULT_ANALYSIS.falseAlarms),
  latencyFactor: between(1, 1000).default(DEFAULT_ANALYSIS.latencyFactor),
  latencySlack: duration(0).default(DEFAULT_ANALYSIS.latencySlack),
  warmup: duration(0).default(DEFAULT_ANALYSIS.warmup),
  errorRateMax: share("a share from 0 to 1, such as 0.01 or '1%', or null").nullable().default(null),
  p99MsMax: duration(1).nullable().default(null),
  extend: between(1, 1000).default(DEFAULT_ANALYSIS.extend),
  prometheus: prometheus.nullable().default(null),
});

const steps = z
  .array(z.strictObject({ weight: whole(1, 99), hold: duration(0).nullable().default(null) }))
  .max(20)
  .superRefine((list, context) => {
    for (const [i, { weight }] of list.entries())
      if (i > 0 && weight <= list[i - 1].weight)
        context.addIssue({ code: 'custom', message: 'a weight above that of the step before', path: [i, 'weight'], input: weight });
  });

/** What is said of canaries in the file. */
export const canary = z
  .strictObject({
    steps: steps.default([]),
    analysis: z.union([z.boolean(), analysis], { error: 'true, false or {minRequests, errorRateMax, p99MsMax, …}' }).optional(),
  })
  .prefault({})
  .transform((said): CanaryPolicy => ({ steps: said.steps, analysis: resolved(said.analysis) }));

/** A judgement that nobody has asked for says what it sees, and holds nothing up for lack of traffic. */
function resolved(said: boolean | AnalysisPolicy | undefined): AnalysisPolicy | null {
  if (said === false) return null;
  return said === undefined ? DEFAULT_ANALYSIS : said === true ? { ...DEFAULT_ANALYSIS, required: true } : said;
}
