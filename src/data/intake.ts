import { isDeepStrictEqual } from 'node:util';
import { REJECT } from '../errors/catalogue.ts';
import { Rotation } from '../balance/rotation.ts';
import { BUCKETS, hashText } from '../pool/split.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import type { TableDelta, TableUpstream, TableVersion } from '../pool/table.ts';
import { PageSet } from '../http/pages.ts';
import type { ErrorPages } from '../pool/rules.ts';
import { RouteMap } from '../proxy/routes.ts';
import { CompiledMaintenance } from '../proxy/rules.ts';
import { Mirror } from '../proxy/mirror.ts';
import { Steering, backendMark, isSteered, pinLine, versionLines } from '../proxy/steering.ts';
import { BackendTarget } from '../proxy/targets.ts';
import type { CompiledTable, UpstreamLoad, UpstreamTarget, VersionTarget } from '../proxy/targets.ts';
import { makeWays } from './ways.ts';
import type { CountSockets, Ways } from './ways.ts';

/** A compiled table and what has to be done when the thread moves to it. */
export interface Prepared {
  readonly table: CompiledTable;
  /** Backends that no version of the new table has: their idle connections go. */
  readonly retired: readonly BackendTarget[];
  /** Backends of versions that wait on standby: their connections are opened ahead. */
  readonly warm: readonly BackendTarget[];
}

/** How the backends of an upstream are spoken to. */
interface Link extends Pick<UpstreamPolicy, 'tls' | 'protocol'> {
  readonly ways: Ways | null;
}

/** Turns deltas into compiled tables. What did not change keeps its objects: balancer state, idle connections, counts. */
export class Intake {
  private readonly backends = new Map<number, BackendTarget>();
  private readonly loads = new Map<string, UpstreamLoad>();
  private readonly ways = new Map<string, Link>();
  private readonly slotsOf = new Map<string, readonly number[]>();
  private last: CompiledTable | null = null;
  private readonly count: CountSockets;

  private readonly threads: number;

  constructor(count: CountSockets, threads = 1) {
    this.count = count;
    this.threads = threads;
  }

  /** The first delta holds everything. */
  compile(delta: TableDelta): Prepared {
    const upstreams = new Map(this.last?.upstreams);
    const retired: BackendTarget[] = [];
    const warm: BackendTarget[] = [];
    for (const name of delta.removed) {
      upstreams.delete(name);
      this.loads.delete(name);
      this.ways.delete(name);
      this.retire(name, new Set(), retired);
      this.slotsOf.delete(name);
    }
    for (const upstream of delta.upstreams) {
      const slots = upstream.versions.flatMap((version) => version.backends.map((backend) => backend.slot));
      this.retire(upstream.name, new Set(slots), retired);
      this.slotsOf.set(upstream.name, slots);
      this.relink(upstream, retired);
      upstreams.set(upstream.name, this.upstream(upstream));
      // A connection that has to name its client cannot be opened ahead of it.
      const ahead = upstream.policy.proxyProtocol === false && (upstream.policy.limits.sockets ?? Infinity) >= this.threads;
      for (const version of upstream.versions) if (ahead && version.phase === 'standby') warm.push(...this.targets(version, upstream));
    }
    const edge = delta.edge ?? this.last?.edge;
    if (edge === undefined) throw new Error('the first table has no edge policy');
    const routes = delta.routes === null && this.last !== null ? this.last.routes : new RouteMap(delta.routes ?? []);
    const pages = delta.edge === null && this.last !== null ? this.last.pages : pageSet(edge.errorPages);
    const usesIds = routes.ruled || pages !== null || [...upstreams.values()].some((upstream) => upstream.pages !== null || upstream.maintenance !== null);
    this.last = { generation: delta.generation, routes, upstreams, edge, pages, usesIds };
    return { table: this.last, retired, warm };
  }

  private retire(name: string, kept: ReadonlySet<number>, into: BackendTarget[]): void {
    for (const slot of this.slotsOf.get(name) ?? []) {
      const target = this.backends.get(slot);
      if (kept.has(slot) || target === undefined) continue;
      this.backends.delete(slot);
      into.push(target);
    }
  }

  private upstream(spec: TableUpstream): UpstreamTarget {
    const doors = spec.versions.filter(({ weight, reach }) => weight > 0 || reach.pins || reach.assets || reach.preview || reach.mirror);
    const targets = doors.map((version) => ({ target: this.version(version, spec), reach: version.reach }));
    const live = targets.map(({ target }) => target).filter(({ weight }) => weight > 0);
    let end = 0;
    const ends = live.map((version) => (end += (version.weight * BUCKETS) / 100));
    const load = this.loads.get(spec.name) ?? { active: 0, retrying: 0, waiting: 0, mirrored: 0 };
    this.loads.set(spec.name, load);
    const { name, slot, policy, held } = spec;
    const maintenance = policy.maintenance === null ? null : new CompiledMaintenance(policy.maintenance);
    const { hold, limits } = policy;
    const door = { most: hold.queue, timeout: hold.timeout, full: REJECT.holdFull, late: REJECT.holdTimeout };
    const queue = limits.queue && { most: limits.queue.requests, timeout: limits.queue.timeout, full: REJECT.queueFull, late: REJECT.queueTimeout };
    const shadow = targets.find(({ reach }) => reach.mirror)?.target ?? null;
    const mirror = policy.mirror === null || shadow === null ? null : new Mirror(policy.mirror, shadow, this.threads);
    const steering = isSteered(policy) ? new Steering(policy, targets) : null;
    return { name, slot, policy, held, live, ends, seed: hashText(name), load, door, queue, steering, mirror, maintenance, pages: pageSet(policy.errorPages) };
  }

  private version(spec: TableVersion, upstream: TableUpstream): VersionTarget {
    const { balance, limits } = upstream.policy;
    const backends = this.targets(spec, upstream);
    for (const backend of backends) {
      backend.sockets = limits.sockets ?? Infinity;
      backend.share = limits.sockets === null ? Infinity : Math.floor(limits.sockets / this.threads);
    }
    return {
      id: spec.id,
      slot: spec.slot,
      weight: spec.weight,
      backends,
      rotation: new Rotation(
        spec.backends,
        balance,
        limits,
        backends.map(({ idle }) => idle),
      ),
      says: versionLines(upstream.policy, spec.id),
      pin: pinLine(upstream.policy, spec.id),
      marks: upstream.policy.sticky.backend === null ? [] : spec.backends.map(({ address }) => backendMark(spec.id, address)),
    };
  }

  /** When its backends are spoken to in another way from now on, those known so far go with their connections. */
  private relink({ name, policy: { tls, protocol } }: TableUpstream, retired: BackendTarget[]): void {
    const known = this.ways.get(name);
    if (known !== undefined && known.protocol === protocol && isDeepStrictEqual(known.tls, tls)) return;
    this.ways.set(name, { tls, protocol, ways: makeWays(tls, protocol, this.count) });
    if (known !== undefined) this.retire(name, new Set(), retired);
  }

  private targets(version: TableVersion, upstream: TableUpstream): BackendTarget[] {
    const { ways } = this.ways.get(upstream.name)!;
    return version.backends.map(({ slot, address, host, port }) => {
      const known = this.backends.get(slot);
      if (known !== undefined) return known;
      const target = new BackendTarget(slot, address, host, port, ways?.(slot, host, port) ?? null);
      this.backends.set(slot, target);
      return target;
    });
  }
}

function pageSet(pages: ErrorPages): PageSet | null {
  return Object.keys(pages).length === 0 ? null : new PageSet(pages);
}
