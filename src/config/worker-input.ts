import type { LaunchInput } from './_launch-input.ts';
import type { AnalysisInput, GateInput } from './canary-input.ts';
import type { Duration, VersionInput } from './input.ts';

/** Members by number (`v2-1`, `v2-2`, …) or by name; by address where they are polled. */
export type WorkerVersionInput = { members: number | readonly string[] } | VersionInput;

/** Workers of a queue: they take jobs, and report what they have in hand. Also the body of `PUT /v1/upstreams/{u}`. */
export interface WorkerUpstreamInput {
  kind: 'worker';
  worker?: {
    /** After so long without a report a member is presumed dead; default 15s. */
    ttl?: Duration;
    /** What a member has in hand so long after it was told to stop is counted as killed; default 10s. */
    stop?: Duration;
    /** Of all versions together; default 1000. */
    maxMembers?: number;
    /** Members do not report, they are asked: POST to this path of each, every `interval` (1s), answered within `timeout` (5s). */
    poll?: { path: string; interval?: Duration; timeout?: Duration } | null;
  };
  /** A version must be ready within `timeout` (30s): `minReady` of its declared members (default: all). */
  admission?: { timeout?: Duration; minReady?: number | null };
  /** How long the members of an outgoing version may finish what they have in hand, before they are told to stop; default 5m. */
  drain?: { requests?: Duration };
  /** How long an outgoing version is kept for a rollback; default 0: released at once. */
  rollback?: { keep?: Duration };
  /** Steps of swaps that name none (default: none, all members at once), and how they are judged: by the jobs that failed. See docs/canary.md. */
  canary?: { steps?: readonly { weight: number; hold?: Duration | null }[]; analysis?: boolean | Omit<AnalysisInput, 'p99MsMax'> };
  /** Who is asked before a swap goes on, in this order: see docs/gates.md. */
  gates?: readonly GateInput[];
  /** How versions of it are started, unless a deploy says otherwise; `replicas` are its members. */
  launch?: LaunchInput | null;
  /** Seeds an upstream that has no state yet; later versions come by `swap`. */
  versions?: Readonly<Record<string, WorkerVersionInput>>;
  /** The version that may take work at first; needed when there are several. */
  live?: string | null;
}
