import type { Phase } from './phase.ts';
import type { EdgePolicy, UpstreamPolicy } from './policy.ts';
import type { Reach } from './reach.ts';
import type { RouteRules } from './rules.ts';

/**
 * The table: the frozen snapshot the data plane works from. The control plane publishes it as deltas
 * (what changed since the generation before); each data thread compiles it beside the current one.
 */
export interface TableBackend {
  readonly slot: number;
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly weight: number;
}

export interface TableVersion {
  readonly id: string;
  readonly slot: number;
  readonly phase: Phase;
  /** 0 for a version that gets nothing by the split: on standby (its sockets are warmed), or open to sessions of before. */
  readonly weight: number;
  readonly reach: Reach;
  readonly backends: readonly TableBackend[];
}

export interface TableUpstream {
  readonly name: string;
  /** Row in the ledger: requests that wait at the door. */
  readonly slot: number;
  readonly policy: UpstreamPolicy;
  readonly held: boolean;
  /** Newest first (see pool/split.ts). Only versions with weight, on standby, or open. */
  readonly versions: readonly TableVersion[];
}

export interface TableRoute {
  readonly host: string;
  readonly path: string;
  readonly upstream: string;
  /** null = it is only forwarded. */
  readonly rules: RouteRules | null;
}

export interface TableDelta {
  readonly generation: number;
  /** Upstreams that are new or changed, whole. Unchanged ones keep their compiled objects. */
  readonly upstreams: readonly TableUpstream[];
  readonly removed: readonly string[];
  /** null = unchanged. */
  readonly routes: readonly TableRoute[] | null;
  readonly edge: EdgePolicy | null;
}
