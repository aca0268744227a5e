import type { Fault } from '../errors/catalogue.ts';
import type { Rotation } from '../balance/rotation.ts';
import type { PageSet } from '../http/pages.ts';
import type { EdgePolicy, UpstreamPolicy } from '../pool/policy.ts';
import type { RouteMap } from './routes.ts';
import type { CompiledMaintenance } from './rules.ts';
import type { Mirror } from './mirror.ts';
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
  /** Most open connections to it, over all threads, and how many of them this thread may keep idle then. */
  sockets = Infinity;
  share = Infinity;
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
  /** What a cookie calls its backends; empty = no cookie does. */
  readonly marks: readonly string[];
}

/** What a thread is doing for an upstream; lives across tables. */
export interface UpstreamLoad {
  active: number;
  retrying: number;
  /** Requests that wait. */
  waiting: number;
  /** Copies of requests under way. */
  mirrored: number;
}

/** Where requests wait, and what they are told when there is no room, and when their time is over. */
export interface WaitingRoom {
  /** Over all threads. */
  readonly most: number;
  readonly timeout: number;
  readonly full: Fault;
  readonly late: Fault;
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
  /** While it is held or has nothing to offer; and while its backends are at their limits, null = then nobody waits. */
  readonly door: WaitingRoom;
  readonly queue: WaitingRoom | null;
  /** null = the split alone decides. */
  readonly steering: Steering | null;
  /** null = nothing is copied, or there is nowhere to copy it to. */
  readonly mirror: Mirror | null;
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
