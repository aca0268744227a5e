import { z } from 'zod';
import { EVENT_TYPES } from '../pool/events.ts';
import { splitProblem } from '../pool/split.ts';
import type { Gates } from '../pool/gates.ts';
import type { AnalysisPolicy } from '../pool/analysis.ts';
import type { Receipt, Sample, Swap, UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import type { SwitchyardEvent } from './ports.ts';

const Whole = z.number().int().min(0);
const At = z.number().min(0);
const MaybeAt = At.nullable();
const Acks = z.record(z.string(), Whole);

const GatesSchema: z.ZodType<Gates> = z.object({
  passed: z.array(z.string()),
  waiting: z
    .object({
      name: z.string(),
      at: z.enum(['admission', 'step', 'release']),
      key: z.string(),
      since: At,
      until: At,
      onTimeout: z.enum(['stop', 'pass']),
      said: z.string().nullable(),
    })
    .nullable(),
  stopped: z.object({ name: z.string(), reason: z.string() }).nullable(),
});

const VersionSchema: z.ZodType<Version> = z.object({
  id: z.string().min(1),
  phase: z.enum(['admitting', 'standby', 'live', 'draining', 'drained', 'released', 'rejected']),
  slot: Whole,
  backends: z.array(z.object({ address: z.string().min(1), weight: z.number().int().min(1), slot: Whole })).min(1),
  createdAt: At,
  admittedAt: MaybeAt,
  admittedHealthy: Whole,
  trusted: z.array(z.string()),
  admitBy: MaybeAt,
  drain: z
    .object({
      since: At,
      openUntil: MaybeAt.default(null),
      generation: Whole.nullable(),
      requestsUntil: At,
      tunnelsUntil: At,
      requestsCut: z.boolean(),
      tunnelsCut: z.boolean(),
      acks: Acks.nullable(),
      keep: z.number().min(0),
      doneAt: MaybeAt,
      keepUntil: MaybeAt,
      gates: GatesSchema.nullable().default(null),
      then: z.enum(['released', 'rejected']),
    })
    .nullable(),
});

const Counts = z.object({ started: Whole, completed: Whole, clientAborted: Whole, upstreamFailed: Whole, killed: Whole });

const ReceiptSchema: z.ZodType<Receipt> = z.object({
  upstream: z.string(),
  // Older entries do not say it.
  kind: z.enum(['web', 'worker']).default('web'),
  version: z.string(),
  releasedAt: z.string(),
  generation: Whole,
  admitted: z.object({ healthy: Whole, of: Whole }),
  firstRequestAt: z.string().nullable(),
  lastRequestAt: z.string().nullable(),
  counts: Counts,
  killedByKind: z.object({ http: Whole, stream: Whole, tunnel: Whole }),
  mirrored: Whole.default(0),
  peakInFlight: Whole,
  drainMs: z.number(),
  acks: Acks,
  countedSince: z.string(),
});

const SplitSchema = z.array(z.object({ version: z.string(), weight: z.number() })).superRefine((split, context) => {
  const problem = splitProblem(split);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

const Limit = z.number().min(0).nullable();

const AnalysisSchema: z.ZodType<AnalysisPolicy> = z.object({
  required: z.boolean(),
  minRequests: Whole,
  falseAlarms: z.number().gt(0).max(1),
  latencyFactor: z.number().min(1),
  latencySlack: At,
  warmup: At,
  errorRateMax: Limit,
  p99MsMax: Limit,
  extend: z.number().min(1),
  prometheus: z.object({ url: z.string(), query: z.string(), min: z.number().nullable(), max: z.number().nullable(), interval: At, timeout: At }).nullable(),
});

const SampleSchema: z.ZodType<Sample> = z.object({ started: Whole, requests: Whole, errors: Whole, bins: z.array(Whole) });
const SamplesSchema = z.object({ incoming: SampleSchema, stable: SampleSchema });

const WindowSchema = z.object({
  since: At,
  base: SamplesSchema,
  warm: SamplesSchema.nullable(),
  extended: z.boolean(),
  checked: z.object({ value: z.number().nullable(), problem: z.string().nullable() }).nullable(),
});

const SwapSchema: z.ZodType<Swap> = z.object({
  id: z.string(),
  kind: z.enum(['seed', 'swap', 'rollback']),
  from: z.array(z.string()),
  to: z.string(),
  state: z.enum(['admitting', 'standby', 'cutting-over', 'draining', 'rolling-back', 'done', 'rejected', 'rolled-back', 'aborted']),
  paused: z.boolean(),
  canary: z.array(z.object({ weight: z.number().int().min(1).max(99), hold: z.number().min(0).nullable() })),
  at: Whole,
  publishedAt: MaybeAt,
  // A journal of before there was a judgement has no word of it.
  analysis: AnalysisSchema.nullable().default(null),
  window: WindowSchema.nullable().default(null),
  recoverBy: At.nullable().default(null),
  gates: GatesSchema.nullable().default(null),
  steps: z.array(z.object({ name: z.string(), at: At, evidence: z.record(z.string(), z.unknown()) })),
  requestedBy: z.string(),
  requestedAt: At,
  admissionTimeout: z.number().min(0).nullable(),
  minReady: z.number().min(1).nullable(),
  drain: z.object({ requests: z.number().min(0), tunnels: z.number().min(0) }),
  keep: z.number().min(0),
  outcome: z.enum(['rejected', 'rolled-back', 'aborted']).nullable(),
  reason: z.string().nullable(),
  before: SplitSchema,
});

const StateSchema: z.ZodType<UpstreamState> = z
  .object({
    name: z.string().min(1),
    revision: Whole,
    changedBy: z.string(),
    changedAt: At,
    held: z.boolean(),
    split: SplitSchema,
    versions: z.array(VersionSchema),
    swap: SwapSchema.nullable(),
    history: z.array(z.object({ version: VersionSchema, receipt: ReceiptSchema.nullable(), reason: z.string().nullable() })),
  })
  .superRefine((state, context) => {
    for (const { version } of state.split) {
      if (state.versions.find(({ id }) => id === version)?.phase !== 'live')
        context.addIssue({ code: 'custom', path: ['split'], message: `version ${version} has weight but is not live` });
    }
  });

const EventSchema: z.ZodType<SwitchyardEvent> = z.object({
  type: z.enum(EVENT_TYPES),
  upstream: z.string().nullable(),
  version: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
});

/** One entry of the journal; `state` null = the upstream was removed. */
export interface Entry {
  readonly seq: number;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly why: string;
  readonly upstream: string;
  readonly state: UpstreamState | null;
  /** What the world is told of it, once it is acted on. */
  readonly events?: readonly SwitchyardEvent[];
}

export const EntrySchema: z.ZodType<Entry> = z.object({
  seq: Whole,
  at: At,
  why: z.string(),
  upstream: z.string().min(1),
  state: StateSchema.nullable(),
  events: z.array(EventSchema).optional(),
});
