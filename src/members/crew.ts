import type { Counts } from '../ledger/control.ts';
import { BINS } from '../ledger/layout.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { messageOf } from '../errors/message.ts';
import type { Version } from '../pool/version.ts';
import type { WorkerPolicy } from '../pool/policy.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import type { SwapPorts, SwitchyardEvent } from '../swap/ports.ts';
import type { Entry } from './_books.ts';
import type { Saved } from './_saved.ts';
import { Register } from './register.ts';
import type { Order, OrderView, Report } from './report.ts';

/** Figures change all the time; they are on disk so long later. Who is there is on disk before it is told to run. */
const SAVE_MS = 5_000;
/** Those who come within so long of the last save are saved together, so that hundreds who come at once do not cost a write each; */
const TOGETHER_MS = 25;
/** … and writing takes at most this share of the time, however slow the disk is. */
const SAVING_SHARE = 0.2;
/** Before a save that has failed is tried again for them. */
const RETRY_MS = 1_000;
/** Reports that may wait for other orders at a time; the answer to more comes at once. */
const MOST_WAITING = 1_000;

export interface CrewParts {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Epoch milliseconds. */
  readonly wall: () => number;
  /** Calls `run` once after `ms`; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  readonly store: { load(): Saved | null; save(saved: Saved): void };
  /** There is other evidence about a version. */
  readonly evidence: (version: string, member: string) => void;
  readonly emit: (event: SwitchyardEvent) => void;
}

/**
 * A canary of workers is judged by the jobs that have failed, and those that were lost with the process that had them in hand: a version that
 * crashes with each job says of none that it has failed. Those that were given back undone are for somebody else to do.
 */
function sampleOf({ started, completed, upstreamFailed, killed }: Counts): ReturnType<SwapPorts['sample']> {
  const errors = upstreamFailed + killed;
  return { started, requests: completed + errors, errors, bins: Array.from({ length: BINS }, () => 0) };
}

interface Waiting {
  readonly id: string;
  readonly instance: string;
  readonly heard: { readonly order: Order | null; readonly generation: number };
  readonly finish: (failure?: unknown) => void;
}

/**
 * The workers of one upstream, as the life of a swap sees them: where `SwapPorts` speak of backends it is members, of requests leases, of
 * data threads the members again, since each of them acks the orders of a generation.
 */
export class Crew {
  private readonly name: string;
  private readonly parts: CrewParts;
  readonly register: Register;
  private generation: number;
  private readonly waiting = new Set<Waiting>();
  private readonly watchers = new Set<{ generation: number; resolve: (acks: Record<string, number>) => void }>();
  private seenEpoch = 0;
  private nextSlot = 1;
  private cancelExpiry = (): void => undefined;
  private cancelSave: (() => void) | null = null;
  /** Who waits to be on disk. */
  private savers: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  private cancelJoint: (() => void) | null = null;
  private saveAgainAt = Number.NEGATIVE_INFINITY;
  private closed = false;

  /** @throws Refusal when what is on disk is damaged. */
  constructor(name: string, policy: WorkerPolicy, parts: CrewParts) {
    this.name = name;
    this.parts = parts;
    this.register = new Register(policy, { now: parts.now, wall: parts.wall, evidence: parts.evidence, lost: (...about) => this.lost(...about) });
    const saved = parts.store.load();
    this.generation = saved?.generation ?? 0;
    if (saved !== null) this.register.restore(saved);
    this.armExpiry();
  }

  setPolicy(policy: WorkerPolicy): void {
    this.register.policy = policy;
    this.armExpiry();
  }

  /**
   * Takes a report and answers with what the member is to do: at once when that is not what it follows already, else after `waitMs`, or as soon as it changes.
   * @throws Refusal when it cannot be taken.
   */
  async report(id: string, report: Report, waitMs: number, signal: AbortSignal): Promise<OrderView> {
    this.take(id, report);
    const { instance, order, generation } = report;
    if (!this.register.isSaved(id, instance)) await this.saved();
    const news = this.register.isNews(id, instance, { order, generation });
    if (waitMs > 0 && !news && this.waiting.size < MOST_WAITING) await this.wait({ id, instance, heard: { order, generation } }, waitMs, signal);
    return this.register.tell(id, instance);
  }

  /** Takes a report, of a member that may not be on disk yet. @throws Refusal when it cannot be taken. */
  take(id: string, report: Report): void {
    this.register.report(id, report);
    this.settle();
  }

  private wait(about: Omit<Waiting, 'finish'>, ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        this.waiting.delete(waiting);
        cancel();
        signal.removeEventListener('abort', finish);
        resolve();
      };
      const waiting: Waiting = { ...about, finish };
      const cancel = this.parts.after(ms, finish);
      this.waiting.add(waiting);
      signal.addEventListener('abort', finish, { once: true });
      if (signal.aborted || this.closed) finish();
    });
  }

  goodbye(id: string, instance: string | null): void {
    this.register.goodbye(id, instance);
    this.settle();
  }

  /** What has changed is saved, at once or with what changes next, and told to whoever waits for it. */
  private settle(): void {
    if (this.register.unsaved) this.saveSoon();
    else this.saveLater();
    this.answerWatchers();
    this.wake();
    this.armExpiry();
  }

  /** Resolves when whoever is there now is on disk. @throws when that cannot be: then it is not told to run. */
  private saved(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.closed) reject(new Refusal(REFUSAL.internal, 'The proxy is shutting down.'));
      else this.savers.push({ resolve, reject });
    });
  }

  /** @throws when it cannot be saved; so does whoever waits for it. */
  private save(): void {
    const began = this.parts.now();
    this.cancelJoint?.();
    this.cancelJoint = null;
    const { savers } = this;
    this.savers = [];
    try {
      this.parts.store.save(this.snapshot());
    } catch (error) {
      this.saveAgainAt = this.parts.now() + RETRY_MS;
      for (const { reject } of savers) reject(error);
      throw error;
    }
    const now = this.parts.now();
    this.saveAgainAt = now + Math.max(TOGETHER_MS, (now - began) / SAVING_SHARE);
    this.register.markSaved();
    for (const { resolve } of savers) resolve();
  }

  private saveSoon(): void {
    const wait = this.saveAgainAt - this.parts.now();
    if (wait <= 0) this.attempt(() => this.save());
    if (this.closed || !this.register.unsaved) return;
    this.cancelJoint ??= this.parts.after(Math.max(1, this.saveAgainAt - this.parts.now()), () => this.attempt(() => this.save()));
  }

  private snapshot(): Saved {
    return { ...this.register.save(), generation: this.generation };
  }

  private saveLater(): void {
    if (this.closed) return;
    this.cancelSave ??= this.parts.after(SAVE_MS, () => {
      this.cancelSave = null;
      this.attempt(() => this.save());
    });
  }

  private attempt(run: () => void): void {
    try {
      run();
    } catch (error) {
      const said = messageOf(error);
      this.parts.emit({ type: 'error', upstream: this.name, version: null, data: { error: `the members could not be saved: ${said}` } });
      this.saveLater();
    }
  }

  private wake(): void {
    if (this.register.epoch === this.seenEpoch) return;
    this.seenEpoch = this.register.epoch;
    for (const waiting of this.waiting) if (this.register.isNews(waiting.id, waiting.instance, waiting.heard)) waiting.finish();
  }

  private answerWatchers(): void {
    for (const watcher of this.watchers) {
      const acks = this.register.acks(watcher.generation);
      if (acks === null) continue;
      this.watchers.delete(watcher);
      watcher.resolve(acks);
    }
  }

  private armExpiry(): void {
    this.cancelExpiry();
    const next = this.closed ? null : this.register.nextExpiry();
    if (next === null) return;
    this.cancelExpiry = this.parts.after(Math.max(1, Math.ceil(next - this.parts.now())), () => {
      this.register.expire();
      this.settle();
      this.armExpiry();
    });
  }

  private lost({ id, version }: Entry, leases: number, why: string): void {
    if (leases > 0) this.parts.emit({ type: 'killed', upstream: this.name, version, data: { member: id, inFlight: leases, why } });
    this.parts.emit({ type: 'health', upstream: this.name, version, data: { member: id, health: 'gone', why } });
  }

  /** Ends long polls and timers; what is known is saved. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.cancelExpiry();
    this.cancelSave?.();
    this.cancelJoint?.();
    for (const waiting of this.waiting) waiting.finish();
    this.attempt(() => this.save());
  }

  /** What the life of a swap gets of workers. The clock, timers, the journal and what is asked outside are for the caller to add. */
  ports(): Omit<SwapPorts, 'now' | 'after' | 'record' | 'emit' | 'askGate' | 'measure'> {
    const { register } = this;
    return {
      publish: (state) => Promise.resolve().then(() => this.publish(state)),
      acked: (generation) => this.acked(generation),
      probe: (version, mode) => this.probe(version, mode),
      health: (version) => register.health(version),
      // Whoever of a version reports that it is ready may run once the version has weight, and that comes after its admission only.
      trust: () => undefined,
      counts: (version) => register.counts(version),
      peak: (version) => register.peak(version),
      sample: (version) => sampleOf(register.counts(version)),
      idle: (version) => register.idle(version),
      cut: (version, kind) => this.cut(version, kind),
      takeSlots: (count) => Array.from({ length: count }, () => this.nextSlot++),
      freeSlots: (version) => this.free(version),
      giveBackSlots: () => undefined,
    };
  }

  private publish(state: UpstreamState): number {
    this.generation++;
    this.save();
    this.register.publish(state, this.generation);
    this.settle();
    return this.generation;
  }

  private acked(generation: number): Promise<Record<string, number>> {
    const answer = new Promise<Record<string, number>>((resolve) => this.watchers.add({ generation, resolve }));
    this.answerWatchers();
    return answer;
  }

  private probe(version: Version, mode: Parameters<SwapPorts['probe']>[1]): void {
    if (mode === 'off') return;
    this.register.begin(version, mode !== 'steady');
    this.settle();
  }

  private cut(version: Version, kind: 'requests' | 'tunnels'): void {
    if (kind === 'tunnels') return;
    this.register.cut(version);
    this.settle();
  }

  private free(version: Version): void {
    this.register.free(version);
    this.settle();
  }
}
