import type { AnalysisPolicy } from './analysis.ts';
import type { Gates } from './gates.ts';
import type { Split } from './split.ts';
import type { Version } from './version.ts';

/** One thing that has happened in a swap, with the facts that decided it. */
export interface SwapStep {
  /** `requested`, `admitted`, `weight 25`, `paused`, `live`, `draining`, `drained`, `released`, `rolled-back`, … */
  readonly name: string;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly evidence: Readonly<Record<string, unknown>>;
}

export interface CanaryStep {
  /** Percent, 1–99. */
  readonly weight: number;
  /** Milliseconds to stay at that weight; null = until promoted. */
  readonly hold: number | null;
}

/** What has been counted of one or several versions since the proxy was started. */
export interface Sample {
  /** Requests that were sent to a backend. */
  readonly started: number;
  /** Those of them that were answered, WebSockets apart. */
  readonly requests: number;
  /** Of the answered ones: 5xx of a backend, 502 and 504 of the proxy, and answers that broke off. Not what clients gave up. */
  readonly errors: number;
  /** How long the answered ones took, without event streams; as in ledger/layout.ts. */
  readonly bins: readonly number[];
}

/** The incoming version and those that had the traffic before, at one instant. */
export interface Samples {
  readonly incoming: Sample;
  readonly stable: Sample;
}

/** The time in which the present canary step is judged. */
export interface Window {
  /** Epoch milliseconds. */
  readonly since: number;
  /** As it stood then: what is judged is what has come since. */
  readonly base: Samples;
  /** As it stood when the warm-up was over: latencies count from there; null until it is. */
  readonly warm: Samples | null;
  /** It could not be judged when the hold was over, and is held longer. */
  readonly extended: boolean;
  /** The last answer of the Prometheus server; null before the first. */
  readonly checked: Checked | null;
}

export interface Checked {
  /** null = there was none. */
  readonly value: number | null;
  /** Why there is no value. */
  readonly problem: string | null;
}

/**
 * State of a swap. Running: admitting → standby → cutting-over → draining → done.
 * A failure before the last step goes through `rolling-back` (the incoming version drains) to
 * `rejected` (never admitted), `rolled-back` or `aborted`. `done`, `rejected`, `rolled-back` and `aborted` are final.
 */
export type SwapState = 'admitting' | 'standby' | 'cutting-over' | 'draining' | 'rolling-back' | 'done' | 'rejected' | 'rolled-back' | 'aborted';

const FINAL: readonly SwapState[] = ['done', 'rejected', 'rolled-back', 'aborted'];

/** Whether a swap in this state has ended. */
export function isFinished({ state }: { readonly state: SwapState }): boolean {
  return FINAL.includes(state);
}

export interface Swap {
  readonly id: string;
  readonly kind: 'seed' | 'swap' | 'rollback';
  /** Versions that lose their traffic; the first is shown as `from`. Empty when nothing was live. */
  readonly from: readonly string[];
  readonly to: string;
  readonly state: SwapState;
  readonly paused: boolean;
  /** Atomic is a canary without steps before the last, which always is 100. */
  readonly canary: readonly CanaryStep[];
  /** Next canary step to take; canary.length = the cutover to 100. */
  readonly at: number;
  /** When the present split was published: the hold counts from it. Epoch milliseconds; null until it is. */
  readonly publishedAt: number | null;
  /** How its steps are judged; null = they are not. */
  readonly analysis: AnalysisPolicy | null;
  /** Set while a canary step is judged. */
  readonly window: Window | null;
  /** The machine was restarted: until then the incoming version may be away, and its step is neither held nor judged. Epoch milliseconds; null = it is not awaited. */
  readonly recoverBy: number | null;
  /** The gates at the point that the swap is at; null = none has been asked there. */
  readonly gates: Gates | null;
  readonly steps: readonly SwapStep[];
  readonly requestedBy: string;
  readonly requestedAt: number;
  /** Milliseconds; null = no limit (seeds). */
  readonly admissionTimeout: number | null;
  readonly minReady: number | null;
  readonly drain: { readonly requests: number; readonly tunnels: number };
  /** Milliseconds the outgoing version is kept for a rollback. */
  readonly keep: number;
  /** Final state that a swap in `rolling-back` goes to; null otherwise. */
  readonly outcome: 'rejected' | 'rolled-back' | 'aborted' | null;
  /** Why it ended as it did; null while running or done. */
  readonly reason: string | null;
  /** The split to go back to. */
  readonly before: Split;
}

/** Proof that a version may be destroyed. Times are ISO 8601 in JSON, null when there was no request. */
export interface Receipt {
  readonly upstream: string;
  /** Of workers, requests are leases and threads are members; what is killed is `http`. */
  readonly kind: 'web' | 'worker';
  readonly version: string;
  readonly releasedAt: string;
  /** Generation of the cutover that left the version without weight; every ack below is at least it. */
  readonly generation: number;
  readonly admitted: { readonly healthy: number; readonly of: number };
  readonly firstRequestAt: string | null;
  readonly lastRequestAt: string | null;
  readonly counts: {
    readonly started: number;
    readonly completed: number;
    readonly clientAborted: number;
    readonly upstreamFailed: number;
    readonly killed: number;
  };
  readonly killedByKind: { readonly http: number; readonly stream: number; readonly tunnel: number };
  /** Copies of requests for another version, beside those that are counted above. */
  readonly mirrored: number;
  readonly peakInFlight: number;
  readonly drainMs: number;
  /** Generation acked by each data thread when the version was released. */
  readonly acks: Readonly<Record<string, number>>;
  /** Counting began here: later than the version's start when the proxy was restarted in between. */
  readonly countedSince: string;
}

/** All that is decided about an upstream's versions: what the journal keeps. */
export interface UpstreamState {
  readonly name: string;
  /** Raised by every change; the ETag. */
  readonly revision: number;
  readonly changedBy: string;
  readonly changedAt: number;
  readonly held: boolean;
  readonly split: Split;
  /** In the order of their registration, oldest first. Final ones are in `history`. */
  readonly versions: readonly Version[];
  /** The running or last swap. */
  readonly swap: Swap | null;
  /** The last 10 versions that were released or rejected, newest last. */
  readonly history: readonly PastVersion[];
}

/** An upstream before its first version. */
export function emptyUpstream(name: string, now: number): UpstreamState {
  return { name, revision: 0, changedBy: 'switchyard', changedAt: now, held: false, split: [], versions: [], swap: null, history: [] };
}

export interface PastVersion {
  readonly version: Version;
  readonly receipt: Receipt | null;
  /** Why it was rejected; null for released ones. */
  readonly reason: string | null;
}
