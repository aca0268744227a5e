import type { BackendHealth, Probe } from '../health/evidence.ts';
import type { Counts } from '../ledger/control.ts';
import type { AnalysisPolicy, PrometheusCheck } from '../pool/analysis.ts';
import type { EventType } from '../pool/events.ts';
import type { GatePoint, GatePolicy } from '../pool/gates.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import type { CanaryStep, Checked, Sample, SwapStep, UpstreamState } from '../pool/upstream.ts';
import type { Backend, Version } from '../pool/version.ts';

export type { BackendHealth, Probe };

export type { EventType };

export interface SwitchyardEvent {
  readonly type: EventType;
  readonly upstream: string | null;
  readonly version: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What the life of a swap needs from the world. The simulation gives it a fake one. */
export interface SwapPorts {
  /** Epoch milliseconds. */
  now(): number;
  /** Calls `run` once after `ms`; the answer cancels it. */
  after(ms: number, run: () => void): () => void;
  /**
   * Appends the state to the journal, with the events that will be emitted once it is acted on; returns when it is on disk. Throws when
   * it cannot be written: then nothing is acted on.
   */
  record(state: UpstreamState, why: string, events: readonly SwitchyardEvent[]): void;
  /** Makes this state's split, hold and versions, under this policy, the committed generation. Resolves with it once the generation is stored. */
  publish(state: UpstreamState, policy: UpstreamPolicy): Promise<number>;
  /** Resolves once every data thread has acked this generation; the acks by thread. */
  acked(generation: number): Promise<Record<string, number>>;
  /**
   * How the backends of a version are probed from now on. `admitting`: at once, then every admitInterval;
   * `fresh`: one quick round for a version that was admitted before (rise 1); `steady`: every interval.
   * Each call forgets nothing of the evidence but, for `admitting` and `fresh`, begins the run of passes anew.
   */
  probe(version: Version, mode: 'admitting' | 'fresh' | 'steady' | 'off', policy: UpstreamPolicy): void;
  health(version: Version): ReadonlyMap<string, BackendHealth>;
  /** What the backends of a version have printed last, by address, as far as it is known here. */
  said?(version: Version): ReadonlyMap<string, readonly string[]>;
  /**
   * Lets the data plane use these backends of the version (subject to their health), from now on. Called once a version when it
   * is admitted, again when a backend passes later, and after a restart. A backend that was never trusted gets no traffic, fail open included.
   */
  trust(version: Version, addresses: readonly string[], policy: UpstreamPolicy): void;
  counts(version: Version): Counts;
  peak(version: Version): number;
  /** What the data plane has counted of its answers. */
  sample(version: Version): Sample;
  /** True when no data thread has anything of this version in flight. */
  idle(version: Version): boolean;
  /** Asks a gate once. One that cannot be reached, or does not answer as it should, has said `wait`. */
  askGate(gate: GatePolicy, question: GateQuestion, signal: AbortSignal): Promise<GateAnswer>;
  /** Asks a Prometheus server once. No answer is one without a value. */
  measure(check: PrometheusCheck, about: MeasuredNames, signal: AbortSignal): Promise<Checked>;
  /** Cuts what is in flight: requests at once; streams and tunnels politely, spread over `spreadMs`, then hard. */
  cut(version: Version, kind: 'requests' | 'tunnels', spreadMs: number): void;
  /** Ledger rows for a new version: one a backend and one more for the version. null = there are no more. */
  takeSlots(count: number): number[] | null;
  /** Frees the rows of a final version, once nobody can write to them. */
  freeSlots(version: Version): void;
  /** Gives back rows that no version has come to hold. */
  giveBackSlots(slots: readonly number[]): void;
  /** `error` events tell of failures that are tried again. */
  emit(event: SwitchyardEvent): void;
}

/** What a gate is asked. */
export interface GateQuestion {
  /** The same for every question about this wait. */
  readonly id: string;
  readonly gate: string;
  readonly before: GatePoint;
  readonly upstream: string;
  /** The incoming version; before a release, the one to be released. */
  readonly version: string;
  /** ISO 8601. */
  readonly since: string;
  readonly until: string;
  readonly swap: {
    readonly id: string;
    readonly from: readonly string[];
    readonly to: string;
    readonly state: string;
    readonly requestedBy: string;
    /** Percent that the incoming version has now. */
    readonly weight: number;
  } | null;
  /** Percent that the step would give it; null where it is about no step. */
  readonly nextWeight: number | null;
  /** The last thing that happened in the swap, with its evidence: the judgement of the step before, for one. */
  readonly lastStep: SwapStep | null;
}

export interface GateAnswer {
  readonly decision: 'pass' | 'wait' | 'stop';
  readonly reason: string;
}

export interface MeasuredNames {
  readonly upstream: string;
  readonly version: string;
  readonly stable: string;
}

/** A new version as the deployer names it. */
export interface VersionInput {
  readonly id: string;
  readonly backends: readonly Omit<Backend, 'slot'>[];
}

export interface SwapRequest {
  readonly to: string;
  /** Needed unless the version is registered already. */
  readonly backends?: VersionInput['backends'];
  /** Instead of the upstream's; empty = atomic. */
  readonly canary?: readonly CanaryStep[];
  /** How its steps are judged: what is said here goes before what the upstream says; false = they are not. */
  readonly analysis?: Partial<AnalysisPolicy> | boolean;
  readonly admission?: { readonly timeout?: number; readonly minReady?: number };
  readonly drain?: { readonly requests?: number; readonly tunnels?: number };
  readonly keep?: number;
  /** Facts of the processes that were started for it: they are its first step. */
  readonly started?: Readonly<Record<string, unknown>>;
}
