import { BootMark } from '../disk/boot.ts';
import { randomBytes, randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import type { Config, UpstreamConfig } from '../config/config.ts';
import { diffConfig } from '../config/diff.ts';
import { mayLaunch } from '../config/launch.ts';
import { parseUpstream } from '../config/parse.ts';
import { tlsWarnings } from '../config/warnings.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { ClientTableControl } from '../ledger/clients-control.ts';
import { ControlLedger } from '../ledger/control.ts';
import type { ListenerSpec } from '../listen/tcp.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import { Journal } from '../swap/journal.ts';
import type { SwitchyardEvent } from '../swap/ports.ts';
import type { Launches } from '../launch/launches.ts';
import type { AcmeKeeper } from '../acme/keeper.ts';
import type { RetryPolicy } from '../acme/schedule.ts';
import { acmeKeeper, acmePolicies } from './acme.ts';
import { Certificates } from './certificates.ts';
import { Declared } from './declared.ts';
import { EventLog } from './events.ts';
import { Deploys } from './deploys.ts';
import { Fleet } from './fleet.ts';
import { launchesOf } from './launching.ts';
import { measure } from './measure.ts';
import { Operator } from './operate.ts';
import { History } from '../history/history.ts';
import { recordMissed, recordSwap, recordTakenBack } from './_past.ts';
import { Structure, startingTop } from './structure.ts';
import type { ConfigSource } from './structure.ts';
import { Publisher } from './publisher.ts';
import { DataThreads } from './threads.ts';
import type { TicketLife } from './tickets.ts';
import { Vitals } from './vitals.ts';
import { Webhooks } from '../webhooks/webhooks.ts';

/** Rows of the ledger: backends and versions that are not final, all upstreams together. */
const SLOTS = 32_768;
const SEED_WAIT_MS = 2_000;
/** How long the first start of processes, or their start after an end with the proxy, may keep the listeners closed. */
const LAUNCH_WAIT_MS = 20_000;

export interface ControlParts {
  readonly config: Config;
  /** Where it is from; `file` unless told. */
  readonly source?: ConfigSource;
  /** Batches of access-log lines. */
  readonly onLog: (batch: string) => void;
  /** Something an operator should read; one sentence. */
  readonly tell: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** How often an order of a certificate that failed is repeated. */
  readonly acmeRetry?: RetryPolicy;
  /** How long keys of session tickets are of use. */
  readonly tickets?: TicketLife;
}

/** THE CONTROL PLANE, on the main thread: owns the state, publishes tables, supervises the data threads. */
export class Control {
  readonly events = new EventLog(randomBytes(4).toString('hex'));
  readonly ledger: ControlLedger;
  private readonly clients: ClientTableControl;
  readonly threads: DataThreads;
  readonly operator: Operator;
  readonly fleet: Fleet;
  private readonly vitals: Vitals;
  private readonly publisher: Publisher;
  private readonly journal: Journal;
  private readonly declared: Declared;
  readonly history: History;
  readonly structure: Structure;
  readonly webhooks: Webhooks;
  readonly certificates: Certificates;
  readonly acme: AcmeKeeper;
  readonly launches: Launches;
  private readonly deploys: Deploys;
  private readonly parts: ControlParts;
  private config: Config;
  private standing: 'starting' | 'ready' | 'stopping' = 'starting';
  private reloading: Promise<unknown> = Promise.resolve();

  private constructor(parts: ControlParts, journal: Journal, states: ReadonlyMap<string, UpstreamState>, rebooted: boolean) {
    this.parts = parts;
    this.config = parts.config;
    this.journal = journal;
    this.ledger = new ControlLedger(parts.config.dataThreads, SLOTS);
    this.ledger.commit(1);
    this.clients = new ClientTableControl(parts.config.edge.limits.clients, parts.config.dataThreads, [randomInt(2 ** 32), randomInt(2 ** 32)]);
    this.declared = new Declared(parts.config.stateDir);
    this.history = new History(parts.config.stateDir, (message) => parts.tell('warn', message));
    this.publisher = new Publisher(this.ledger, startingTop(parts.config, this.declared).edge);
    this.threads = new DataThreads({
      ledger: this.ledger,
      clients: this.clients,
      committed: () => this.publisher.committed(),
      onLog: parts.onLog,
      onLost: (thread, lost, reason) => {
        parts.tell('error', `data thread ${thread} died with ${lost} requests in flight and is replaced: ${reason}`);
        this.events.emit({ type: 'thread-lost', upstream: null, version: null, data: { thread, lost } });
      },
    });
    this.publisher.threads = this.threads;
    this.vitals = this.watchVitals();
    this.certificates = new Certificates({
      renew: (policies) => this.threads.renew(policies),
      emit: (event) => this.events.emit(event),
      tell: parts.tell,
      acme: () => this.acme.status(),
      tickets: parts.tickets,
    });
    this.acme = acmeKeeper({
      stateDir: parts.config.stateDir,
      threads: this.threads,
      certificates: this.certificates,
      emit: (event) => this.events.emit(event),
      tell: parts.tell,
      retry: parts.acmeRetry,
    });
    const emit = (event: SwitchyardEvent): void => this.events.emit(event);
    this.launches = launchesOf({ config: parts.config, emit, fleet: () => this.fleet, tell: parts.tell });
    this.fleet = this.openFleet(states, rebooted);
    this.deploys = new Deploys({ fleet: this.fleet, launches: this.launches, history: this.history, emit, forbidden: () => mayLaunch(this.config.admin) });
    this.webhooks = new Webhooks(parts.config.stateDir, (message) => parts.tell('warn', message));
    this.structure = this.keepStructure();
    this.operator = new Operator({
      fleet: this.fleet,
      ledger: this.ledger,
      vitals: this.vitals,
      events: this.events,
      structure: this.structure,
      history: this.history,
      warn: (upstream) => this.warn(upstream),
      certificates: this.certificates,
      webhooks: this.webhooks,
      launches: this.launches,
      deploys: this.deploys,
      ready: () => this.ready(),
    });
  }

  private openFleet(states: ReadonlyMap<string, UpstreamState>, rebooted: boolean): Fleet {
    return new Fleet({
      ledger: this.ledger,
      journal: this.journal,
      recorded: states,
      publisher: this.publisher,
      threads: this.threads,
      vitals: this.vitals,
      launches: this.launches,
      tell: this.parts.tell,
      ended: (upstream, swap) => recordSwap(this.history, upstream, swap),
      takenBack: (launch, from) => recordTakenBack(this.history, launch, from),
      emit: (event, origin) => this.events.emit(event, origin),
      rebooted,
      stateDir: this.parts.config.stateDir,
    });
  }

  /** Probes and ejections, and where they are told. */
  private keepStructure(): Structure {
    const { parts } = this;
    return new Structure({
      config: parts.config,
      source: parts.source ?? { kind: 'file', name: 'configuration' },
      fleet: this.fleet,
      publisher: this.publisher,
      webhooks: this.webhooks,
      history: this.history,
      declared: this.declared,
      emit: (event) => this.events.emit(event),
      tell: parts.tell,
      warn: (upstream) => this.warn(upstream),
      admit: ({ launch, versions }) => {
        const why = launch === null && versions.every((version) => version.launch === null) ? null : mayLaunch(this.config.admin);
        if (why !== null) throw new Refusal(REFUSAL.forbidden, why);
      },
      refuseStarting: (upstream) => this.deploys.refuseStarting(upstream),
      seq: () => this.journal.last,
    });
  }

  private watchVitals(): Vitals {
    return new Vitals({
      ledger: this.ledger,
      onProbe: (upstream, version, address, now, changed) => {
        this.fleet.served.get(upstream)?.driver.healthChanged(version, address);
        if (changed) this.events.emit({ type: 'health', upstream, version, data: { backend: address, health: now.health, probe: now.probes.at(-1) ?? null } });
      },
      complaint: (address) => this.launches.complaint(address),
      lately: (address) => this.launches.lately(address),
      onEjected: (upstream, version, address, until) => {
        this.events.emit({
          type: 'health',
          upstream,
          version,
          data: { backend: address, ejectedUntil: until === null ? null : new Date(until).toISOString() },
        });
      },
    });
  }

  /**
   * Starts threads, upstreams and, when what was live before is served again, the listeners.
   * @returns the control plane and the listeners as they are bound.
   * @throws Refusal when the state folder is in use or damaged, or an address cannot be listened on.
   */
  static async start(parts: ControlParts): Promise<{ control: Control; listeners: readonly ListenerSpec[] }> {
    const { config } = parts;
    for (const listener of config.listeners) await refuseTaken(listener);
    const { journal, states } = Journal.open(config.stateDir, { now: Date.now, warn: (message) => parts.tell('warn', message) });
    const boot = new BootMark(config.stateDir);
    let control: Control;
    try {
      control = new Control(parts, journal, states, boot.isAnother);
    } catch (error) {
      journal.close();
      throw error;
    }
    try {
      const listeners = await control.open();
      boot.remember();
      return { control, listeners };
    } catch (error) {
      await control.close(0);
      throw error;
    }
  }

  private async open(): Promise<readonly ListenerSpec[]> {
    const { config, fleet, parts, threads } = this;
    this.webhooks.set(this.structure.running.webhooks, this.journal.last);
    // What was decided before a crash, and perhaps not told.
    for (const { seq, at, events } of this.journal.lastEvents()) for (const [n, event] of events.entries()) this.webhooks.take(event, { seq, n, at }, '', at);
    this.events.on((event, origin) => this.webhooks.take(event, origin, event.id, origin?.at ?? Date.parse(event.at)));
    await threads.start();
    const declared = this.declared
      .entries()
      .filter(([name]) => !config.upstreams.has(name))
      .map(([name, spec]) => parseUpstream(name, spec));
    for (const upstream of [...config.upstreams.values(), ...declared]) this.warn(upstream);
    await Promise.all([...config.upstreams.values(), ...declared].map((upstream) => fleet.add(upstream)));
    for (const name of fleet.recorded.keys()) parts.tell('warn', `upstream ${name} has state but is not configured any more; its state is kept`);
    this.launches.park(
      (name) => fleet.served.has(name),
      (name) => fleet.recorded.has(name),
    );
    await this.seedsLive();
    const refused = (error: Error): never => {
      throw new Refusal(REFUSAL.invalid, error.message);
    };
    const issued = await this.acme.load(acmePolicies(config.listeners));
    const specs = await this.certificates.start(config.listeners, issued, Date.now()).catch(refused);
    const listeners = await threads.listen(specs).catch(refused);
    this.acme.start();
    this.structure.started();
    for (const [name, { driver }] of fleet.served) recordMissed(this.history, name, driver.state.swap);
    this.standing = 'ready';
    return listeners;
  }

  private warn(upstream: UpstreamConfig): void {
    for (const warning of tlsWarnings(upstream, Date.now())) this.parts.tell('warn', warning);
  }

  /**
   * Waits a moment for fresh upstreams to become live, and for what is launched and live to be taken over, so that the first request finds
   * them so; longer while their processes are being started. Workers can report only afterwards.
   */
  private async seedsLive(): Promise<void> {
    const began = performance.now();
    const waiting = (): boolean => {
      const launchedOnly = performance.now() - began >= SEED_WAIT_MS;
      if (this.fleet.seeds.areFresh) return true;
      return [...this.fleet.served.values()].some(({ driver: { state }, workers }) => workers === null && this.comesUp(state, launchedOnly));
    };
    while (performance.now() - began < LAUNCH_WAIT_MS && waiting()) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** Whether an upstream has nothing yet that serves, and soon will. @param launchedOnly leaves out all but processes that were started just now */
  private comesUp({ name, swap, split, versions }: UpstreamState, launchedOnly: boolean): boolean {
    if (swap?.kind === 'seed' && split.length === 0) return !launchedOnly || this.launches.get(name, swap.to) !== null;
    const live = versions.filter(({ id }) => split.some(({ version }) => version === id));
    return live.some((version) => {
      const launch = this.launches.get(name, version.id);
      if (launch === null || (launchedOnly && !launch.isFresh)) return false;
      return [...this.vitals.health(name, version).values()].every(({ health }) => health !== 'healthy');
    });
  }

  private ready(): { ready: boolean; why: string } {
    const why = { starting: 'starting', ready: 'ready', stopping: 'shutting down' }[this.standing];
    return { ready: this.standing === 'ready', why };
  }

  /** Figures for a scrape. */
  snapshot() {
    return measure(this.fleet, this.ledger, this.clients, this.threads, this.vitals, {
      certificates: this.certificates,
      acme: this.acme,
      webhooks: this.webhooks,
      structure: this.structure,
    });
  }

  /** Puts a changed configuration in force; what runs is not disturbed by what cannot be changed. One reload at a time. @returns whether anything was changed. */
  reload(config: Config): Promise<boolean> {
    const turn = this.reloading.then(() => this.applyConfig(config));
    this.reloading = turn.catch(() => undefined);
    return turn;
  }

  private async applyConfig(config: Config): Promise<boolean> {
    const { tls } = diffConfig(this.config, config);
    const names = await this.structure.reload(config);
    if (tls) await this.certificates.apply(config.listeners);
    this.config = config;
    if (names === null && !tls) return false;
    this.parts.tell('info', `configuration reloaded: ${names === null || names.length === 0 ? 'no upstream' : names.join(', ')} changed`);
    return true;
  }

  /** Says so at /readyz, lets what is in flight end, ends the threads. @returns how many requests were cut at the deadline. */
  async stop(): Promise<number> {
    this.standing = 'stopping';
    return this.close(this.config.shutdown.drain);
  }

  private async close(drainMs: number): Promise<number> {
    this.certificates.close();
    await this.acme.close();
    const cut = await this.threads.finish(drainMs);
    await this.launches.settle();
    // Nothing is decided by it that processes end with the proxy.
    await this.fleet.close();
    this.vitals.close();
    await this.launches.close(this.config.launch.onShutdown);
    await this.webhooks.close();
    this.journal.close();
    this.history.close();
    return cut;
  }
}

/** SO_REUSEPORT would let two proxies share a port without a word: a plain bind tells whether anybody has it. */
function refuseTaken({ host, port }: Pick<ListenerSpec, 'host' | 'port'>): Promise<void> {
  if (port === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'another process listens on it already' : error.message;
      reject(new Refusal(REFUSAL.invalid, `cannot listen on ${host}:${port}: ${why}`));
    });
    probe.listen({ host, port }, () => probe.close(() => resolve()));
  });
}
