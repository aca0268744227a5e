/**
 * THE LIFE OF A SWAP.
 *
 *     an operator asks, a probe ends, a deadline passes, the threads ack …
 *        │ 1 one event at a time
 *        ▼
 *     decide (machine.ts)         what follows from it: a state and a list of effects, nothing done yet
 *        │ 2
 *        ▼
 *     record (journal.ts)         on disk, or nothing happens
 *        │ 3
 *        ▼
 *     act                         trust ─ probe ─ publish ─ watch ─ cut ─ free ─ tell
 *        │ 4                                     │         │
 *        ▼                                       ▼         ▼
 *     wait                        for the next event: `published`, `acked`, `idle`, a deadline
 */
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { messageOf } from '../errors/message.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import type { Swap, UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import { Listeners } from './_listeners.ts';
import { Timers } from './_timers.ts';
import { Askers, asksOf } from './_askers.ts';
import { stepVerdict } from './_judgement.ts';
import { findVersion } from './_turn.ts';
import type { Effect, SwapEvent, World } from './events.ts';
import { explain } from './explain.ts';
import type { Explanation } from './explain.ts';
import { decide, nextDeadline } from './machine.ts';
import { planSwap } from './plan.ts';
import { refuseStale } from './stale.ts';
import type { SwapPorts, SwapRequest, VersionInput } from './ports.ts';
import type { Verdict } from './verdict.ts';

/** Between two looks at whether a draining version is idle. */
const IDLE_POLL = 10;
/** Before a failed publish, record or watch is tried again. */
const RETRY = 1_000;
/** A deadline that has passed but cannot be acted on yet is looked at again after this. */
const OVERDUE = 250;

/** Who asks, and on what condition: `ifMatch` is refused with `stale` unless it is the present revision. */
export interface Asker {
  readonly by: string;
  readonly ifMatch?: number;
}

/** Drives the swaps of one upstream: feeds events to the machine, records what it decides, and does it. */
export class UpstreamDriver {
  private current: UpstreamState;
  private policy: UpstreamPolicy;
  private readonly ports: SwapPorts;
  private readonly startedAt: number;
  private readonly timers: Timers;
  private readonly askers: Askers;
  private readonly listeners = new Listeners<UpstreamState>((error) => this.report(error));
  private queue: Promise<unknown> = Promise.resolve();
  private closed = false;
  /** The deadline that the timer is set for. */
  private armedFor: number | null = null;

  constructor(state: UpstreamState, policy: UpstreamPolicy, ports: SwapPorts) {
    this.current = state;
    this.policy = policy;
    this.ports = ports;
    this.startedAt = ports.now();
    this.timers = new Timers(ports);
    this.askers = new Askers(ports, (event) => this.post(event));
  }

  /** The last recorded state. */
  get state(): UpstreamState {
    return this.current;
  }

  /** Calls `listener` after each change, once it is recorded; the answer ends that. */
  changed(listener: (state: UpstreamState) => void): () => void {
    return this.listeners.add(listener);
  }

  // ── What an operator can ask. Each resolves when what follows at once has been done, and rejects with a Refusal when it cannot be. ──

  /** Registers a version and begins its admission; it ends in standby. `created` false = it was there, with the same backends. */
  async register(input: VersionInput, asker: Asker): Promise<{ created: boolean; version: Version }> {
    return this.inTurn(async () => {
      const known = findVersion(this.current, input.id) !== undefined;
      await this.ask({ type: 'register', input, slots: [], by: asker.by }, asker);
      const version = findVersion(this.current, input.id) ?? this.current.history.findLast((past) => past.version.id === input.id)?.version;
      if (version === undefined) throw new Refusal(REFUSAL.internal);
      return { created: !known, version };
    });
  }

  /** Makes a version of the configuration live as soon as it is healthy, without a time limit. Does nothing when something is live. */
  async seed(input: VersionInput, id: string, asker: Asker): Promise<void> {
    await this.inTurn(() => this.ask({ type: 'seed', input, slots: [], id, by: asker.by }, asker));
  }

  /** Starts a swap with this id. `started` false = the version is live, or this very swap is running; nothing was changed. `swap` is null when it is live without one. */
  async swap(request: SwapRequest, id: string, asker: Asker): Promise<{ started: boolean; swap: Swap | null }> {
    return this.inTurn(async () => {
      const before = this.current.swap?.id;
      await this.ask({ type: 'swap', request, slots: [], id, by: asker.by }, asker);
      const swap = this.current.swap;
      return { started: swap?.id !== before, swap };
    });
  }

  /** What a swap would do, in words. Refused like the swap itself; changes nothing. */
  plan(request: SwapRequest): { from: string | null; to: string; steps: string[] } {
    return planSwap(this.current, request, this.world());
  }

  /** Why the upstream, or one of its versions, is as it is. null = it has never had this version. */
  explain(version: string | null): Explanation | null {
    return explain(this.current, version, this.world());
  }

  /** What the running canary step has come to so far; null = none is judged. */
  verdict(): Verdict | null {
    return stepVerdict(this.current, this.world(), false);
  }

  async rollback(to: string | null, id: string, asker: Asker): Promise<Swap> {
    return this.inTurn(async () => {
      await this.ask({ type: 'rollback', to, id, by: asker.by }, asker);
      return this.lastSwap();
    });
  }

  async steer(verb: 'promote' | 'pause' | 'resume' | 'abort', asker: Asker): Promise<Swap> {
    return this.inTurn(async () => {
      await this.ask({ type: verb, by: asker.by }, asker);
      return this.lastSwap();
    });
  }

  async setSplit(weights: Readonly<Record<string, number>>, asker: Asker): Promise<UpstreamState> {
    return this.inTurn(() => this.ask({ type: 'split', weights, by: asker.by }, asker));
  }

  async hold(held: boolean, asker: Asker): Promise<UpstreamState> {
    return this.inTurn(() => this.ask({ type: 'hold', held, by: asker.by }, asker));
  }

  /** Drains and releases a version that is not live; rejects one that is admitting. */
  async remove(version: string, asker: Asker): Promise<UpstreamState> {
    return this.inTurn(() => this.ask({ type: 'remove', version, by: asker.by }, asker));
  }

  /** Decides by another policy from now on, and publishes it. */
  async setPolicy(policy: UpstreamPolicy, asker: Asker): Promise<UpstreamState> {
    return this.inTurn(async () => {
      const { policy: old, current } = this;
      try {
        this.policy = policy;
        return await this.ask({ type: 'policy', by: asker.by }, asker);
      } catch (error) {
        if (this.current === current) this.policy = old;
        throw error;
      }
    });
  }

  // ── What the world reports. ──

  /** Takes up a state read from the journal: takes ledger rows, trusts, publishes the recorded split. Resolves once that is served. */
  async recover(rebooted = false): Promise<void> {
    await this.inTurn(async () => {
      const slots = Object.fromEntries(this.current.versions.map(({ id, backends }) => [id, this.takeSlots(backends.length)]));
      await this.handle({ type: 'recovered', slots, rebooted });
    });
  }

  /** A probe of this version has ended. Called for each result, not only when the health has changed. */
  healthChanged(version: string, _address: string): void {
    this.post({ type: 'health', version });
  }

  /** Writes a step into the last swap, if the version is one of its. */
  async note(version: string, step: string, evidence: Readonly<Record<string, unknown>>): Promise<void> {
    await this.inTurn(() => this.handle({ type: 'noted', version, step, evidence }));
  }

  /** A deadline may have passed. The driver calls this itself; calling it more often does no harm. */
  tick(): void {
    this.post({ type: 'tick' });
  }

  /** Acts on nothing any more; resolves when the turn that is going on has ended. */
  async close(): Promise<void> {
    this.closed = true;
    this.timers.clear();
    this.askers.close();
    this.listeners.clear();
    await this.queue;
  }

  // ── One turn: decide, record, act, and what follows at once from that. ──

  private async handle(event: SwapEvent): Promise<void> {
    const waiting: SwapEvent[] = [event];
    let failure: unknown = null;
    for (let next = waiting.shift(); next !== undefined && !this.closed; next = waiting.shift()) {
      const { state, effects } = decide(this.current, next, this.world());
      this.record(state, next, event, effects);
      for (const effect of effects) {
        try {
          const followUp = await this.act(effect);
          // `published` speaks of the state that was published: nothing else may be decided before it.
          if (followUp?.type === 'published') waiting.unshift(followUp);
          else if (followUp !== null) waiting.push(followUp);
        } catch (error) {
          failure ??= error;
        }
        if (this.closed) return;
      }
    }
    this.arm();
    if (failure !== null) throw failure instanceof Error ? failure : new Error(messageOf(failure));
  }

  private record(state: UpstreamState, event: SwapEvent, asked: SwapEvent, effects: readonly Effect[]): void {
    if (state === this.current) return;
    try {
      this.ports.record(
        state,
        event.type,
        effects.flatMap((effect) => (effect.type === 'emit' ? [effect.event] : [])),
      );
    } catch (error) {
      if (event !== asked || !('by' in event)) this.retry(event);
      throw new Refusal(REFUSAL.internal, `The journal cannot be written, so nothing was done: ${messageOf(error)}.`);
    }
    this.current = state;
    this.listeners.tell(state);
  }

  /** What the world has reported is not lost when it could not be recorded: it is decided anew a little later. */
  private retry(event: SwapEvent): void {
    if (event.type === 'recovered') return;
    const about = 'version' in event ? event.version : 'generation' in event ? event.generation : 'key' in event ? event.key : '';
    if (event.type === 'published') this.timers.arm('publish', RETRY, () => this.republish());
    else this.timers.arm(`retry ${event.type} ${about}`, RETRY, () => this.post(event));
  }

  /** Does one effect; answers with the event that follows from it at once. */
  private async act(effect: Effect): Promise<SwapEvent | null> {
    switch (effect.type) {
      case 'trust':
        this.ports.trust(effect.version, effect.addresses, this.policy);
        return null;
      case 'probe':
        this.ports.probe(effect.version, effect.mode, this.policy);
        // Backends that are not probed are healthy at once, and nothing will report it.
        return effect.mode === 'admitting' || effect.mode === 'fresh' ? { type: 'health', version: effect.version.id } : null;
      case 'publish':
        return this.publish();
      case 'watch':
        this.watch(effect.generation);
        return null;
      case 'cut':
        this.ports.cut(effect.version, effect.kind, effect.spreadMs);
        return null;
      case 'free':
        this.ports.freeSlots(effect.version);
        return null;
      case 'emit':
        this.ports.emit(effect.event);
        return null;
    }
  }

  private async publish(): Promise<SwapEvent> {
    this.timers.disarm('publish');
    try {
      return { type: 'published', generation: await this.ports.publish(this.current, this.policy) };
    } catch (error) {
      this.timers.arm('publish', RETRY, () => this.republish());
      throw new Refusal(REFUSAL.internal, `It is recorded but could not be published yet; it is tried again: ${messageOf(error)}.`);
    }
  }

  private republish(): void {
    this.inTurn(async () => this.handle(await this.publish())).catch((error: unknown) => this.report(error));
  }

  private watch(generation: number): void {
    this.ports.acked(generation).then(
      (acks) => this.post({ type: 'acked', generation, acks }),
      (error: unknown) => {
        this.report(error);
        if (!this.closed) this.timers.arm(`watch ${generation}`, RETRY, () => this.watch(generation));
      },
    );
  }

  /** Sets the timers that the present state asks for, and asks whom it waits for. */
  private arm(): void {
    this.askers.keep(asksOf(this.current, this.policy));
    const deadline = nextDeadline(this.current, this.ports.now());
    if (deadline === null) this.timers.disarm('deadline');
    else if (deadline !== this.armedFor || !this.timers.has('deadline')) {
      // One that is set already is left alone: with events more often than OVERDUE it would be put off for ever.
      this.armedFor = deadline;
      const ms = deadline - this.ports.now();
      this.timers.arm('deadline', ms > 0 ? ms : OVERDUE, () => this.tick());
    }
    const waiting = this.current.versions.some((version) => version.phase === 'draining' && version.drain?.acks != null);
    if (waiting && !this.timers.has('idle')) this.timers.arm('idle', IDLE_POLL, () => this.pollIdle());
  }

  private pollIdle(): void {
    const waiting = this.current.versions.filter((version) => version.phase === 'draining' && version.drain?.acks != null);
    for (const version of waiting) if (this.ports.idle(version)) this.post({ type: 'idle', version: version.id });
    if (waiting.length > 0) this.timers.arm('idle', IDLE_POLL, () => this.pollIdle());
  }

  // ── The queue: one event after another. ──

  private inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(() => {
      if (this.closed) throw new Refusal(REFUSAL.internal, 'The proxy is shutting down.');
      return run();
    });
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  private post(event: SwapEvent): void {
    if (!this.closed) this.inTurn(() => this.handle(event)).catch((error: unknown) => this.report(error));
  }

  private async ask(event: SwapEvent, asker: Asker): Promise<UpstreamState> {
    refuseStale(this.current, asker.ifMatch);
    const ready = this.withSlots(event);
    try {
      await this.handle(ready);
    } catch (error) {
      this.giveBack(ready);
      this.arm();
      throw error;
    }
    return this.current;
  }

  /** Takes ledger rows for a version that the event would add: the decision is made once for trial, with rows that do not exist. */
  private withSlots(event: SwapEvent): SwapEvent {
    if (!('slots' in event) || event.type === 'recovered') return event;
    const trial = decide(this.current, event, this.world()).state.versions.find(({ id }) => findVersion(this.current, id) === undefined);
    return trial === undefined ? event : { ...event, slots: this.takeSlots(trial.backends.length) };
  }

  private takeSlots(backends: number): number[] {
    const slots = this.ports.takeSlots(backends + 1);
    if (slots === null) throw new Refusal(REFUSAL.slotsExhausted, `The ledger has no room for ${backends} more backends.`);
    return slots;
  }

  /** Rows that no version has come to hold go back. */
  private giveBack(event: SwapEvent): void {
    if (!('slots' in event) || event.type === 'recovered' || event.slots.length === 0) return;
    const slot = event.slots[event.slots.length - 1];
    const held = [...this.current.versions, ...this.current.history.map(({ version }) => version)].some((version) => version.slot === slot);
    if (!held) this.ports.giveBackSlots(event.slots);
  }

  private lastSwap(): Swap {
    if (this.current.swap === null) throw new Refusal(REFUSAL.noSwap);
    return this.current.swap;
  }

  private report(error: unknown): void {
    if (this.closed) return;
    this.ports.emit({ type: 'error', upstream: this.current.name, version: null, data: { error: messageOf(error) } });
  }

  private world(): World {
    const { ports } = this;
    return {
      now: ports.now(),
      policy: this.policy,
      startedAt: this.startedAt,
      health: (version) => ports.health(version),
      said: (version) => ports.said?.(version) ?? new Map(),
      counts: (version) => ports.counts(version),
      peak: (version) => ports.peak(version),
      sample: (version) => ports.sample(version),
      idle: (version) => ports.idle(version),
    };
  }
}
