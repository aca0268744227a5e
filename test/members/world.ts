import { Crew } from '../../src/members/crew.ts';
import type { CrewParts } from '../../src/members/crew.ts';
import type { Report } from '../../src/members/report.ts';
import { Refusal } from '../../src/errors/catalogue.ts';
import type { UpstreamPolicy, WorkerPolicy } from '../../src/pool/policy.ts';
import { emptyUpstream } from '../../src/pool/upstream.ts';
import type { UpstreamState } from '../../src/pool/upstream.ts';
import type { SwapPorts } from '../../src/swap/ports.ts';
import { UpstreamDriver } from '../../src/swap/swap.ts';
import { Standing } from '../../src/worker/standing.ts';
import type { Moment, Told } from '../../src/worker/standing.ts';

const EPOCH = 1_700_000_000_000;
/** The driver looks for idle versions a hundred times a second; here five times are enough. */
const IDLE_POLL = 10;
const IDLE_POLL_HERE = 200;

export const TTL = 10_000;
export const WORKER: WorkerPolicy = { ttl: TTL, stop: 2_000, maxMembers: 50, poll: null };

interface Timer {
  readonly at: number;
  readonly seq: number;
  readonly run: () => void;
}

/** A worker process: the client's rules over a clock of its own. */
export class Member {
  instance: string;
  leases = 0;
  done = { completed: 0, failed: 0, aborted: 0 };
  alive = true;
  cutOff = false;
  seq = 0;
  reportWithin = 1_000;
  readonly standing: Standing;
  readonly id: string;
  readonly version: string;

  /** @param rate of its clock: 1 = as the proxy's. */
  constructor(world: WorkersWorld, id: string, version: string, rate: number) {
    this.id = id;
    this.version = version;
    this.instance = world.nextName();
    this.standing = new Standing((): Moment => ({ steady: world.now * rate, wall: EPOCH + world.now * rate }));
  }
}

/** One worker upstream, its proxy and its members, over a network that loses and delays and a clock that moves when told. */
export class WorkersWorld {
  now = 0;
  readonly random: () => number;
  readonly policy: UpstreamPolicy;
  members: Member[] = [];
  disk: UpstreamState = emptyUpstream('jobs', EPOCH);
  saved: string | null = null;
  driver!: UpstreamDriver;
  crew!: Crew;
  up = false;
  saveFails = 0;
  loss = 0.1;
  delay = 500;
  violation: string | null = null;
  readonly log: string[] = [];
  readonly seen = new Map<string, number>();
  /** Jobs that were begun, by version; and whether anything ended otherwise than by its own word. */
  begun = new Map<string, number>();
  rough = new Set<string>();
  private life = 0;
  private timers: Timer[] = [];
  private seq = 0;
  private names = 0;

  constructor(random: () => number, policy: UpstreamPolicy) {
    this.random = random;
    this.policy = { ...policy, worker: WORKER };
  }

  nextName(): string {
    return `i${this.names++}`;
  }

  count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  broken(what: string): void {
    this.violation ??= `at ${this.now}: ${what}`;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.now + ms, seq: this.seq++, run };
    this.timers.push(timer);
    return () => {
      const at = this.timers.indexOf(timer);
      if (at !== -1) this.timers.splice(at, 1);
    };
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async advance(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.timers)
        if (timer.at <= until && (next === undefined || timer.at < next.at || (timer.at === next.at && timer.seq < next.seq))) next = timer;
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.now = until;
    await this.settle();
  }

  // ── The proxy. ──

  async start(): Promise<void> {
    const life = ++this.life;
    this.up = true;
    const after = (ms: number, run: () => void): (() => void) =>
      this.after(ms === IDLE_POLL ? IDLE_POLL_HERE : ms, () => {
        if (life === this.life) run();
      });
    const parts: CrewParts = {
      now: () => this.now,
      wall: () => EPOCH + this.now,
      after,
      store: {
        load: () => (this.saved === null ? null : (JSON.parse(this.saved) as ReturnType<CrewParts['store']['load']>)),
        save: (saved) => {
          if (life !== this.life) throw new Error('dead');
          if (this.saveFails > 0) {
            this.saveFails--;
            throw new Error('disk full');
          }
          this.saved = JSON.stringify(saved);
        },
      },
      evidence: (version, member) => this.driver.healthChanged(version, member),
      emit: ({ type, version, data }) => {
        if (type === 'killed' && 'member' in data) this.count('killed');
        // What it had begun and not reported is not known.
        if (version !== null && 'member' in data) this.rough.add(version);
      },
    };
    this.crew = new Crew('jobs', WORKER, parts);
    const ports = {
      ...this.crew.ports(),
      now: () => EPOCH + this.now,
      after,
      record: (state: UpstreamState) => {
        if (life !== this.life) throw new Error('dead');
        this.recorded(state);
      },
      emit: ({ type }: { type: string }) => this.count(type),
    } as unknown as SwapPorts;
    this.driver = new UpstreamDriver(this.disk, this.policy, ports);
    if (this.disk.revision > 0) this.driver.recover().catch((error: unknown) => this.log.push(`recover: ${String(error)}`));
    await this.settle();
  }

  /** kill -9. */
  crash(): void {
    this.life++;
    this.up = false;
    this.count('crash');
    for (const { id } of this.disk.versions) this.rough.add(id);
  }

  private recorded(state: UpstreamState): void {
    const before = this.disk;
    this.disk = state;
    this.log.push(`${this.now} ${state.versions.map(({ id, phase }) => `${id}=${phase}`).join(' ')}`);
    for (const { version, receipt } of state.history) {
      if (before.history.some((past) => past.version === version) || receipt === null) continue;
      this.count('receipt');
      const { started, completed, clientAborted, upstreamFailed, killed } = receipt.counts;
      if (started !== completed + clientAborted + upstreamFailed + killed) this.broken(`the receipt of ${version.id} does not balance`);
      if (!this.rough.has(version.id) && started !== (this.begun.get(version.id) ?? 0))
        this.broken(`the receipt of ${version.id} says that ${started} jobs were begun; there were ${this.begun.get(version.id) ?? 0}`);
      this.begun.delete(version.id);
      this.rough.delete(version.id);
    }
    for (const { id } of before.versions) {
      const is = state.versions.find((version) => version.id === id);
      const was = before.versions.find((version) => version.id === id);
      const over = is === undefined ? was?.drain?.acks != null : is.phase === 'drained' && was?.phase !== 'drained';
      if (over) this.mustBeIdle(id);
    }
  }

  /** Nobody of it can begin anything, and nobody who is not counted as dead has anything in hand. */
  private mustBeIdle(version: string): void {
    const known = new Set(this.crew.register.all().map(({ id, instance }) => `${id} ${instance}`));
    for (const member of this.members) {
      if (!member.alive || member.version !== version) continue;
      if (member.standing.current === 'run') this.broken(`${version} is drained while ${member.id} may take work`);
      if (member.leases > 0 && known.has(`${member.id} ${member.instance}`))
        this.broken(`${version} is drained while ${member.id} has ${member.leases} in hand`);
    }
  }

  // ── Members. ──

  hire(id: string, version: string): void {
    const member = new Member(this, id, version, 0.85 + this.random() * 0.3);
    this.members.push(member);
    this.send(member);
  }

  /** The process is gone at once. */
  kill(member: Member): void {
    member.alive = false;
    this.rough.add(member.version);
    this.members = this.members.filter((other) => other !== member);
  }

  take(member: Member): void {
    if (!member.alive || member.standing.current !== 'run') return;
    const version = this.disk.versions.find(({ id }) => id === member.version);
    if (version === undefined || version.phase === 'drained' || (version.phase === 'draining' && version.drain?.acks != null))
      this.broken(`${member.id} began a job for ${member.version}, which is ${version?.phase ?? 'gone'}`);
    member.leases++;
    this.count('job');
    this.begun.set(member.version, (this.begun.get(member.version) ?? 0) + 1);
  }

  finish(member: Member, how: keyof Member['done'] = 'completed'): void {
    if (member.leases === 0) return;
    member.leases--;
    member.done[how]++;
  }

  private lost(): boolean {
    return this.random() < this.loss;
  }

  /** One report, over the network and back; the next one follows. */
  private send(member: Member): void {
    if (!member.alive) return;
    const report: Report = {
      version: member.version,
      instance: member.instance,
      seq: ++member.seq,
      inHand: member.leases,
      names: [],
      ready: true,
      done: { ...member.done },
      generation: member.standing.generation,
      order: member.standing.told,
    };
    const sentAt: Moment = member.standing['now']();
    const abort = new AbortController();
    let open = true;
    const close = (then: () => void): void => {
      if (!open) return;
      open = false;
      cancel();
      abort.abort();
      then();
    };
    const cancel = this.after(member.reportWithin * 2, () => close(() => this.send(member)));
    if (this.lost() || member.cutOff) return;
    this.after(this.random() * this.delay, () => {
      if (!this.up) return;
      const life = this.life;
      this.crew.report(member.id, report, member.reportWithin, abort.signal).then(
        (told) => this.deliver(member, life, () => close(() => this.heard(member, told, report.seq ?? 0, sentAt))),
        (error: unknown) => this.deliver(member, life, () => close(() => this.refused(member, error))),
      );
    });
  }

  private deliver(member: Member, life: number, run: () => void): void {
    if (life !== this.life || this.lost() || member.cutOff) return;
    this.after(this.random() * this.delay, run);
  }

  private heard(member: Member, told: Told, seq: number, sentAt: Moment): void {
    member.standing.hear(told, seq, sentAt);
    member.reportWithin = told.reportWithin;
    this.count(told.order);
    if (told.order === 'stop') while (member.leases > 0) this.finish(member, 'aborted');
    this.after(25, () => this.send(member));
  }

  private refused(member: Member, error: unknown): void {
    const code = error instanceof Refusal ? error.fault.code : String(error);
    this.count(code);
    if (code === 'member-expired') {
      if (member.standing.told === 'stop') return this.kill(member);
      member.instance = this.nextName();
      member.done = { completed: 0, failed: 0, aborted: 0 };
      member.standing.forget();
    } else if (!/disk full|Error: dead|members-full|too-many/.test(code)) this.broken(`a member got ${code}`);
    this.after(500, () => this.send(member));
  }
}
