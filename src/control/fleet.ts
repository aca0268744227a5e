import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { UpstreamConfig } from '../config/config.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { emptyCounts } from '../ledger/control.ts';
import type { ControlLedger, Counts } from '../ledger/control.ts';
import type { UpstreamPolicy, WorkerPolicy } from '../pool/policy.ts';
import { emptyUpstream, isFinished } from '../pool/upstream.ts';
import type { Sample, Swap, UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import type { Journal } from '../swap/journal.ts';
import type { SwapPorts, SwitchyardEvent } from '../swap/ports.ts';
import { UpstreamDriver } from '../swap/swap.ts';
import type { Launch } from '../launch/launch.ts';
import type { Launches } from '../launch/launches.ts';
import { lastWords } from './launching.ts';
import type { Origin } from '../webhooks/outbox.ts';
import { CheckCounts } from './check-counts.ts';
import { refuseChangedKind, refuseOtherKind, Workers } from './crews.ts';
import { GateCounts } from './gate-counts.ts';
import { askGate, measure } from './gates.ts';
import { tableOf } from './publisher.ts';
import type { Publisher } from './publisher.ts';
import { Seeds } from './seeds.ts';
import type { DataThreads } from './threads.ts';
import type { Vitals } from './vitals.ts';

const IDLE_POLL_MS = 20;
const REMEMBERED_SWAPS = 1_000;

export interface FleetParts {
  readonly ledger: ControlLedger;
  readonly journal: Journal;
  /** What the journal knows of upstreams, by name. */
  readonly recorded: ReadonlyMap<string, UpstreamState>;
  readonly publisher: Publisher;
  readonly threads: DataThreads;
  readonly vitals: Vitals;
  readonly launches: Launches;
  readonly tell: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** Told of each swap that has ended. */
  readonly ended: (upstream: string, swap: Swap) => void;
  /** Told of each deploy that an earlier life of the proxy has not brought to its swap; `from` was live, and is. */
  readonly takenBack: (launch: Launch, from: string | null) => void;
  readonly emit: (event: SwitchyardEvent, origin: Origin | null) => void;
  /** The machine was started again since the proxy ran last. */
  readonly rebooted: boolean;
  /** Absolute. */
  readonly stateDir: string;
}

/** An upstream that is served: its configuration and the driver of its swaps. */
export interface Served {
  config: UpstreamConfig;
  readonly driver: UpstreamDriver;
  /** Row of the upstream in the ledger (requests that wait). */
  readonly slot: number;
  /** null = it serves requests. */
  readonly workers: Workers | null;
  readonly gates: GateCounts;
  readonly checks: CheckCounts;
  /** Aborts when it is served no longer. */
  readonly gone: AbortController;
}

/** What is left of an upstream that is served no longer. */
interface Removed {
  readonly name: string;
  readonly versions: readonly Version[];
  readonly slot: number;
  readonly policy: UpstreamPolicy;
  /** Of the table without it. */
  readonly generation: number;
  readonly launched: readonly Launch[];
}

/** All upstreams. */
export class Fleet {
  readonly served = new Map<string, Served>();
  /** Swaps by id, the running ones and those of late. */
  readonly swaps = new Map<string, { upstream: string; swap: Swap }>();
  /** Swaps that have ended since the start, by upstream and outcome. */
  readonly outcomes = new Map<string, Record<string, number>>();
  /** The last swap that was seen of each upstream. */
  private readonly latest = new Map<string, Swap>();
  /** Journaled states that no upstream has taken up yet. */
  readonly recorded: Map<string, UpstreamState>;
  readonly seeds = new Seeds();
  private readonly ended = new AbortController();
  private readonly parts: FleetParts;

  constructor(parts: FleetParts) {
    this.parts = parts;
    this.recorded = new Map(parts.recorded);
  }

  get(name: string): Served {
    const found = this.served.get(name);
    if (found === undefined) {
      const known = [...this.served.keys()];
      throw new Refusal(REFUSAL.noUpstream, `There is no upstream ${name}; there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ') || 'none'}.`);
    }
    return found;
  }

  /** Takes an upstream up: from its journaled state, or, when nothing in it has ever served, with its seed versions. Resolves once it is served. */
  async add(config: UpstreamConfig): Promise<void> {
    const { name, policy } = config;
    const state = this.recorded.get(name) ?? null;
    if (state !== null) refuseOtherKind(name, policy, state);
    this.recorded.delete(name);
    const workers = policy.worker === null ? null : this.hire(name, policy.worker);
    const slot = this.parts.ledger.takeSlots(1)?.at(0);
    if (slot === undefined) throw new Refusal(REFUSAL.slotsExhausted);
    const [gates, checks] = [new GateCounts(), new CheckCounts()];
    const driver = new UpstreamDriver(
      state ?? { ...emptyUpstream(name, Date.now()), changedBy: 'config' },
      policy,
      this.ports(name, slot, workers, { gates, checks }),
    );
    const served: Served = { config, driver, slot, workers, gates, checks, gone: new AbortController() };
    this.served.set(name, served);
    driver.changed((now) => this.remember(now));
    this.followLaunches(served, state);
    if (state !== null) await driver.recover(this.parts.rebooted);
    if (state === null || hasNeverServed(state)) await this.seed(served);
  }

  private hire(name: string, policy: WorkerPolicy): Workers {
    return new Workers(name, policy, this.parts.stateDir, {
      evidence: (version, member) => this.served.get(name)?.driver.healthChanged(version, member),
      emit: (event) => this.parts.emit(event, null),
    });
  }

  private async seed(served: Served): Promise<void> {
    const { config, driver, slot, workers } = served;
    const asker = { by: 'config' };
    const { live, versions } = config;
    const { launches, tell } = this.parts;
    const stop = AbortSignal.any([this.ended.signal, served.gone.signal]);
    // Its routes are its own from the start: until something is live, they are answered 503, and not by another upstream.
    if (workers === null) await this.parts.publisher.publish(config.name, tableOf(driver.state, config.policy, slot));
    const { state } = driver;
    const known = new Set([...state.versions.map(({ id }) => id), ...state.history.map(({ version }) => version.id)]);
    for (const version of versions) {
      if (known.has(version.id)) continue;
      if (version.launch !== null) this.seeds.launch({ launches, served, seed: version, stop, tell });
      else if (version.id === live) await driver.seed(version, randomUUID(), asker);
      else await driver.register(version, asker);
    }
  }

  /** What was launched for it lives as long as the version it is of. */
  private followLaunches({ driver }: Served, before: UpstreamState | null): void {
    const { launches } = this.parts;
    const { name } = driver.state;
    const left = launches.adopt(name, before?.versions.map(({ id }) => id) ?? []);
    // What the upstream has never known was a deploy that has not come to its swap; one that it knew is only let go late.
    for (const launch of left) {
      const known = before?.history.some(({ version }) => version.id === launch.version) === true || before?.swap?.id === launch.id;
      if (!known && launch.by !== 'config') this.parts.takenBack(launch, before?.split.at(0)?.version ?? null);
    }
    let history = before?.history;
    driver.changed((now) => {
      const versions = now.versions.map(({ id }) => id);
      launches.follow(name, versions);
      if (now.history === history) return;
      history = now.history;
      launches.forgetOutput(name, [...versions, ...now.history.map(({ version }) => version.id), ...launches.of(name).map(({ version }) => version)]);
    });
  }

  /** Takes an upstream down: unroutable at once; what is in flight ends, or is cut at its drain deadline. */
  async remove(name: string): Promise<void> {
    const { driver, config, slot, workers, gone } = this.get(name);
    const { versions } = driver.state;
    this.served.delete(name);
    this.latest.delete(name);
    gone.abort();
    await driver.close();
    const launched = this.parts.launches.disown(name);
    if (workers !== null) {
      await workers.remove();
      for (const launch of launched) void this.parts.launches.end(launch);
      this.parts.journal.remove(name);
      this.parts.ledger.freeSlot(slot);
      return;
    }
    const generation = await this.parts.publisher.publish(name, null);
    this.parts.journal.remove(name);
    this.letGo({ name, versions, slot, policy: config.policy, generation, launched }).catch((error: unknown) => {
      this.parts.emit({ type: 'error', upstream: name, version: null, data: { error: String(error) } }, null);
    });
  }

  private async letGo({ name, versions, slot, policy, generation, launched }: Removed): Promise<void> {
    const { threads, ledger, vitals, launches } = this.parts;
    await threads.acked(generation);
    const since = Date.now();
    const pending = new Set(versions);
    const cut = { requests: false, tunnels: false };
    while (pending.size > 0) {
      for (const kind of ['requests', 'tunnels'] as const) {
        if (cut[kind] || Date.now() - since < policy.drain[kind]) continue;
        cut[kind] = true;
        for (const { slot } of pending) threads.cut(slot, kind, 0);
      }
      for (const version of pending) {
        if (!ledger.isIdle(slotsOf(version))) continue;
        pending.delete(version);
        vitals.forget(name, version);
        for (const slot of slotsOf(version)) ledger.freeSlot(slot);
        const launch = launched.find((one) => one.version === version.id);
        if (launch !== undefined) void launches.end(launch);
      }
      await new Promise((resolve) => setTimeout(resolve, IDLE_POLL_MS));
    }
    // Requests that waited are turned away just after the ack: by now they are.
    await new Promise((resolve) => setTimeout(resolve, IDLE_POLL_MS));
    ledger.freeSlot(slot);
  }

  /** Puts another policy in force. */
  async change(config: UpstreamConfig, by: string, ifMatch?: number): Promise<void> {
    const served = this.get(config.name);
    refuseChangedKind(config.name, served.config.policy, config.policy);
    await served.driver.setPolicy(config.policy, { by, ifMatch });
    const sameHealth = isDeepStrictEqual(served.config.policy.health, config.policy.health);
    served.config = config;
    if (served.workers !== null && config.policy.worker !== null) return served.workers.setPolicy(config.policy.worker);
    for (const version of served.driver.state.versions) {
      // An admission begins anew only when what it asks for has changed.
      if (sameHealth) this.parts.vitals.decideBy(config.name, version, config.policy);
      else this.parts.vitals.probe(config.name, version, config.policy, version.phase === 'admitting' ? 'admitting' : 'steady');
    }
  }

  async close(): Promise<void> {
    this.ended.abort();
    await Promise.all([...this.served.values()].map(({ driver }) => driver.close()));
    for (const { workers } of this.served.values()) await workers?.close();
  }

  counts(name: string, version: Version): Counts {
    const workers = this.served.get(name)?.workers;
    if (workers != null) return workers.crew.register.counts(version);
    const counts = emptyCounts();
    for (const { slot } of version.backends) this.parts.ledger.addCounts(counts, slot);
    return this.parts.ledger.addCopies(counts, version.slot);
  }

  /** What a canary is judged by: requests, no copies of them. WebSockets and event streams that are open are no requests that wait for an answer. */
  sample(name: string, version: Version): Sample {
    const { started, streams, tunnels } = this.counts(name, version);
    const { codes, broken, bins } = this.parts.ledger.traffic(version.backends.map(({ slot }) => slot));
    const [upgraded, ...answered] = codes;
    return {
      started: Math.max(0, started - streams - tunnels - upgraded),
      requests: answered.reduce((sum, count) => sum + count, 0),
      errors: codes[4] + broken,
      bins,
    };
  }

  backendCounts(slot: number): Counts {
    return this.parts.ledger.addCounts(emptyCounts(), slot);
  }

  private remember({ swap, name }: UpstreamState): void {
    if (swap === null) return;
    const last = this.latest.get(name);
    // A rollback takes the place of the swap that it ends in one turn: the end of that one is in no state.
    if (last !== undefined && last.id !== swap.id && !isFinished(last)) this.keep(name, supersededBy(last, swap));
    this.latest.set(name, swap);
    this.keep(name, swap);
  }

  private keep(name: string, swap: Swap): void {
    const before = this.swaps.get(swap.id)?.swap;
    this.swaps.set(swap.id, { upstream: name, swap });
    if (this.swaps.size > REMEMBERED_SWAPS) this.swaps.delete(this.swaps.keys().next().value!);
    // A seed is no swap; and what ended in an earlier life of the proxy was counted then.
    if (swap.kind === 'seed' || before === undefined || isFinished(before) || !isFinished(swap)) return;
    const outcomes = this.outcomes.get(name) ?? {};
    outcomes[swap.state] = (outcomes[swap.state] ?? 0) + 1;
    this.outcomes.set(name, outcomes);
    this.parts.ended(name, swap);
  }

  /** What the life of a swap gets of the world. */
  private ports(name: string, slot: number, workers: Workers | null, { gates, checks }: Pick<Served, 'gates' | 'checks'>): SwapPorts {
    const { ledger, journal, publisher, threads, vitals, launches, emit } = this.parts;
    const origins = new WeakMap<SwitchyardEvent, Origin>();
    const own: Pick<SwapPorts, 'now' | 'after' | 'record' | 'emit' | 'askGate' | 'measure'> = {
      now: Date.now,
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      record: (state, why, events) => {
        const { seq, at } = journal.record(state, why, events);
        for (const [n, event] of events.entries()) origins.set(event, { seq, n, at });
      },
      emit: (event) => {
        gates.told(event);
        emit(event, origins.get(event) ?? null);
      },
      askGate: (gate, question, signal) => askGate(gate, question, signal, Date.now(), gates),
      measure: (check, about, signal) => measure(check, about, signal, checks),
    };
    if (workers !== null) return { ...own, ...workers.ports() };
    return {
      ...own,
      publish: (state, policy) => publisher.publish(name, tableOf(state, policy, slot)),
      acked: (generation) => threads.acked(generation),
      probe: (version, mode, policy) => vitals.probe(name, version, policy, mode),
      health: (version) => vitals.health(name, version),
      said: ({ id }) => lastWords(launches, name, id),
      trust: (version, addresses, policy) => vitals.trust(name, version, policy, addresses),
      counts: (version) => this.counts(name, version),
      peak: (version) => ledger.peak(version.slot),
      sample: (version) => this.sample(name, version),
      idle: (version) => ledger.isIdle(slotsOf(version)),
      cut: (version, kind, spreadMs) => threads.cut(version.slot, kind, spreadMs),
      takeSlots: (count) => ledger.takeSlots(count),
      freeSlots: (version) => {
        vitals.forget(name, version);
        for (const slot of slotsOf(version)) ledger.freeSlot(slot);
      },
      giveBackSlots: (slots) => {
        for (const slot of slots) ledger.freeSlot(slot);
      },
    };
  }
}

/** A proxy that died while the processes of its seeds were started has a state, and nothing in it that serves or will. */
function hasNeverServed({ swap, split }: UpstreamState): boolean {
  return swap === null && split.length === 0;
}

function supersededBy(swap: Swap, { to, requestedBy, requestedAt }: Swap): Swap {
  const reason = `rolled back to ${to} by ${requestedBy}`;
  return { ...swap, state: 'rolled-back', reason, steps: [...swap.steps, { name: 'rolled-back', at: requestedAt, evidence: { reason } }] };
}

function slotsOf(version: Version): number[] {
  return [version.slot, ...version.backends.map(({ slot }) => slot)];
}
