import type { ControlLedger } from '../ledger/control.ts';
import { parseAddress } from '../pool/address.ts';
import type { EdgePolicy, UpstreamPolicy } from '../pool/policy.ts';
import { isRoutable, reachOf } from '../pool/reach.ts';
import type { Reach } from '../pool/reach.ts';
import { weightOf } from '../pool/split.ts';
import type { TableDelta, TableRoute, TableUpstream, TableVersion } from '../pool/table.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import type { DataThreads } from './threads.ts';

/** Publishes tables: prepare on every thread, store the generation, wake them. One publish at a time; what comes meanwhile goes together in the next. */
export class Publisher {
  private readonly ledger: ControlLedger;
  private readonly upstreams = new Map<string, TableUpstream>();
  private edge: EdgePolicy;
  private changed = new Map<string, TableUpstream | null>();
  private edgeChanged: EdgePolicy | null = null;
  private waiting: { resolve: (generation: number) => void; reject: (error: unknown) => void }[] = [];
  private running = false;
  private gathering = false;
  /** Set once, before the first publish. */
  threads: DataThreads | null = null;

  constructor(ledger: ControlLedger, edge: EdgePolicy) {
    this.ledger = ledger;
    this.edge = edge;
  }

  /** The whole committed table. */
  committed(): TableDelta {
    return { generation: this.ledger.generation(), upstreams: [...this.upstreams.values()], removed: [], routes: this.routes(), edge: this.edge };
  }

  /** Publishes an upstream as it is now (null = it is gone). Resolves with the generation once that is stored. */
  publish(name: string, upstream: TableUpstream | null): Promise<number> {
    this.changed.set(name, upstream);
    return this.queue();
  }

  publishEdge(edge: EdgePolicy): Promise<number> {
    this.edgeChanged = edge;
    return this.queue();
  }

  /** Puts all that `run` asks to publish before the event loop goes on into one generation. */
  async together<T>(run: () => Promise<T>): Promise<T> {
    this.gathering = true;
    setImmediate(() => {
      this.gathering = false;
      this.go();
    });
    return run();
  }

  private queue(): Promise<number> {
    const done = new Promise<number>((resolve, reject) => this.waiting.push({ resolve, reject }));
    this.go();
    return done;
  }

  private go(): void {
    if (!this.running && !this.gathering && this.waiting.length > 0) void this.run();
  }

  private async run(): Promise<void> {
    this.running = true;
    while (this.waiting.length > 0 && !this.gathering) {
      const { waiting } = this;
      this.waiting = [];
      try {
        const generation = await this.next();
        for (const { resolve } of waiting) resolve(generation);
      } catch (error) {
        for (const { reject } of waiting) reject(error);
      }
    }
    this.running = false;
  }

  private async next(): Promise<number> {
    const { changed, edgeChanged, ledger } = this;
    this.changed = new Map();
    this.edgeChanged = null;
    const routesBefore = new Map([...changed.keys()].map((name) => [name, this.upstreams.get(name)?.policy.routes]));
    const before = new Map([...changed.keys()].map((name) => [name, this.upstreams.get(name)]));
    const edgeBefore = this.edge;
    const generation = ledger.generation() + 1;
    this.apply(changed);
    const upstreams = [...changed.values()].filter((upstream) => upstream !== null);
    const removed = [...changed].filter(([, upstream]) => upstream === null).map(([name]) => name);
    const moved = [...changed].some(([name, upstream]) => upstream?.policy.routes !== routesBefore.get(name));
    const delta: TableDelta = { generation, upstreams, removed, routes: moved ? this.routes() : null, edge: edgeChanged };
    // Until the store below, the committed table is the one before: a thread that is born now must begin with it.
    this.apply(before);
    await this.threads?.prepare(delta);
    this.apply(changed);
    this.edge = edgeChanged ?? edgeBefore;
    ledger.commit(generation);
    this.threads?.committed();
    return generation;
  }

  private apply(changes: ReadonlyMap<string, TableUpstream | null | undefined>): void {
    for (const [name, upstream] of changes) {
      if (upstream == null) this.upstreams.delete(name);
      else this.upstreams.set(name, upstream);
    }
  }

  private routes(): TableRoute[] {
    return [...this.upstreams.values()].flatMap(({ name, policy }) => policy.routes.map(({ host, path, rules }) => ({ host, path, rules, upstream: name })));
  }
}

/** What the data plane needs of an upstream: the versions with weight, in the order of the split, then the newest first those on standby and those that are open. */
export function tableOf(state: UpstreamState, policy: UpstreamPolicy, slot: number): TableUpstream {
  const live = state.split.map(({ version }) => state.versions.find(({ id }) => id === version)).filter((version) => version !== undefined);
  const others = state.versions.filter((version) => weightOf(state.split, version.id) === 0 && (version.phase === 'standby' || isRoutable(version, 0, policy)));
  const versions = [...live, ...others.toReversed()].map((version) => versionOf(version, weightOf(state.split, version.id), reachOf(version, policy)));
  return { name: state.name, slot, policy, held: state.held, versions };
}

function versionOf({ id, slot, phase, backends }: Version, weight: number, reach: Reach): TableVersion {
  return {
    id,
    slot,
    phase,
    weight,
    reach,
    backends: backends.map((backend) => {
      const address = parseAddress(backend.address);
      if (address === null) throw new Error(`not an address: ${backend.address}`);
      return { slot: backend.slot, address: backend.address, host: address.host, port: address.port, weight: backend.weight };
    }),
  };
}
