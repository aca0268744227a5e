import type { MembersInput } from '../members/declare.ts';
import type { Order, OrderView, Report } from '../members/report.ts';
import type { Phase, Health } from '../pool/phase.ts';
import type { GatePoint } from '../pool/gates.ts';
import type { Receipt } from '../pool/upstream.ts';
import type { Explanation } from '../swap/explain.ts';
import type { WebhookView } from '../webhooks/webhooks.ts';
import type { HistoryEntry } from '../history/history.ts';
import type { DeployRequest, DeployView, LaunchView, OutputAsk, OutputView, ProcessView } from './deploy-views.ts';
import type { ConfigPlan, ConfigView, UndoAsk, UndoView } from './config-views.ts';
import type { SwapRequest, SwitchyardEvent, VersionInput } from '../swap/ports.ts';
import type { Verdict } from '../swap/verdict.ts';

/** Views: what the admin API answers with. Times are ISO 8601, durations milliseconds. */
export interface ProbeView {
  at: string;
  ok: boolean;
  status: number | null;
  ms: number;
  error: string | null;
}

export interface BackendView {
  address: string;
  weight: number;
  health: Health;
  /** Whether the data plane may use it now. */
  available: boolean;
  ejected: boolean;
  /** Taken out of the rotation by an operator. */
  stopped: boolean;
  inFlight: number;
  openSockets: number;
  requests: number;
  lastProbe: ProbeView | null;
  /** Newest last, at most 5. */
  probes: ProbeView[];
}

/** One life of a worker. */
export interface MemberView {
  name: string;
  instance: string;
  version: string;
  /** Whether its version names it; others of the version work all the same. */
  declared: boolean;
  /** What it is to do now, and the generation of the last order that it follows. */
  order: Order;
  generation: number;
  /** `silent` = known from before a restart, and not heard since; `superseded` = another process reports under its name. */
  state: 'alive' | 'silent' | 'superseded';
  ready: boolean;
  leases: number;
  /** Some of them by name. */
  leaseNames: string[];
  counts: CountsView;
  joinedAt: string;
  lastReportAt: string;
  /** Milliseconds until it is presumed dead, unless it reports. */
  expiresIn: number;
}

/** Whether an upstream serves requests, or its members take jobs from a queue. */
export type UpstreamKind = 'web' | 'worker';

export interface CountsView {
  started: number;
  completed: number;
  clientAborted: number;
  upstreamFailed: number;
  killed: number;
}

export interface VersionView {
  id: string;
  phase: Phase;
  weight: number;
  inFlight: number;
  streams: number;
  tunnels: number;
  createdAt: string;
  /** Until then sessions of before may begin requests on it, and its drain is not proven; null = nobody may. */
  openUntil: string | null;
  /** When a kept version will be released. */
  keepUntil: string | null;
  kind: UpstreamKind;
  /** Of workers: the places that the version was declared with. */
  backends: BackendView[];
  /** Workers that are there; empty where requests are served. */
  members: MemberView[];
  counts: CountsView;
  /** Why it was rejected. */
  reason: string | null;
  /** How its processes were launched; null = they were not, or are gone. */
  launch: LaunchView | null;
  processes: ProcessView[];
}

export interface GateView {
  name: string;
  before: GatePoint;
  /** null = it has said stop. */
  since: string | null;
  until: string | null;
  /** Its last word, or why there is none; null = it has not answered yet. */
  said: string | null;
  /** It has said stop: a version that is not released for it is kept until somebody removes it. */
  stopped: boolean;
}

export interface SwapView {
  id: string;
  upstream: string;
  kind: 'seed' | 'swap' | 'rollback';
  upstreamKind: UpstreamKind;
  from: string | null;
  to: string;
  state: string;
  paused: boolean;
  /** True once the state is final. */
  finished: boolean;
  /** Requests cut at the drain deadline of the outgoing version. */
  killed: number;
  weight: number;
  requestedBy: string;
  reason: string | null;
  /** When its admission, hold or drain ends by itself at the latest; null = no limit, somebody has to say so, or it is finished. */
  stageEndsAt: string | null;
  /** What the present canary step has come to so far; null = none is judged. */
  verdict: Verdict | null;
  /** What the swap, or the release of what it has let go, waits for; null = no gate. */
  gate: GateView | null;
  steps: { name: string; at: string; evidence: Record<string, unknown> }[];
  /** Versions that it has let go and whose processes are being stopped. */
  stopping: string[];
  /** Of the version that this swap let go, once it is released. */
  receipt: Receipt | null;
}

/** A certificate that connections to backends use; its content is not shown. */
export interface PemView {
  /** As the configuration names it; null = given inline. */
  file: string | null;
  fingerprint: string;
  expiresAt: string;
}

export interface BackendTlsView {
  verify: boolean;
  /** null = the host of each backend. */
  servername: string | null;
  minVersion: string;
  /** null = the authorities of the system. */
  ca: PemView | null;
  /** What is shown to backends; null = nothing. */
  certificate: PemView | null;
}

/** A certificate of an ACME authority. */
export interface AcmeView {
  directory: string;
  /** `waiting` = a self-signed one is shown until there is one. */
  state: 'waiting' | 'ordering' | 'issued';
  /** Why the last try failed; null = it did not. */
  problem: string | null;
  /** Tries that have failed since the last success. */
  failures: number;
  /** When it is asked for next. */
  nextAt: string;
}

/** A certificate that a listener shows. */
export interface CertificateView {
  /** Address as the configuration says it. */
  listener: string;
  /** DNS names and IP addresses. */
  names: string[];
  subject: string;
  issuer: string;
  notBefore: string;
  notAfter: string;
  /** SHA-256. */
  fingerprint: string;
  keyType: string;
  /** As the configuration names it; null = inline. */
  file: string | null;
  /** When this one was put in force, and when its files were last read. */
  loadedAt: string;
  triedAt: string;
  /** Why what its files hold now is not in force; null = it is. */
  refused: string | null;
  /** How it stands with one that renews itself; null = it is from files. */
  acme: AcmeView | null;
}

export interface ReloadView {
  /** Certificates that were replaced. */
  reloaded: number;
  /** Those that stay, and why. */
  refused: { file: string | null; reason: string }[];
  certificates: CertificateView[];
}

export interface UpstreamView {
  name: string;
  kind: UpstreamKind;
  /** How its backends are spoken to. */
  protocol: 'http1' | 'h2';
  tls: BackendTlsView | null;
  revision: number;
  split: Record<string, number>;
  held: boolean;
  /** Requests that wait at the door. */
  waiting: number;
  /** Requests are turned away, by the upstream's own word; routes may say otherwise. */
  maintenance: boolean;
  versions: VersionView[];
  swap: SwapView | null;
  /** A deploy that starts its processes, and has not come to its swap; null = none. */
  deploy: DeployView | null;
}

export type { Explanation };
export type { DeployRequest, DeployView, LaunchView, OutputAsk, OutputOf, OutputView, ProcessView } from './deploy-views.ts';

export type Goal = 'admitted' | 'live' | 'drained' | 'released' | Phase;

export interface LoggedEvent extends SwitchyardEvent {
  /** Rises by one with each event of a run of the proxy; `<run>-<n>`. */
  id: string;
  at: string;
}

/** Who calls, and on what condition. */
export interface Caller {
  by: string;
  /** From If-Match: refuse with `stale` unless this is the revision of the upstream, or of the configuration. */
  ifMatch?: number;
}

/** What a swap would do. */
export interface Plan {
  dryRun: true;
  upstream: string;
  from: string | null;
  to: string;
  steps: string[];
}

/** A new version: by its backends, or by the members of its workers. */
export interface VersionAsk {
  readonly id: string;
  readonly backends?: VersionInput['backends'];
  readonly members?: MembersInput;
}

export interface SwapAsk extends SwapRequest {
  readonly members?: MembersInput;
}

/**
 * Everything an operator can do; the admin API is a thin skin over it. Every method throws a Refusal
 * (errors/catalogue.ts) for what cannot be done, and then nothing has changed.
 */
export interface Operations {
  upstreams(): UpstreamView[];
  upstream(name: string): UpstreamView;
  /** Declares or changes structure; `spec` is an upstream of the configuration file, validated here. */
  putUpstream(name: string, spec: unknown, caller: Caller): Promise<{ created: boolean; view: UpstreamView }>;
  deleteUpstream(name: string, caller: Caller): Promise<void>;
  versions(name: string): VersionView[];
  version(name: string, id: string): VersionView;
  register(name: string, input: VersionAsk, caller: Caller): Promise<{ created: boolean; view: VersionView }>;
  /** Drains and releases a version that is not live. */
  removeVersion(name: string, id: string, caller: Caller): Promise<VersionView>;
  /** Starts a swap; `started` false = the version is live already, or this very swap is running, and nothing was changed. */
  swap(name: string, request: SwapAsk, caller: Caller): Promise<{ started: boolean; view: SwapView }>;
  planSwap(name: string, request: SwapAsk, caller: Caller): Plan;
  /** Starts the processes of a version and swaps to it; `started` false = nothing was changed, as with `swap`. */
  deploy(name: string, request: DeployRequest, caller: Caller): Promise<{ started: boolean; view: DeployView }>;
  planDeploy(name: string, request: DeployRequest): Plan;
  /** Resolves when it is starting no longer, or after `waitMs`. */
  deployById(id: string, waitMs: number): Promise<DeployView>;
  /** What processes of a version have printed last, or since. */
  output(name: string, id: string, ask: OutputAsk, signal: AbortSignal): Promise<OutputView>;
  rollback(name: string, to: string | null, caller: Caller): Promise<SwapView>;
  steer(name: string, verb: 'promote' | 'pause' | 'resume' | 'abort', caller: Caller): Promise<SwapView>;
  /** The running or last swap. */
  lastSwap(name: string): SwapView;
  swapById(id: string): SwapView;
  setSplit(name: string, weights: Record<string, number>, caller: Caller): Promise<UpstreamView>;
  hold(name: string, held: boolean, caller: Caller): Promise<UpstreamView>;
  /** Takes one backend of a live version out of the rotation until its version goes (an operator's soft stop). */
  drainBackend(name: string, address: string, caller: Caller): Promise<UpstreamView>;
  receipt(name: string, id: string): Receipt;
  explain(name: string, id: string | null): Explanation;
  /** Resolves when the version has reached the goal, can never reach it, or the time is up. */
  waitFor(name: string, id: string, goal: Goal, timeoutMs: number, signal: AbortSignal): Promise<{ reached: boolean; view: VersionView }>;
  /** Events after `id` that are still remembered (bounded), oldest first; `complete` false = some were forgotten. */
  eventsAfter(id: string | null): { events: LoggedEvent[]; complete: boolean };
  onEvent(listener: (event: LoggedEvent) => void): () => void;
  /** The structure that is in force, and where it differs from its source. */
  configuration(): ConfigView;
  /** What putting a document (the shape of the file) in force would change; `prune` = upstreams that it does not name go. */
  planConfig(document: unknown, prune: boolean): ConfigPlan;
  /** Puts a document in force as a whole; answers with what was changed, and the revision that it is now. */
  applyConfig(document: unknown, prune: boolean, caller: Caller): Promise<ConfigPlan>;
  /** Newest first. */
  history(query: { upstream?: string; limit: number; before?: number }): HistoryEntry[];
  historyEntry(id: number): HistoryEntry;
  /** Brings back what was after a change, or before a swap or deploy, as a new change. */
  undo(ask: UndoAsk, caller: Caller): Promise<UndoView>;
  webhooks(): WebhookView[];
  /** Tries at once what waits for a webhook, and once more what was given up; `again` says how many that were. */
  redeliver(name: string): { again: number; view: WebhookView };
  /** The members of a worker upstream. */
  members(name: string): MemberView[];
  /** Takes the report of a member and answers what it is to do: at once, or, while it follows that already, within `waitMs`. */
  report(name: string, member: string, report: Report, waitMs: number, signal: AbortSignal): Promise<OrderView>;
  /** A member will not come back; `instance` null = the newest of that name. */
  leave(name: string, member: string, instance: string | null): void;
  certificates(): CertificateView[];
  /** Reads the files of all certificates again; resolves when all data threads show what was good. */
  reloadCertificates(caller: Caller): Promise<ReloadView>;
  ready(): { ready: boolean; why: string };
}
