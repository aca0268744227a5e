import type { Rotation } from '../balance/rotation.ts';
import type { PageSet } from '../http/pages.ts';
import type { EdgePolicy, UpstreamPolicy } from '../pool/policy.ts';
import type { RouteMap } from './routes.ts';
import type { CompiledMaintenance } from './rules.ts';
import type { Steering } from './steering.ts';
import type { UpstreamConnection } from './upstream.ts';
import type { Way } from './way.ts';

/** A backend as a data thread knows it; lives as long as its slot, across tables. */
export class BackendTarget {
  readonly slot: number;
  readonly address: string;
  readonly host: string;
  readonly port: number;
  /** null = plain TCP, and HTTP/1.1 over it. */
  readonly way: Way | null;
  /** Idle connections, the most recently used last. */
  readonly idle: UpstreamConnection[] = [];
  /** Idle connections that carry requests of one client connection only. */
  readonly bound = new Set<UpstreamConnection>();
  /** No table names it any more: its connections are closed as they come back. */
  retired = false;

  constructor(slot: number, address: string, host: string, port: number, way: Way | null = null) {
    this.slot = slot;
    this.address = address;
    this.host = host;
    this.port = port;
    this.way = way;
  }
}

export interface VersionTarget {
  readonly id: string;
  readonly slot: number;
  /** 0 = it gets nothing by the split. */
  readonly weight: number;
  readonly backends: readonly BackendTarget[];
  readonly rotation: Rotation;
  /** Field lines by which answers say that they are of it, and the one that pins a client to it; '' = none. */
  readonly says: string;
  readonly pin: string;
}

/** What a thread is doing for an upstream; lives across tables. */
export interface UpstreamLoad {
  active: number;
  retrying: number;
}

export interface UpstreamTarget {
  readonly name: string;
  readonly slot: number;
  readonly policy: UpstreamPolicy;
  readonly held: boolean;
  /** Versions with weight, newest first. */
  readonly live: readonly VersionTarget[];
  /** Upper end of each live version's buckets. */
  readonly ends: readonly number[];
  /** Seed of the split's hash. */
  readonly seed: number;
  readonly load: UpstreamLoad;
  /** null = the split alone decides. */
  readonly steering: Steering | null;
  readonly maintenance: CompiledMaintenance | null;
  /** null = it has none of its own. */
  readonly pages: PageSet | null;
}

/** The compiled table: immutable. A request reads the reference once. */
export interface CompiledTable {
  readonly generation: number;
  readonly routes: RouteMap;
  readonly upstreams: ReadonlyMap<string, UpstreamTarget>;
  readonly edge: EdgePolicy;
  /** null = none. */
  readonly pages: PageSet | null;
  /** Something in it may say the id of a request: rules, pages. */
  readonly usesIds: boolean;
}
