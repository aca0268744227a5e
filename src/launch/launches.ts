import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../errors/message.ts';
import type { LaunchDriver, LaunchSpec } from '../config/launch.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { EventType } from '../swap/ports.ts';
import type { Driver, End, Followed } from './driver.ts';
import { Launch } from './launch.ts';
import type { LaunchParts } from './launch.ts';
import { Ports } from './ports.ts';
import { LaunchRecords } from './records.ts';
import type { LaunchRecord, OutputCounts, ReplicaRecord } from './records.ts';
import type { Replica, Standing } from './replica.ts';

/** Before what could not be stopped is tried to be stopped again. */
const STOP_AGAIN_MS = 2_000;

export interface LaunchesParts {
  readonly stateDir: string;
  readonly drivers: Readonly<Record<LaunchDriver, Driver>>;
  readonly ports: { readonly from: number; readonly to: number };
  /** Ports in that range that are for others, whether they listen yet or not. */
  readonly reserved: readonly number[];
  readonly adminUrl: string | null;
  readonly emit: (event: {
    type: EventType & ('process-started' | 'process-exited' | 'crash-loop' | 'stopped' | 'error');
    upstream: string;
    version: string;
    data: Record<string, unknown>;
  }) => void;
  /** Nothing of this version runs any more, and that it was launched is forgotten. */
  readonly stopped: (upstream: string, version: string, facts: Record<string, unknown>) => Promise<void>;
  readonly warn: (message: string) => void;
  /** In [0, 1); Math.random unless told. */
  readonly random?: () => number;
}

/** A process as an operator sees it. */
export interface ProcessFacts {
  readonly replica: number;
  readonly driver: LaunchDriver;
  readonly pid: number | null;
  /** What the driver calls it, where that is no process of this machine. */
  readonly id: string | null;
  readonly port: number | null;
  readonly address: string | null;
  readonly state: Standing;
  readonly restarts: number;
  /** Epoch milliseconds. */
  readonly since: number | null;
  readonly lastEnd: End | null;
  readonly problem: string | null;
}

export interface LaunchRequest {
  /** Of this launch and no other, ever; made up unless told. */
  readonly id?: string;
  readonly upstream: string;
  readonly version: string;
  readonly spec: LaunchSpec;
  readonly by: string;
  /** What it launches reports by itself and has no port. */
  readonly portless?: boolean;
}

/** All that was launched: what is of a version that is still wanted is kept running, all else is stopped. */
export class Launches {
  private readonly parts: LaunchesParts;
  private readonly records: LaunchRecords;
  private readonly ports: Ports;
  private readonly launches = new Map<string, Launch>();
  /** Of an earlier life of the proxy, and not taken up yet. */
  private readonly inherited = new Set<Launch>();
  private closed = false;

  constructor(parts: LaunchesParts) {
    this.parts = parts;
    this.records = new LaunchRecords(parts.stateDir);
    this.ports = new Ports(parts.ports, parts.random ?? Math.random);
    for (const port of parts.reserved) this.ports.hold(port);
    for (const record of this.records.all(parts.warn)) this.inherited.add(this.add(record));
  }

  private add(record: LaunchRecord): Launch {
    const launch = new Launch(record, this.partsOf(record));
    this.launches.set(keyOf(record.upstream, record.version), launch);
    return launch;
  }

  private partsOf({ upstream, version, spec }: Pick<LaunchRecord, 'upstream' | 'version' | 'spec'>): LaunchParts {
    const { drivers, adminUrl, random = Math.random, emit } = this.parts;
    return {
      records: this.records,
      ports: this.ports,
      driver: drivers[spec.driver],
      adminUrl,
      random,
      emit: (type, data) => emit({ type, upstream, version, data }),
    };
  }

  get(upstream: string, version: string): Launch | null {
    return this.launches.get(keyOf(upstream, version)) ?? null;
  }

  /** Whether what runs of a version was launched in just this way. */
  isSame(upstream: string, version: string, spec: LaunchSpec): boolean {
    const known = this.get(upstream, version);
    return known !== null && isDeepStrictEqual(known.spec, spec);
  }

  /** Puts on disk what is about to be launched. Nothing is started yet; an earlier launch of that version must have ended. */
  async prepare({ id = randomUUID(), upstream, version, spec, by, portless = false }: LaunchRequest): Promise<Launch> {
    const earlier = this.get(upstream, version);
    if (earlier?.stopping != null) await earlier.stopping;
    this.refuseLaunched(upstream, version);
    const ports = portless || !needsPort(spec) ? Array.from({ length: spec.replicas }, () => null) : await this.takePorts(spec.replicas);
    try {
      // Somebody else may have launched it while ports were looked for.
      this.refuseLaunched(upstream, version);
      const replicas = ports.map((port): ReplicaRecord => ({ state: 'ended', port, address: null, handle: null }));
      const record: LaunchRecord = { upstream, version, id, by, at: Date.now(), spec, replicas };
      this.records.beginOutput(upstream, version, id);
      this.records.write(record);
      return this.add(record);
    } catch (error) {
      this.giveBack(ports);
      throw error;
    }
  }

  private refuseLaunched(upstream: string, version: string): void {
    if (this.get(upstream, version) !== null) throw new Refusal(REFUSAL.notNow, `Version ${version} of ${upstream} is launched already.`);
  }

  private async takePorts(count: number): Promise<number[]> {
    const ports: number[] = [];
    while (ports.length < count) {
      const port = await this.ports.take();
      if (port === null) {
        this.giveBack(ports);
        throw new Refusal(REFUSAL.notNow, `No port from ${this.parts.ports.from} to ${this.parts.ports.to} is free; see launch.ports.`);
      }
      ports.push(port);
    }
    return ports;
  }

  private giveBack(ports: readonly (number | null)[]): void {
    for (const port of ports) if (port !== null) this.ports.giveBack(port);
  }

  /**
   * Takes up what was launched for an upstream in an earlier life of the proxy: `wanted` are the versions that it still has.
   * @returns what is of none of them, and is ended
   */
  adopt(upstream: string, wanted: readonly string[]): Launch[] {
    const unwanted: Launch[] = [];
    for (const launch of this.of(upstream)) {
      // What an upstream of that name has left in this life is ended by who has removed it.
      if (!this.inherited.delete(launch)) continue;
      if (wanted.includes(launch.version)) launch.adopt();
      else {
        unwanted.push(launch);
        void this.end(launch);
      }
    }
    return unwanted;
  }

  /** An upstream is removed: what was launched for its versions is ended by the caller, when they have nothing in hand any more. */
  disown(upstream: string): Launch[] {
    const launches = this.of(upstream).filter(({ claimed }) => claimed);
    for (const launch of launches) launch.claimed = false;
    return launches;
  }

  /**
   * Of upstreams that are not served nothing is left running. Of those whose state is `kept` all that is needed to start it again is, too.
   */
  park(served: (upstream: string) => boolean, kept: (upstream: string) => boolean): void {
    for (const launch of this.launches.values()) {
      if (served(launch.upstream)) continue;
      if (!kept(launch.upstream)) void this.end(launch);
      else launch.park().catch((error: unknown) => this.parts.warn(`${launch.version} of ${launch.upstream} could not be stopped: ${messageOf(error)}`));
    }
  }

  /** The state of an upstream has changed: what it has no version for any more is stopped. */
  follow(upstream: string, versions: readonly string[]): void {
    for (const launch of this.of(upstream)) if (launch.claimed && !versions.includes(launch.version)) void this.end(launch);
  }

  /** Stops a version's processes, however often that takes. Resolves when nothing of them is left. */
  end(launch: Launch): Promise<void> {
    launch.stopping ??= this.endFor(launch);
    return launch.stopping;
  }

  private async endFor(launch: Launch): Promise<void> {
    const { upstream, version } = launch;
    const began = performance.now();
    for (;;) {
      try {
        await launch.stop();
        break;
      } catch (error) {
        this.parts.emit({ type: 'error', upstream, version, data: { error: `its processes could not be stopped yet: ${messageOf(error)}` } });
        await new Promise((resolve) => setTimeout(resolve, STOP_AGAIN_MS).unref());
        if (this.closed) return;
      }
    }
    const facts = { version, processes: launch.replicas.length, ms: Math.round(performance.now() - began) };
    this.parts.emit({ type: 'stopped', upstream, version, data: facts });
    if (launch.claimed) await this.parts.stopped(upstream, version, facts).catch((error: unknown) => this.parts.warn(messageOf(error)));
    this.launches.delete(keyOf(upstream, version));
  }

  /** Versions whose processes are being stopped. */
  stopping(upstream: string): string[] {
    return this.of(upstream)
      .filter(({ stopping }) => stopping !== null)
      .map(({ version }) => version);
  }

  /** Why a backend cannot serve, as its process knows; null = it may, or is none of these. */
  complaint(address: string): string | null {
    return this.at(address)?.complaint() ?? null;
  }

  /** What went wrong with the process of a backend before it was started again; null = nothing, or that is over. */
  lately(address: string): string | null {
    return this.at(address)?.lately() ?? null;
  }

  private at(address: string): Replica | null {
    for (const { replicas } of this.launches.values()) {
      const found = replicas.find((replica) => replica.address === address);
      if (found !== undefined) return found;
    }
    return null;
  }

  processes(upstream: string, version: string): ProcessFacts[] {
    const launch = this.get(upstream, version);
    if (launch === null) return [];
    return launch.replicas.map(({ order, handle, address, standing, restarts, since, lastEnd, problem }) => ({
      replica: order.replica,
      driver: launch.spec.driver,
      pid: typeof handle?.pid === 'number' ? handle.pid : null,
      id: typeof handle?.id === 'string' ? handle.id : null,
      port: order.port,
      address,
      state: standing,
      restarts,
      since,
      lastEnd,
      problem,
    }));
  }

  /** The last lines that a replica has printed; of one that is gone, as long as its version is remembered. */
  async output(upstream: string, version: string, replica: number, lines: number): Promise<string[]> {
    const running = this.get(upstream, version)?.replicas.find(({ order }) => order.replica === replica);
    return running === undefined ? this.records.lastOutput(upstream, version, replica, lines) : running.said(lines);
  }

  /**
   * What a replica has printed from an offset on, in bytes of all that it has ever printed.
   * @throws Refusal when its driver cannot tell
   */
  async outputSince(upstream: string, version: string, replica: number, from: number): Promise<Followed> {
    const launch = this.get(upstream, version);
    const running = launch?.replicas.find(({ order }) => order.replica === replica);
    if (launch === null || running === undefined) return this.records.outputSince(upstream, version, replica, from);
    const followed = await running.followed(from);
    if (followed === null) throw new Refusal(REFUSAL.notNow, `Output of the driver ${launch.spec.driver} cannot be followed here; ask what keeps it.`);
    return followed;
  }

  /** The launch that the output of a version is of: offsets of another one say nothing about it. null = it is not known. */
  outputLaunch(upstream: string, version: string): string | null {
    return this.get(upstream, version)?.id ?? this.records.outputLaunch(upstream, version);
  }

  /** Of those that are kept in the state folder. */
  outputCounts(upstream: string, version: string, replica: number): OutputCounts {
    return this.records.outputCounts(upstream, version, replica);
  }

  /** The last lines of what listens there, as far as they are in memory; none when nothing that was launched does. */
  lastWords(upstream: string, version: string, lines: number): Map<string, string[]> {
    const found = this.get(upstream, version)?.replicas ?? [];
    return new Map(found.flatMap((replica): [string, string[]][] => (replica.address === null ? [] : [[replica.address, replica.lastWords(lines)]])));
  }

  /** Replicas whose output is known. */
  replicasWithOutput(upstream: string, version: string): number[] {
    return this.get(upstream, version)?.replicas.map(({ order }) => order.replica) ?? this.records.replicasWithOutput(upstream, version);
  }

  /** Output of versions that nobody remembers goes. */
  forgetOutput(upstream: string, remembered: readonly string[]): void {
    for (const version of this.records.versionsWithOutput(upstream)) if (!remembered.includes(version)) this.records.forgetOutput(upstream, version);
  }

  /** Resolves when what is being stopped has ended, or could not be stopped at the first attempt. */
  async settle(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.launches.values()].map(async ({ stopping }) => stopping));
  }

  /** Ends, with all that runs (`stop`) or without touching it (`keep`). Who has had it launched decides nothing any more. */
  async close(then: 'keep' | 'stop'): Promise<void> {
    this.closed = true;
    const each = [...this.launches.values()].map(async (launch) => {
      // What has been let go, or was never claimed, is of no use to anybody.
      if (launch.stopping !== null) return launch.stopping;
      if (!launch.claimed) return launch.stop();
      return then === 'stop' ? launch.park() : launch.leave();
    });
    for (const result of await Promise.allSettled(each)) if (result.status === 'rejected') this.parts.warn(messageOf(result.reason));
    for (const driver of Object.values(this.parts.drivers)) driver.close?.();
  }

  of(upstream: string): Launch[] {
    return [...this.launches.values()].filter((launch) => launch.upstream === upstream);
  }
}

/** A container in a network of its own, and what a program of the user's starts, say themselves where they are. */
function needsPort({ driver, network }: LaunchSpec): boolean {
  return driver === 'process' || (driver === 'docker' && network === null);
}

function keyOf(upstream: string, version: string): string {
  return `${upstream}\n${version}`;
}
