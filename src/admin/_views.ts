import { z } from 'zod';
import type {
  CertificateView as Certificate,
  DeployView as Deploy,
  Explanation,
  LoggedEvent,
  MemberView as Member,
  OutputView as OutputOf,
  Plan,
  ReloadView as Reload,
  SwapView as Swap,
  UpstreamView as Upstream,
  VersionView as Version,
} from '../control/operations.ts';
import type { WebhookView as Webhook } from '../webhooks/webhooks.ts';
import type { OrderView as OrderOf } from '../members/report.ts';
import type { Receipt as ReceiptOf } from '../pool/upstream.ts';

const Time = z.string().meta({ format: 'date-time' });
const Whole = z.int();
const Evidence = z.record(z.string(), z.unknown());

const Counts = z
  .object({ started: Whole, completed: Whole, clientAborted: Whole, upstreamFailed: Whole, killed: Whole })
  .meta({ description: 'started = completed + clientAborted + upstreamFailed + killed + in flight' });

const Probe = z.object({ at: Time, ok: z.boolean(), status: Whole.nullable(), ms: z.number(), error: z.string().nullable() });

const Backend = z.object({
  address: z.string(),
  weight: Whole,
  health: z.enum(['unknown', 'healthy', 'unhealthy', 'stopping']),
  available: z.boolean(),
  ejected: z.boolean(),
  stopped: z.boolean().meta({ description: 'taken out of the rotation by an operator' }),
  inFlight: Whole,
  openSockets: Whole,
  requests: Whole,
  lastProbe: Probe.nullable(),
  probes: z.array(Probe),
});

const Kind = z.enum(['web', 'worker']);
const OrderName = z.enum(['run', 'quiesce', 'stop']);

export const OrderView = z.object({
  order: OrderName.meta({ description: 'Take work; take no more and finish what is in hand; give back what is in hand, and end' }),
  generation: Whole,
  reportWithin: z.number().meta({ description: 'Milliseconds' }),
  expiresIn: z.number().meta({ description: 'Milliseconds from when the report was sent: so long without another answer, and it takes no more work' }),
});

export const MemberView = z.object({
  name: z.string(),
  instance: z.string(),
  version: z.string(),
  declared: z.boolean(),
  order: OrderName,
  generation: Whole,
  state: z.enum(['alive', 'silent', 'superseded']),
  ready: z.boolean(),
  leases: Whole,
  leaseNames: z.array(z.string()),
  counts: Counts,
  joinedAt: Time,
  lastReportAt: Time,
  expiresIn: z.number().meta({ description: 'Milliseconds until it is presumed dead, unless it reports' }),
});

const Driver = z.enum(['process', 'docker', 'exec']);

const Process = z.object({
  replica: Whole,
  driver: Driver,
  pid: Whole.nullable(),
  id: z.string().nullable(),
  port: Whole.nullable(),
  address: z.string().nullable(),
  state: z.enum(['starting', 'running', 'waiting', 'looping', 'stopping']),
  restarts: Whole,
  since: Time.nullable(),
  lastEnd: z.object({ code: Whole.nullable(), signal: z.string().nullable() }).nullable(),
  problem: z.string().nullable(),
});

const Launch = z
  .object({
    driver: Driver,
    replicas: Whole,
    command: z.array(z.string()),
    cwd: z.string().nullable(),
    image: z.string().nullable(),
    env: z.record(z.string(), z.string()),
  })
  .meta({ description: 'How its processes were launched; the values of `env` are masked. null = they were not, or are gone' });

export const DeployView = z.object({
  id: z.string().meta({ description: 'Also the id of its swap' }),
  upstream: z.string(),
  version: z.string(),
  state: z.enum(['starting', 'swapping', 'failed']),
  requestedBy: z.string(),
  requestedAt: Time,
  reason: z.string().nullable(),
  code: z.string().nullable(),
  swap: z.string().nullable(),
  processes: z.array(Process),
  failed: z.array(z.object({ replica: Whole, problem: z.string(), output: z.array(z.string()) })),
  stopping: z.boolean(),
});

export const OutputView = z.object({
  upstream: z.string(),
  version: z.string(),
  running: z.boolean(),
  cursor: z.string(),
  replicas: z.array(z.object({ replica: Whole, lines: z.array(z.string()), bytes: Whole, dropped: Whole, missed: Whole })),
});

export const VersionView = z.object({
  id: z.string(),
  phase: z.enum(['admitting', 'standby', 'live', 'draining', 'drained', 'released', 'rejected']),
  weight: Whole,
  inFlight: Whole,
  streams: Whole,
  tunnels: Whole,
  createdAt: Time,
  openUntil: Time.nullable(),
  keepUntil: Time.nullable(),
  kind: Kind,
  backends: z.array(Backend),
  members: z.array(MemberView).meta({ description: 'Workers that are there; empty where requests are served' }),
  counts: Counts,
  reason: z.string().nullable(),
  launch: Launch.nullable(),
  processes: z.array(Process),
});

export const Receipt = z.object({
  upstream: z.string(),
  kind: Kind.meta({ description: 'Of workers, requests are leases and threads are members' }),
  version: z.string(),
  releasedAt: Time,
  generation: Whole,
  admitted: z.object({ healthy: Whole, of: Whole }),
  firstRequestAt: Time.nullable(),
  lastRequestAt: Time.nullable(),
  counts: Counts,
  killedByKind: z.object({ http: Whole, stream: Whole, tunnel: Whole }),
  mirrored: Whole,
  peakInFlight: Whole,
  drainMs: z.number(),
  acks: z.record(z.string(), Whole),
  countedSince: Time,
});

const Counted = z.object({
  requests: Whole,
  errors: Whole,
  errorRate: z.number(),
  open: Whole.meta({ description: 'sent and not answered yet, or given up' }),
});

const Verdict = z
  .object({
    decision: z.enum(['pass', 'fail', 'inconclusive']),
    words: z.string(),
    windowMs: z.number(),
    incoming: Counted,
    stable: Counted,
    errorTest: z
      .object({ worse: z.number(), better: z.number(), threshold: z.number() })
      .meta({ description: 'evidence that it fails more, or less, often, as decimal logarithms; what either has to reach' }),
    latency: z
      .array(z.object({ quantile: z.number(), incoming: z.number(), stable: z.number(), surely: z.number(), atMost: z.number().nullable() }))
      .meta({ description: 'milliseconds; it has failed where `surely` is more than `atMost`' }),
    prometheus: z.object({ value: z.number().nullable(), problem: z.string().nullable() }).nullable(),
    unanswered: z.boolean(),
    doubtful: z.boolean().meta({ description: 'More of it fails than before; that may still be chance' }),
  })
  .meta({ description: 'What the present canary step has come to so far' });

const Gate = z
  .object({
    name: z.string(),
    before: z.enum(['admission', 'step', 'release']),
    since: Time.nullable(),
    until: Time.nullable(),
    said: z.string().nullable(),
    stopped: z.boolean(),
  })
  .meta({ description: 'The gate that it waits at; of a finished swap, what its outgoing version is not released for' });

export const SwapView = z.object({
  id: z.string(),
  upstream: z.string(),
  kind: z.enum(['seed', 'swap', 'rollback']),
  upstreamKind: Kind,
  from: z.string().nullable(),
  to: z.string(),
  state: z.string(),
  paused: z.boolean(),
  finished: z.boolean(),
  killed: Whole,
  weight: Whole,
  requestedBy: z.string(),
  reason: z.string().nullable(),
  stageEndsAt: Time.nullable().meta({ description: 'When its admission, hold or drain ends by itself at the latest' }),
  verdict: Verdict.nullable(),
  gate: Gate.nullable(),
  steps: z.array(z.object({ name: z.string(), at: Time, evidence: Evidence })),
  stopping: z.array(z.string()).meta({ description: 'Versions that it has let go and whose processes are being stopped' }),
  receipt: Receipt.nullable(),
});

const Pem = z.object({ file: z.string().nullable(), fingerprint: z.string(), expiresAt: Time });

const BackendTls = z
  .object({ verify: z.boolean(), servername: z.string().nullable(), minVersion: z.string(), ca: Pem.nullable(), certificate: Pem.nullable() })
  .meta({ description: 'How connections to backends are encrypted; null = they are not. Keys and certificates themselves are not shown' });

export const CertificateView = z.object({
  listener: z.string(),
  names: z.array(z.string()),
  subject: z.string(),
  issuer: z.string(),
  notBefore: Time,
  notAfter: Time,
  fingerprint: z.string().meta({ description: 'SHA-256' }),
  keyType: z.string(),
  file: z.string().nullable(),
  loadedAt: Time,
  triedAt: Time,
  refused: z.string().nullable().meta({ description: 'why what its files hold now is not in force' }),
  acme: z
    .object({ directory: z.string(), state: z.enum(['waiting', 'ordering', 'issued']), problem: z.string().nullable(), failures: Whole, nextAt: Time })
    .nullable()
    .meta({ description: 'How it stands with one that renews itself; while it is `waiting`, what is shown is self-signed' }),
});

export const ReloadView = z.object({
  reloaded: Whole,
  refused: z.array(z.object({ file: z.string().nullable(), reason: z.string() })),
  certificates: z.array(CertificateView),
});

export const WebhookView = z.object({
  name: z.string(),
  url: z.string().meta({ description: 'Without path and query, which may be secret' }),
  events: z.array(z.string()),
  upstreams: z.array(z.string()).nullable(),
  pending: Whole,
  oldestPendingAt: Time.nullable(),
  nextAttemptAt: Time.nullable(),
  delivered: Whole,
  failedAttempts: Whole,
  givenUp: Whole,
  dead: Whole.meta({ description: 'Given up and kept for a redelivery' }),
  lastSuccessAt: Time.nullable(),
  lastErrorAt: Time.nullable(),
  lastError: z.string().nullable(),
});

export const UpstreamView = z.object({
  name: z.string(),
  kind: Kind,
  protocol: z.enum(['http1', 'h2']),
  tls: BackendTls.nullable(),
  revision: Whole,
  split: z.record(z.string(), Whole),
  held: z.boolean(),
  waiting: Whole,
  maintenance: z.boolean(),
  versions: z.array(VersionView),
  swap: SwapView.nullable(),
  deploy: DeployView.nullable(),
});

export const ExplanationView = z.object({
  upstream: z.string(),
  version: z.string().nullable(),
  summary: z.string(),
  facts: z.array(z.object({ fact: z.string(), blocks: z.enum(['admitted', 'live', 'released', 'nothing']) })),
});

export const PlanView = z.object({ dryRun: z.literal(true), upstream: z.string(), from: z.string().nullable(), to: z.string(), steps: z.array(z.string()) });

export const EventView = z.object({
  id: z.string(),
  at: Time,
  type: z.string(),
  upstream: z.string().nullable(),
  version: z.string().nullable(),
  data: Evidence,
});

export const ReadyView = z.object({ ready: z.boolean(), why: z.string() });

export const ProblemView = z
  .object({
    type: z.string(),
    title: z.string(),
    status: Whole,
    detail: z.string(),
    code: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ description: 'RFC 9457, with the facts of the case as further members' });

/** Every shape that has a name in the OpenAPI document. The types on the right keep them true to the operations. */
export const NAMED = {
  Upstream: UpstreamView satisfies z.ZodType<Upstream>,
  Version: VersionView satisfies z.ZodType<Version>,
  Swap: SwapView satisfies z.ZodType<Swap>,
  Member: MemberView satisfies z.ZodType<Member>,
  Order: OrderView satisfies z.ZodType<OrderOf>,
  Deploy: DeployView satisfies z.ZodType<Deploy>,
  Output: OutputView satisfies z.ZodType<OutputOf>,
  Receipt: Receipt satisfies z.ZodType<ReceiptOf>,
  Explanation: ExplanationView satisfies z.ZodType<Explanation>,
  Certificate: CertificateView satisfies z.ZodType<Certificate>,
  Reload: ReloadView satisfies z.ZodType<Reload>,
  Webhook: WebhookView satisfies z.ZodType<Webhook>,
  Plan: PlanView satisfies z.ZodType<Plan>,
  Event: EventView satisfies z.ZodType<Omit<LoggedEvent, 'type'> & { type: string }>,
  Ready: ReadyView,
  Problem: ProblemView,
} as const;
