import type { LaunchSpec } from '../config/launch.ts';
import { StartError } from './driver.ts';
import type { Driver, Order } from './driver.ts';
import { isFree } from './ports.ts';
import type { Ports } from './ports.ts';
import type { LaunchRecord, LaunchRecords, ReplicaRecord } from './records.ts';
import { Replica } from './replica.ts';

/** Ports that may be lost to others, one after another, before a start is given up. */
const MOST_PORTS = 5;
const AGAIN_MS = 100;

export interface LaunchParts {
  readonly records: LaunchRecords;
  readonly ports: Ports;
  readonly driver: Driver;
  /** Of the admin API, for what is launched; null = it is not known. */
  readonly adminUrl: string | null;
  readonly emit: (type: 'process-started' | 'process-exited' | 'crash-loop', data: Record<string, unknown>) => void;
  /** In [0, 1). */
  readonly random: () => number;
}

/** A version could not be launched, and why: of each replica that has failed what it has said last. */
export class LaunchError extends Error {
  readonly processes: readonly { readonly replica: number; readonly problem: string; readonly output: readonly string[] }[];

  constructor(processes: LaunchError['processes']) {
    super(processes.map(({ replica, problem }) => `process ${replica}: ${problem}`).join('; '));
    this.name = 'LaunchError';
    this.processes = processes;
  }
}

/** The processes of one version. */
export class Launch {
  replicas: Replica[] = [];
  /** Whether a version of the upstream's state has them; until then nobody but who launches them decides. */
  claimed = false;
  /** Set once they are being stopped. */
  stopping: Promise<void> | null = null;
  private record: LaunchRecord;
  private readonly parts: LaunchParts;
  private cancelled = false;
  private revived = false;

  constructor(record: LaunchRecord, parts: LaunchParts) {
    this.record = record;
    this.parts = parts;
    this.replicas = record.replicas.map((one, i) => {
      if (one.port !== null) parts.ports.hold(one.port);
      return this.replicaOf(i, one);
    });
  }

  get id(): string {
    return this.record.id;
  }

  get upstream(): string {
    return this.record.upstream;
  }

  get version(): string {
    return this.record.version;
  }

  /** Who has had it launched. */
  get by(): string {
    return this.record.by;
  }

  get spec(): LaunchSpec {
    return this.record.spec;
  }

  /** One that has no address is named after the version: `v42-1`. */
  get addresses(): string[] {
    return this.replicas.map(({ address, order }) => address ?? `${this.version}-${order.replica}`);
  }

  /**
   * Starts all of them; resolves when they listen.
   * @param deadline on the clock of performance.now()
   * @throws LaunchError; stop it then
   */
  async start(deadline: number): Promise<void> {
    const results = await Promise.allSettled(this.replicas.map((_, i) => this.startOne(i, deadline)));
    const failed = await Promise.all(
      results.map(async (result, i) => {
        if (result.status === 'fulfilled') return null;
        const output = await this.replicas[i].said().catch(() => []);
        return { replica: i + 1, problem: result.reason instanceof Error ? result.reason.message : String(result.reason), output };
      }),
    );
    const told = failed.filter((one) => one !== null);
    if (told.length > 0) throw new LaunchError(told);
  }

  private async startOne(i: number, deadline: number): Promise<void> {
    let tries = 0;
    let ports = 0;
    for (;;) {
      // It may have been told to stop while this one was between two starts.
      if (this.cancelled) throw new StartError('it is being stopped', false);
      try {
        return await this.replicas[i].launch(deadline);
      } catch (error) {
        if (this.cancelled || !(error instanceof StartError)) throw error;
        const { order, address } = this.replicas[i];
        const lost = order.port !== null && error.again;
        try {
          await this.parts.driver.stop(order, this.replicas[i].handle);
        } catch {
          // Why it did not start says more; the end of the launch tries the stop again, and tells.
          throw error;
        }
        await this.replicas[i].leave();
        // Gone to somebody else between the choice and the start: that is not the program's fault.
        if (lost && order.port !== null && !(await isFree(order.port)) && ++ports < MOST_PORTS) {
          await this.move(i, order.port);
          continue;
        }
        if (!error.again) throw error;
        if (++tries >= this.spec.attempts) throw tries === 1 ? error : new StartError(`${error.message} (${tries} times)`, false);
        if (performance.now() >= deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS * 2 ** tries));
        this.replicas[i] = this.replicaOf(i, { state: 'ended', port: order.port, address, handle: null });
      }
    }
  }

  private async move(i: number, from: number): Promise<void> {
    const port = await this.parts.ports.take();
    if (port === null) throw new StartError(`port ${from} was taken by another process, and no other is free`, false);
    this.parts.ports.giveBack(from);
    this.replicas[i] = this.replicaOf(i, { state: 'ended', port, address: null, handle: null });
  }

  /** Whether all of them are started anew, and none has ended since. */
  get isFresh(): boolean {
    return this.revived && this.replicas.every(({ standing }) => standing === 'starting' || standing === 'running');
  }

  /** Takes up what an earlier life of the proxy has left. */
  adopt(): void {
    this.revived = this.record.replicas.every(({ state }) => state === 'ended');
    this.claimed = true;
    this.cancelled = false;
    this.replicas = this.record.replicas.map((one, i) => this.replicaOf(i, one));
    for (const [i, replica] of this.replicas.entries()) replica.adopt(this.record.replicas[i]);
  }

  /** Ends all of them; resolves when nothing is left, and the record of them neither. Rejects when that could not be brought about. */
  async stop(): Promise<void> {
    await this.park();
    for (const { order } of this.replicas) if (order.port !== null) this.parts.ports.giveBack(order.port);
    this.parts.records.remove(this.record);
  }

  /** Ends all of them and keeps the record, to start them again in another life. */
  async park(): Promise<void> {
    this.cancelled = true;
    const ended = await Promise.allSettled(this.replicas.map((replica) => replica.stop()));
    const failed = ended.find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Lets them run, and looks after them no longer. */
  async leave(): Promise<void> {
    this.cancelled = true;
    await Promise.all(this.replicas.map((replica) => replica.leave()));
  }

  private replicaOf(i: number, one: ReplicaRecord): Replica {
    const { upstream, version, spec, id } = this.record;
    const replica = i + 1;
    const order: Order = {
      upstream,
      version,
      replica,
      mark: `${id}.${replica}`,
      spec,
      port: one.port,
      told: {
        SWITCHYARD_UPSTREAM: upstream,
        SWITCHYARD_VERSION: version,
        SWITCHYARD_REPLICA: String(replica),
        ...(one.port === null ? { SWITCHYARD_MEMBER: `${version}-${replica}` } : {}),
        ...(this.parts.adminUrl === null ? {} : { SWITCHYARD_ADMIN_URL: this.parts.adminUrl }),
      },
      output: this.parts.records.outputOf(upstream, version, replica),
    };
    return new Replica(order, one.address, {
      driver: this.parts.driver,
      record: (change) => {
        this.record = { ...this.record, replicas: this.record.replicas.map((old, at) => (at === i ? change : old)) };
        this.parts.records.write(this.record);
      },
      emit: this.parts.emit,
      random: this.parts.random,
    });
  }
}
