import { z } from 'zod';
import { MAX_DURATION, parseDuration } from '../config/duration.ts';
import { MemberName, ReportBody } from '../members/report.ts';
import { parseAddress } from '../pool/address.ts';
import { Analysis } from './_analysis-input.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const MAX_BACKENDS = 1000;
const MAX_CANARY_STEPS = 20;
/** The longest a long poll may wait, in milliseconds. */
const MAX_WAIT = 600_000;

export const Name = z
  .string({ error: 'expected a name' })
  .regex(NAME, { error: 'expected 1 to 63 letters, digits, dots, dashes and underscores that begin with a letter or digit' })
  .meta({ description: 'Name of an upstream or id of a version', examples: ['web', 'v42'] });

function readDuration(max: number, error: string): (input: string | number, context: z.RefinementCtx<string | number>) => number {
  return (input, context) => {
    const ms = parseDuration(input);
    if (ms !== null && ms <= max) return ms;
    context.addIssue({ code: 'custom', message: error, input });
    return z.NEVER;
  };
}

const DURATION = 'a duration such as 500ms, 30s, 5m or 1h';
const DURATION_ERROR = `expected ${DURATION}, or a number of milliseconds`;
const Duration = z
  .union([z.string(), z.number()], { error: DURATION_ERROR })
  .transform(readDuration(MAX_DURATION, DURATION_ERROR))
  .meta({ description: `${DURATION}, or a number of milliseconds`, examples: ['30s'] });

const WAIT_ERROR = `expected ${DURATION}, at most 10m`;
// A bare number in a query would be read as seconds by half of its writers: the unit is asked for.
const Wait = z
  .string()
  .transform(readDuration(MAX_WAIT, WAIT_ERROR))
  .meta({ description: `${DURATION}, at most 10m`, examples: ['60s'] });

const HostPort = z
  .string({ error: 'expected host:port' })
  .refine((text) => text.length <= 300 && parseAddress(text) !== null, { error: 'expected host:port' })
  .meta({ examples: ['127.0.0.1:9001'] });

/** Members that are polled have an address for a name. */
const MemberOrAddress = z.union([MemberName, HostPort], { error: 'expected the name of a member' });

const BackendWeight = z
  .int({ error: 'expected a whole number from 1 to 1000' })
  .min(1, { error: 'expected a whole number from 1 to 1000' })
  .max(1000, { error: 'expected a whole number from 1 to 1000' });

const BackendObject = z.strictObject({ address: HostPort, weight: BackendWeight.default(1) });

const Backend = z.union([HostPort.transform((address) => ({ address, weight: 1 })), BackendObject], {
  error: (issue) => (typeof issue.input === 'object' && issue.input !== null ? undefined : 'expected host:port, or an object {address, weight}'),
});

const Backends = z
  .array(Backend, { error: 'expected a list of backends' })
  .min(1, { error: 'expected at least one backend' })
  .max(MAX_BACKENDS, { error: `expected at most ${MAX_BACKENDS} backends` })
  .superRefine((backends, context) => {
    const seen = new Set<string>();
    backends.forEach(({ address }, at) => {
      if (seen.has(address)) context.addIssue({ code: 'custom', message: 'expected each address once', input: address, path: [at] });
      seen.add(address);
    });
  });

const MEMBERS_ERROR = `expected how many members, at most ${MAX_BACKENDS}, or a list of their names`;
const Members = z
  .union([z.int().min(1).max(MAX_BACKENDS), z.array(MemberName).min(1).max(MAX_BACKENDS)], { error: MEMBERS_ERROR })
  .meta({ description: 'Of a worker upstream: how many members it has (`v2-1`, `v2-2`, …), or their names' });

const Percent = 'expected a whole number from 1 to 99';
const CanaryStep = z.strictObject({
  weight: z.int({ error: Percent }).min(1, { error: Percent }).max(99, { error: Percent }).meta({ description: 'Percent of the traffic' }),
  hold: Duration.nullish()
    .transform((hold) => hold ?? null)
    .meta({ description: 'How long to stay at this weight; null = until promoted' }),
});

const Canary = z
  .array(CanaryStep, { error: 'expected a list of steps {weight, hold}' })
  .max(MAX_CANARY_STEPS, { error: `expected at most ${MAX_CANARY_STEPS} steps` })
  .superRefine((steps, context) => {
    steps.forEach(({ weight }, at) => {
      if (at > 0 && weight <= steps[at - 1].weight) {
        context.addIssue({ code: 'custom', message: 'expected a weight above that of the step before', input: weight, path: [at, 'weight'] });
      }
    });
  });

const Count = z.int({ error: 'expected a whole number of at least 1' }).min(1, { error: 'expected a whole number of at least 1' });

/** A body of an endpoint that needs none: absent or `{}`. */
export const Nothing = z.strictObject({});

export const VersionBody = z
  .strictObject({ id: Name, backends: Backends.optional(), members: Members.optional() })
  .superRefine(({ backends, members }, context) => {
    if (backends === undefined && members === undefined)
      context.addIssue({ code: 'custom', message: 'expected a list of backends', path: ['backends'], input: undefined });
    else if (backends !== undefined && members !== undefined)
      context.addIssue({ code: 'custom', message: 'expected no members beside backends', path: ['members'], input: members });
  });

const HowToSwap = {
  strategy: z
    .strictObject({ canary: Canary.optional(), analysis: Analysis.optional() })
    .optional()
    .meta({ description: 'As the upstream has it unless a canary is asked for; an empty one is atomic' }),
  admission: z.strictObject({ timeout: Duration.optional(), minReady: Count.optional() }).optional(),
  drain: z.strictObject({ requests: Duration.optional(), tunnels: Duration.optional() }).optional(),
  rollback: z.strictObject({ keep: Duration }).optional().meta({ description: 'How long the outgoing version is kept for a rollback' }),
  dryRun: z.boolean({ error: 'expected true or false' }).optional().meta({ description: 'Answers with the plan and changes nothing' }),
};

export const SwapBody = z.strictObject({
  to: Name,
  backends: Backends.optional().meta({ description: 'Needed unless the version is registered already, or `members` are named' }),
  members: Members.optional(),
  ...HowToSwap,
});

export const DeployBody = z.strictObject({
  version: Name,
  launch: z
    .record(z.string(), z.unknown(), { error: 'expected an object with the fields of launch' })
    .optional()
    .meta({
      description: "As `launch` of the configuration file: driver, command, replicas, env, cwd, …; what it does not say, the upstream's does",
      examples: [{ command: ['node', 'server.js'], replicas: 2 }],
    }),
  ...HowToSwap,
});

export const RollbackBody = z.strictObject({ to: Name.nullish() });

const Share = z
  .int({ error: 'expected a whole number of percent from 0 to 100' })
  .min(0, { error: 'expected a whole number of percent from 0 to 100' })
  .max(100, { error: 'expected a whole number of percent from 0 to 100' });

export const SplitBody = z
  .record(Name, Share, { error: 'expected an object of version ids and percents' })
  .refine((split) => Object.values(split).reduce((sum, weight) => sum + weight, 0) === 100, { error: 'expected percents that sum to 100' })
  .meta({ examples: [{ v1: 90, v2: 10 }] });

export const UpstreamBody = z
  .record(z.string(), z.unknown(), { error: 'expected an object with the fields of an upstream' })
  .meta({ description: 'An upstream as in the configuration file: routes with their rules, health, admission, drain, rollback, …; pages as {body, type}' });

export const UpstreamParams = z.strictObject({ upstream: Name });
export const VersionParams = z.strictObject({ upstream: Name, version: Name });
export { ReportBody };
export const MemberParams = z.strictObject({ upstream: Name, member: MemberOrAddress });
export const BackendParams = z.strictObject({ upstream: Name, address: HostPort });
export const DeployParams = z.strictObject({ deploy: z.string().min(1).max(200) });
export const SwapParams = z.strictObject({ swap: z.string().min(1).max(200) });
export const NoParams = z.strictObject({});

const GOALS = ['admitted', 'live', 'drained', 'released', 'admitting', 'standby', 'draining', 'rejected'] as const;

export const NoQuery = z.strictObject({});
export const WaitQuery = z.strictObject({
  wait: z
    .enum(GOALS, { error: `expected one of ${GOALS.join(', ')}` })
    .optional()
    .meta({ description: 'Answer once the version has got there' }),
  timeout: Wait.default(60_000),
});
export const SwapQuery = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,6}$/, { error: 'expected a number of steps' })
    .transform(Number)
    .optional()
    .meta({ description: 'Answer once the swap has more steps than this, or is finished' }),
  timeout: Wait.default(60_000),
});
export const SettleQuery = z.strictObject({ wait: Wait.optional().meta({ description: 'Answer once its processes are started, or after this' }) });
const digits = (most: number) => {
  const error = `expected a whole number from 1 to ${most}`;
  return z
    .string()
    .refine((text) => /^\d{1,6}$/.test(text) && Number(text) >= 1 && Number(text) <= most, { error })
    .transform(Number);
};
export const OutputQuery = z.strictObject({
  replica: digits(100).optional().meta({ description: 'Only of this one; the first is 1' }),
  lines: digits(10_000).default(100),
  after: z
    .string()
    .max(2_000)
    .regex(/^([\w-]{1,64}\/)?\d{1,3}:\d{1,15}(,\d{1,3}:\d{1,15})*$/, { error: 'expected a cursor of an earlier answer' })
    .optional()
    .meta({ description: 'Only what was printed after this cursor, instead of the last lines' }),
  wait: Wait.default(0).meta({ description: 'With `after`: answer once there is something new, or after this' }),
});
export const ExplainQuery = z.strictObject({ version: Name.optional() });
export const ReportQuery = z.strictObject({
  wait: Wait.default(0).meta({ description: 'Answer once there is another order than the one that is reported, or after so long; at once unless told' }),
});
export const GoodbyeQuery = z.strictObject({ instance: z.string().max(63).optional().meta({ description: 'Only this life of the member' }) });
export const EventsQuery = z.strictObject({
  upstream: Name.optional().meta({ description: 'Only events of this upstream' }),
  lastEventId: z.string().max(200).optional().meta({ description: 'Like the header Last-Event-ID, for clients that cannot set it' }),
});
