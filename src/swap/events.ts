import type { BackendHealth } from '../health/evidence.ts';
import type { Counts } from '../ledger/control.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import type { Checked, Sample } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import type { SwapRequest, SwitchyardEvent, VersionInput } from './ports.ts';

/** What can happen to an upstream. `slots`: a ledger row for each backend and, last, one for the version as a whole. */
export type SwapEvent =
  | { readonly type: 'register'; readonly input: VersionInput; readonly slots: readonly number[]; readonly by: string }
  | { readonly type: 'seed'; readonly input: VersionInput; readonly slots: readonly number[]; readonly id: string; readonly by: string }
  | { readonly type: 'swap'; readonly request: SwapRequest; readonly slots: readonly number[]; readonly id: string; readonly by: string }
  | { readonly type: 'rollback'; readonly to: string | null; readonly id: string; readonly by: string }
  | { readonly type: 'promote' | 'pause' | 'resume' | 'abort'; readonly by: string }
  | { readonly type: 'split'; readonly weights: Readonly<Record<string, number>>; readonly by: string }
  | { readonly type: 'hold'; readonly held: boolean; readonly by: string }
  | { readonly type: 'remove'; readonly version: string; readonly by: string }
  /** The policy has changed; the new one is in the world. */
  | { readonly type: 'policy'; readonly by: string }
  /** A probe of a version has ended; the evidence is in the world. */
  | { readonly type: 'health'; readonly version: string }
  /** The present state is the committed generation. */
  | { readonly type: 'published'; readonly generation: number }
  /** Every data thread has acked `generation`. */
  | { readonly type: 'acked'; readonly generation: number; readonly acks: Readonly<Record<string, number>> }
  /** A draining version may have become idle. */
  | { readonly type: 'idle'; readonly version: string }
  /** A gate was asked; no answer is a wait. */
  | { readonly type: 'answered'; readonly key: string; readonly decision: 'pass' | 'wait' | 'stop'; readonly reason: string }
  /** The Prometheus server was asked, in the window that began then. */
  | { readonly type: 'measured'; readonly since: number; readonly checked: Checked }
  /** Something that is no decision has happened to a version; its swap remembers it as a step. */
  | { readonly type: 'noted'; readonly version: string; readonly step: string; readonly evidence: Readonly<Record<string, unknown>> }
  /** A deadline may have passed. */
  | { readonly type: 'tick' }
  /** The proxy has been started again, or the whole machine (`rebooted`). `slots` by version id: those of the old process are void. */
  | { readonly type: 'recovered'; readonly slots: Readonly<Record<string, readonly number[]>>; readonly rebooted: boolean };

/** What is to be done about it, as data. The driver does it after the state is on disk, in this order. */
export type Effect =
  | { readonly type: 'trust'; readonly version: Version; readonly addresses: readonly string[] }
  | { readonly type: 'probe'; readonly version: Version; readonly mode: 'admitting' | 'fresh' | 'steady' | 'off' }
  /** Publish the state, then feed `published` back. */
  | { readonly type: 'publish' }
  /** Await the acks of a generation, then feed `acked` back. */
  | { readonly type: 'watch'; readonly generation: number }
  | { readonly type: 'cut'; readonly version: Version; readonly kind: 'requests' | 'tunnels'; readonly spreadMs: number }
  | { readonly type: 'free'; readonly version: Version }
  | { readonly type: 'emit'; readonly event: SwitchyardEvent };

/** What the machine may look at when it decides: a snapshot, not a way to act. */
export interface World {
  /** Epoch milliseconds. */
  readonly now: number;
  readonly policy: UpstreamPolicy;
  /** Since when the ledger counts: the start of this process. Epoch milliseconds. */
  readonly startedAt: number;
  health(version: Version): ReadonlyMap<string, BackendHealth>;
  /** What its backends have printed last, by address; none when nothing is known of that. */
  said?(version: Version): ReadonlyMap<string, readonly string[]>;
  counts(version: Version): Counts;
  peak(version: Version): number;
  sample(version: Version): Sample;
  idle(version: Version): boolean;
}
