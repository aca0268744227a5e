import type { Counts } from '../ledger/control.ts';
import type { BackendTls, PemSource } from '../pool/backend-tls.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import { weightOf, splitRecord } from '../pool/split.ts';
import { isFinished } from '../pool/upstream.ts';
import type { PastVersion, Receipt, Swap, UpstreamState } from '../pool/upstream.ts';
import type { Backend, Version } from '../pool/version.ts';
import type { BackendHealth, Probe } from '../swap/ports.ts';
import { stageEndsAt } from '../swap/stage.ts';
import type { Verdict } from '../swap/verdict.ts';
import type { BackendTlsView, BackendView, GateView, MemberView, PemView, ProbeView, SwapView, UpstreamKind, UpstreamView, VersionView } from './operations.ts';

/** What the views are made of beside the state. */
export interface Observed {
  counts(version: Version): Counts;
  backendCounts(version: Version, backend: Backend): Counts;
  available(version: Version, backend: Backend): boolean;
  members(version: Version): MemberView[];
  health(version: Version): ReadonlyMap<string, BackendHealth>;
  isEjected(version: Version, address: string): boolean;
  isStopped(version: Version, address: string): boolean;
  /** Requests that wait at the door of the upstream. */
  waiting(): number;
  /** What the running canary step has come to so far. */
  verdict(): Verdict | null;
  /** How it was launched, as operators see it. */
  launched(version: string): Pick<VersionView, 'launch' | 'processes'>;
  /** Versions whose processes are being stopped. */
  stopping(): readonly string[];
  /** What its operator has decided. */
  readonly policy: UpstreamPolicy;
}

export function upstreamView(state: UpstreamState, observed: Observed): Omit<UpstreamView, 'deploy'> {
  return {
    name: state.name,
    kind: kindOf(observed.policy),
    protocol: observed.policy.protocol,
    tls: tlsView(observed.policy.tls),
    revision: state.revision,
    split: splitRecord(state.split),
    held: state.held,
    waiting: observed.waiting(),
    maintenance: observed.policy.maintenance !== null,
    versions: state.versions.map((version) => versionView(state, version, observed)),
    swap: state.swap === null ? null : swapView(state, state.swap, observed),
  };
}

export function kindOf({ worker }: Pick<UpstreamPolicy, 'worker'>): UpstreamKind {
  return worker === null ? 'web' : 'worker';
}

function tlsView(tls: BackendTls | null): BackendTlsView | null {
  if (tls === null) return null;
  const { verify, servername, minVersion, ca, identity } = tls;
  return { verify, servername, minVersion, ca: pemView(ca), certificate: pemView(identity?.certificate ?? null) };
}

function pemView(source: PemSource | null): PemView | null {
  return source === null ? null : { file: source.file, fingerprint: source.fingerprint, expiresAt: iso(source.expires) };
}

export function versionView(state: UpstreamState, version: Version, observed: Observed): VersionView {
  const counts = observed.counts(version);
  return {
    id: version.id,
    phase: version.phase,
    weight: weightOf(state.split, version.id),
    inFlight: counts.inFlight + counts.mirroredInFlight,
    streams: counts.streams,
    tunnels: counts.tunnels,
    createdAt: iso(version.createdAt),
    openUntil: version.drain?.openUntil == null ? null : iso(version.drain.openUntil),
    keepUntil: version.drain?.keepUntil == null ? null : iso(version.drain.keepUntil),
    kind: kindOf(observed.policy),
    backends: version.backends.map((backend) => backendView(version, backend, observed)),
    members: observed.members(version),
    counts: countsOf(counts),
    reason: null,
    ...observed.launched(version.id),
  };
}

function backendView(version: Version, backend: Backend, observed: Observed): BackendView {
  const { address, weight } = backend;
  const counts = observed.backendCounts(version, backend);
  const health = observed.health(version).get(address);
  const probes = (health?.probes ?? []).map(probeView);
  return {
    address,
    weight,
    health: health?.health ?? 'unknown',
    available: observed.available(version, backend),
    ejected: observed.isEjected(version, address),
    stopped: observed.isStopped(version, address),
    inFlight: counts.inFlight,
    openSockets: counts.openSockets,
    requests: counts.started,
    lastProbe: probes.at(-1) ?? null,
    probes,
  };
}

function probeView({ at, ok, status, ms, error }: Probe): ProbeView {
  return { at: iso(at), ok, status, ms, error };
}

/** A version that is released or rejected: what is left of it. */
export function pastView({ version, receipt, reason }: PastVersion, kind: UpstreamKind): VersionView {
  return {
    id: version.id,
    phase: version.phase,
    weight: 0,
    inFlight: 0,
    streams: 0,
    tunnels: 0,
    createdAt: iso(version.createdAt),
    openUntil: null,
    keepUntil: null,
    kind,
    members: [],
    backends: version.backends.map(({ address, weight }) => ({
      address,
      weight,
      health: 'unknown',
      available: false,
      ejected: false,
      stopped: false,
      inFlight: 0,
      openSockets: 0,
      requests: 0,
      lastProbe: null,
      probes: [],
    })),
    counts: receipt?.counts ?? { started: 0, completed: 0, clientAborted: 0, upstreamFailed: 0, killed: 0 },
    reason,
    launch: null,
    processes: [],
  };
}

export function swapView(state: UpstreamState, swap: Swap, observed: Observed): SwapView {
  const finished = isFinished(swap);
  // What a swap lets go of: the versions before it, or its own when it went back.
  const gone = swap.state === 'done' || swap.state === 'draining' ? swap.from : [swap.to];
  const receipts = gone.map((id) => receiptSince(state, id, swap.requestedAt));
  const draining = state.versions.filter(({ id, phase }) => gone.includes(id) && (phase === 'draining' || phase === 'drained'));
  const before = swap.steps.reduce(
    (sum, { name, evidence }) => sum + ((name === 'draining' || name === 'open') && typeof evidence.killedBefore === 'number' ? evidence.killedBefore : 0),
    0,
  );
  const killed =
    draining.reduce((sum, version) => sum + observed.counts(version).killed, 0) +
    (finished ? receipts.reduce((sum, receipt) => sum + (receipt?.counts.killed ?? 0), 0) : 0);
  return {
    id: swap.id,
    upstream: state.name,
    kind: swap.kind,
    upstreamKind: kindOf(observed.policy),
    from: swap.from.at(0) ?? null,
    to: swap.to,
    state: swap.state,
    paused: swap.paused,
    finished,
    killed: Math.max(0, killed - before),
    weight: weightOf(state.split, swap.to),
    requestedBy: swap.requestedBy,
    reason: swap.reason,
    stageEndsAt: isoOrNull(stageEndsAt(state, swap)),
    verdict: finished || swap.id !== state.swap?.id ? null : observed.verdict(),
    gate: gateView(state, swap, finished),
    steps: swap.steps.map(({ name, at, evidence }) => ({ name, at: iso(at), evidence })),
    stopping: observed.stopping().filter((id) => swap.to === id || swap.from.includes(id)),
    receipt: draining.length > 0 ? null : (receipts.at(0) ?? null),
  };
}

/** The gate that a swap waits at; of a finished one, that of a version it has let go. */
function gateView(state: UpstreamState, swap: Swap, finished: boolean): GateView | null {
  if (swap.id !== state.swap?.id) return null;
  const released = state.versions.filter(({ id, phase }) => phase === 'drained' && swap.from.includes(id)).map(({ drain }) => drain?.gates ?? null);
  for (const gates of [finished ? null : swap.gates, ...released]) {
    const { waiting = null, stopped = null } = gates ?? {};
    if (stopped !== null) return { name: stopped.name, before: 'release', since: null, until: null, said: stopped.reason, stopped: true };
    if (waiting === null) continue;
    const { name, at, since, until, said } = waiting;
    return { name, before: at, since: iso(since), until: iso(until), said, stopped: false };
  }
  return null;
}

/** A version of that id may have been released before, with a receipt that is none of this swap's. */
function receiptSince(state: UpstreamState, id: string, since: number): Receipt | null {
  const receipt = state.history.findLast((past) => past.version.id === id)?.receipt ?? null;
  return receipt !== null && Date.parse(receipt.releasedAt) >= since ? receipt : null;
}

function countsOf({ started, completed, clientAborted, upstreamFailed, killed }: Counts): VersionView['counts'] {
  return { started, completed, clientAborted, upstreamFailed, killed };
}

function isoOrNull(at: number | null): string | null {
  return at === null ? null : iso(at);
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

/** The answer where there is no swap: the version is live already, and no swap has made it so. */
export function noSwapNeeded(upstream: string, upstreamKind: UpstreamKind, to: string): SwapView {
  return {
    id: '',
    upstream,
    kind: 'swap',
    upstreamKind,
    from: null,
    to,
    state: 'done',
    paused: false,
    finished: true,
    killed: 0,
    weight: 100,
    requestedBy: '',
    reason: `${to} is live already`,
    stageEndsAt: null,
    verdict: null,
    gate: null,
    steps: [],
    stopping: [],
    receipt: null,
  };
}
