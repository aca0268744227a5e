import type { BackendHealth } from '../../src/health/evidence.ts';
import { emptyCounts } from '../../src/ledger/control.ts';
import type { Counts } from '../../src/ledger/control.ts';
import type { UpstreamPolicy } from '../../src/pool/policy.ts';
import { isRoutable } from '../../src/pool/reach.ts';
import { weightOf } from '../../src/pool/split.ts';
import { emptyUpstream } from '../../src/pool/upstream.ts';
import type { UpstreamState } from '../../src/pool/upstream.ts';
import type { Version } from '../../src/pool/version.ts';
import { nextDeadline } from '../../src/swap/machine.ts';
import type { SwapPorts, SwitchyardEvent } from '../../src/swap/ports.ts';
import { UpstreamDriver } from '../../src/swap/swap.ts';
import { FALL, policy, RISE } from './fixtures.ts';
import type { Kind, Probed, Request, Thread, Timer } from './fixtures.ts';
import { Outside } from './outside.ts';
import { receiptProblem, stateFaults } from './promises.ts';
import { SampleBook } from './samples.ts';

/** How often the driver looks whether a draining version is idle. */
const IDLE_POLL = 10;

/**
 * The world around one upstream: a clock that only moves when told, data threads that can be late,
 * requests, probes, a disk and crashes. It watches the invariants: the first one broken is in `violation`.
 */
export class SwapWorld {
  now = 1_700_000_000_000;
  driver: UpstreamDriver;
  policy: UpstreamPolicy;
  disk: UpstreamState;
  committed: UpstreamState | null = null;
  private committedPolicy: UpstreamPolicy | null = null;
  generation = 0;
  threads: Thread[] = [0, 0].map((ack) => ({ ack, table: null, policy: null }));
  requests: Request[] = [];
  probed = new Map<number, Probed>();
  trusted = new Map<number, Set<string>>();
  down = new Set<string>();
  stopping = new Set<string>();
  events: SwitchyardEvent[] = [];
  log: string[] = [];
  why: string[] = [];
  cuts: { id: string; kind: string; spreadMs: number }[] = [];
  violation: string | null = null;
  /** What canaries are judged by. */
  readonly samples = new SampleBook();
  readonly outside = new Outside();
  lateAcks = false;
  /** Milliseconds that a publish takes; 0 = at once. */
  publishDelay = 0;
  publishFails = 0;
  recordFails = 0;
  /** Calls to the world until the process dies; null = it lives. */
  crashIn: number | null = null;
  freeRows = 10_000;
  private incarnation = 0;
  private ledger = new Map<number, Counts>();
  private peaks = new Map<number, number>();
  private timers: Timer[] = [];
  private waiters: { generation: number; resolve: (acks: Record<string, number>) => void }[] = [];
  /** Last generation in which a request could begin on a version, by its row. */
  private lastRoutable = new Map<number, number>();
  private passedOnce = new Set<string>();
  private nextSlot = 0;
  private nextTimer = 0;
  private crashed = 0;

  constructor(options: Partial<UpstreamPolicy> = {}) {
    this.policy = policy(options);
    this.disk = emptyUpstream('web', this.now);
    this.driver = new UpstreamDriver(this.disk, this.policy, this.ports());
  }

  get state(): UpstreamState {
    return this.driver.state;
  }

  get alive(): boolean {
    return this.incarnation === this.crashed;
  }

  phase(id: string): string | null {
    return (
      this.state.versions.find((version) => version.id === id)?.phase ?? this.state.history.findLast((past) => past.version.id === id)?.version.phase ?? null
    );
  }

  version(id: string): Version {
    const version = this.state.versions.find((other) => other.id === id);
    if (version === undefined) throw new Error(`no version ${id}`);
    return version;
  }

  /** Lets all that has been started come to rest. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves the clock, running what falls due on the way. */
  async advance(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      let next: Timer | undefined;
      // A look for an idle version that would find none is left out: there would be thousands of them.
      const idle = this.state.versions.some(({ phase, slot }) => phase === 'draining' && !this.requests.some((request) => request.slot === slot));
      for (const timer of this.timers)
        if (
          timer.at <= until &&
          (idle || timer.ms !== IDLE_POLL || timer.at === nextDeadline(this.state, this.now)) &&
          (next === undefined || timer.at < next.at || (timer.at === next.at && timer.seq < next.seq))
        )
          next = timer;
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.now = until;
    await this.settle();
  }

  /** One round of probes of a version, and the reports of it. */
  async probe(id: string, rounds = 1): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const version = this.state.versions.find((other) => other.id === id);
      const probed = version === undefined ? undefined : this.probed.get(version.slot);
      if (version === undefined || probed === undefined || probed.mode === 'off' || this.policy.health.kind === 'none') return;
      for (const { address } of version.backends) {
        this.probeOne(version, probed, address);
        this.driver.healthChanged(id, address);
      }
      await this.settle();
    }
  }

  private probeOne(version: Version, probed: Probed, address: string): void {
    const before = probed.seen.get(address);
    const ok = !this.down.has(address) && !this.stopping.has(address);
    const run = ok ? Math.max(0, before?.run ?? 0) + 1 : Math.min(0, before?.run ?? 0) - 1;
    let health = before?.health ?? 'unknown';
    if (run >= (probed.mode === 'fresh' ? 1 : RISE)) health = 'healthy';
    if (run <= -FALL || (!ok && health === 'unknown')) health = 'unhealthy';
    if (this.stopping.has(address) && probed.mode === 'steady') health = 'stopping';
    if (health === 'healthy') this.passedOnce.add(`${version.id}@${version.createdAt}/${address}`);
    const probe = { at: this.now, ok, status: ok ? 200 : this.stopping.has(address) ? 404 : 503, ms: 1, error: ok ? null : 'status 503' };
    probed.seen.set(address, { health, run, probes: [...(before?.probes ?? []), probe].slice(-5) });
  }

  /** A client's request on a thread, by the table that this thread has; false when nothing can take it. */
  request(thread = 0, kind: Kind = 'http', point = 0): boolean {
    const table = this.threads[thread].table;
    if (table === null || table.split.length === 0) return false;
    let bucket = point * 100;
    const share = table.split.find(({ weight }) => (bucket -= weight) < 0) ?? table.split[table.split.length - 1];
    const version = table.versions.find(({ id }) => id === share.version);
    if (version === undefined) return this.broken(`the table names ${share.version}, which it does not have`);
    return this.claim(thread, version, kind);
  }

  /** A request that reaches a version by another door than the split; false when there is none on this thread. */
  stray(thread: number, kind: Kind, pick: <T>(list: readonly T[]) => T): boolean {
    const { table, policy } = this.threads[thread];
    if (table === null || policy === null) return false;
    const open = table.versions.filter((version) => weightOf(table.split, version.id) === 0 && isRoutable(version, 0, policy));
    return open.length > 0 && this.claim(thread, pick(open), kind);
  }

  private claim(thread: number, version: Version, kind: Kind): boolean {
    const usable = version.backends.filter(({ address }) => this.trusted.get(version.slot)?.has(address));
    if (usable.length === 0) return this.broken(`${version.id} has weight but no trusted backend`);
    for (const { address } of usable) {
      if (!this.passedOnce.has(`${version.id}@${version.createdAt}/${address}`))
        return this.broken(`${address} of ${version.id} gets traffic and has never passed`);
    }
    const counts = this.countsOf(version.slot);
    counts.started++;
    counts.inFlight++;
    counts.lastAt = this.now;
    if (counts.firstAt === 0) counts.firstAt = this.now;
    this.peaks.set(version.slot, Math.max(this.peaks.get(version.slot) ?? 0, counts.inFlight));
    this.requests.push({ slot: version.slot, id: version.id, thread, kind });
    return true;
  }

  finish(request: Request, outcome: 'completed' | 'clientAborted' | 'upstreamFailed' | 'killed' = 'completed'): void {
    const at = this.requests.indexOf(request);
    if (at === -1) return;
    this.requests.splice(at, 1);
    const counts = this.countsOf(request.slot);
    counts.inFlight--;
    counts[outcome]++;
    if (outcome === 'killed') counts.killedByKind[request.kind]++;
  }

  /** A thread moves to the committed table and acks it. */
  ack(thread: number): void {
    this.threads[thread] = { ack: this.generation, table: this.committed, policy: this.committedPolicy };
    this.answerWaiters();
  }

  /** A data thread dies and is replaced. */
  loseThread(thread: number): void {
    for (const request of this.requests.filter((other) => other.thread === thread)) this.finish(request, 'killed');
    this.ack(thread);
  }

  /** kill -9: nothing of the process is left but the disk. */
  crash(): void {
    this.crashed = -1;
    this.crashIn = null;
    this.log.push('crash');
  }

  /** Starts the proxy again from the disk. */
  async restart(rebooted = false): Promise<void> {
    this.incarnation++;
    this.crashed = this.incarnation;
    this.timers = [];
    this.waiters = [];
    this.requests = [];
    this.ledger.clear();
    this.peaks.clear();
    this.samples.clear();
    this.probed.clear();
    this.trusted.clear();
    this.lastRoutable.clear();
    this.generation = 0;
    this.committed = this.committedPolicy = null;
    this.threads = this.threads.map(() => ({ ack: 0, table: null, policy: null }));
    this.driver = new UpstreamDriver(this.disk, this.policy, this.ports());
    const recovered = this.driver.recover(rebooted);
    recovered.catch((error: unknown) => {
      this.log.push(`recover: ${String(error)}`);
      // A proxy that cannot write its journal does not start.
      if (String(error).includes('journal')) this.crash();
    });
    await this.settle();
  }

  private broken(what: string | null): false {
    this.violation ??= what;
    return false;
  }

  private countsOf(slot: number): Counts {
    const counts = this.ledger.get(slot) ?? emptyCounts();
    this.ledger.set(slot, counts);
    return counts;
  }

  private counts(slot: number): Counts {
    const counts = this.countsOf(slot);
    const open = (kind: Kind): number => this.requests.filter((request) => request.slot === slot && request.kind === kind).length;
    return { ...counts, killedByKind: { ...counts.killedByKind }, streams: open('stream'), tunnels: open('tunnel') };
  }

  private answerWaiters(): void {
    const least = Math.min(...this.threads.map(({ ack }) => ack));
    for (const waiter of this.waiters.filter(({ generation }) => generation <= least)) {
      this.waiters.splice(this.waiters.indexOf(waiter), 1);
      waiter.resolve(Object.fromEntries(this.threads.map(({ ack }, i) => [String(i), ack])));
    }
  }

  private commit(state: UpstreamState, policy: UpstreamPolicy): number {
    if (state !== this.disk) this.broken('a state was published that is not the recorded one');
    this.committed = state;
    this.committedPolicy = policy;
    this.generation++;
    for (const version of state.versions)
      if (isRoutable(version, weightOf(state.split, version.id), policy)) this.lastRoutable.set(version.slot, this.generation);
    if (!this.lateAcks) for (const thread of this.threads.keys()) this.ack(thread);
    return this.generation;
  }

  private recorded(state: UpstreamState): void {
    const before = this.disk;
    this.disk = state;
    for (const fault of stateFaults(before, state, this.lastRoutable)) this.broken(fault);
    for (const { version, receipt } of state.history)
      if (!before.history.some((past) => past.version === version)) this.broken(receiptProblem(version, receipt) ?? this.workLeft(version));
  }

  /** Why a version that is gone should not be: work in flight, or a thread that may still start some. */
  private workLeft({ id, slot, phase }: Version): string | null {
    if (this.requests.some((request) => request.slot === slot)) return `${id} is ${phase} with work in flight`;
    const late = this.threads.some(({ table, policy }) =>
      table?.versions.some((version) => version.slot === slot && policy !== null && isRoutable(version, weightOf(table.split, id), policy)),
    );
    return late ? `${id} is ${phase} before every thread has acked` : null;
  }

  /** Counts a call to the world; true when the process is dead, or dies with it. */
  private dies(incarnation: number): boolean {
    if (incarnation !== this.crashed) return true;
    if (this.crashIn === null || this.crashIn-- > 0) return false;
    this.crash();
    return true;
  }

  private ports(): SwapPorts {
    const me = this.incarnation;
    const never = <T>(): Promise<T> => new Promise<T>(() => undefined);
    return {
      now: () => this.now,
      after: (ms, run) => {
        const timer = { at: this.now + ms, ms, run, seq: this.nextTimer++ };
        if (me === this.crashed) this.timers.push(timer);
        return () => {
          const at = this.timers.indexOf(timer);
          if (at !== -1) this.timers.splice(at, 1);
        };
      },
      record: (state, why) => {
        if (this.dies(me)) throw new Error('dead');
        if (this.recordFails > 0) {
          this.recordFails--;
          throw new Error('disk full');
        }
        this.why.push(why);
        this.log.push(`${why}: ${state.swap?.state ?? '-'} ${state.versions.map(({ id, phase }) => `${id}=${phase}`).join(' ')}`);
        this.recorded(state);
        // The other side of the boundary: recorded, but nothing of it done.
        this.dies(me);
      },
      publish: async (state, policy) => {
        if (this.dies(me)) return never();
        if (this.publishFails > 0) {
          this.publishFails--;
          throw new Error('no thread answered');
        }
        if (this.publishDelay === 0) return this.commit(state, policy);
        return new Promise((resolve) => {
          this.timers.push({ at: this.now + this.publishDelay, ms: this.publishDelay, seq: this.nextTimer++, run: () => resolve(this.commit(state, policy)) });
        });
      },
      acked: (generation) => {
        if (this.dies(me)) return never();
        const answer = new Promise<Record<string, number>>((resolve) => this.waiters.push({ generation, resolve }));
        this.answerWaiters();
        return answer;
      },
      probe: (version, mode) => {
        if (this.dies(me)) return;
        const seen = this.probed.get(version.slot)?.seen ?? new Map<string, BackendHealth>();
        if (mode === 'admitting' || mode === 'fresh') for (const [address, health] of seen) seen.set(address, { ...health, run: 0 });
        if (this.policy.health.kind === 'none') {
          for (const { address } of version.backends) {
            seen.set(address, { health: 'healthy', run: 0, probes: [] });
            this.passedOnce.add(`${version.id}@${version.createdAt}/${address}`);
          }
        }
        this.probed.set(version.slot, { version, mode, seen });
      },
      health: (version) => this.probed.get(version.slot)?.seen ?? new Map(),
      trust: (version, addresses) => {
        if (this.dies(me)) return;
        const trusted = this.trusted.get(version.slot) ?? new Set();
        for (const address of addresses) trusted.add(address);
        this.trusted.set(version.slot, trusted);
      },
      counts: (version) => this.counts(version.slot),
      peak: (version) => this.peaks.get(version.slot) ?? 0,
      sample: (version) => this.samples.of(version.slot),
      idle: (version) => !this.requests.some(({ slot }) => slot === version.slot),
      askGate: (_, question) => (this.dies(me) ? never() : this.outside.ask(question)),
      measure: () => (this.dies(me) ? never() : Promise.resolve(this.outside.checked)),
      cut: (version, kind, spreadMs) => {
        if (this.dies(me)) return;
        this.cuts.push({ id: version.id, kind, spreadMs });
        const kill = (): void => {
          for (const request of this.requests.filter(({ slot }) => slot === version.slot))
            if ((kind === 'requests') === (request.kind === 'http')) this.finish(request, 'killed');
        };
        if (spreadMs === 0) kill();
        // Not a timer of the driver: it is never left out.
        else this.timers.push({ at: this.now + spreadMs, ms: -1, run: kill, seq: this.nextTimer++ });
      },
      takeSlots: (count) => {
        if (me === this.crashed && count > this.freeRows) return null;
        return Array.from({ length: count }, () => this.nextSlot++);
      },
      freeSlots: (version) => {
        if (this.dies(me)) return;
        if (this.requests.some(({ slot }) => slot === version.slot)) this.broken(`rows of ${version.id} were freed with work in flight`);
      },
      giveBackSlots: () => undefined,
      emit: (event) => {
        if (!this.dies(me)) this.events.push(event);
      },
    };
  }
}
