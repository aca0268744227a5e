/**
 * The members of a worker upstream: who is there, what each has been told, and what it has in hand.
 *
 *     member                                    register
 *       │ report {generation: 6, in hand: 2} ──▶  it is alive until now + ttl
 *       │ ◀─────────── {order: quiesce, gen. 7}   told, but not yet proven: it may have taken a job meanwhile
 *       │ report {generation: 7, in hand: 3} ──▶  confirmed 7: nothing more begins, so three is all there is
 *       │ report {generation: 7, in hand: 0} ──▶  and this zero is a proof
 *
 * A member that is not heard of is presumed dead when its `ttl` has passed since its last report *came*; what it had in hand is counted as
 * killed then, in `expire` and nowhere else. A member stops taking work when `ttl × FENCE` has passed since that report was *sent*, by
 * its own clocks. Sent is before came, so it has stopped before it is presumed dead, unless the clocks differ by a fifth. Nothing that
 * the network does can change that: a report or an answer that is lost or late only makes the member stop sooner.
 */
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { BackendHealth } from '../health/evidence.ts';
import { emptyCounts } from '../ledger/control.ts';
import type { Counts } from '../ledger/control.ts';
import type { WorkerPolicy } from '../pool/policy.ts';
import { weightOf } from '../pool/split.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import { closeBooks, countReport, countsOf, emptyTally, keyOf, maySpend, newEntry, REPORTS_PER_SECOND, startedOf } from './_books.ts';
import type { Books, Entry } from './_books.ts';
import { Happened } from './_happened.ts';
import { healthOfPlaces } from './_places.ts';
import type { Order, OrderView, Report } from './report.ts';
import { savedOf } from './_saved.ts';
import type { Saved } from './_saved.ts';
import { pickRunning } from './shares.ts';

/** Share of the ttl after which a member that has had no answer takes no more work. */
export const FENCE = 0.8;
/** Share of the ttl within which the next report is asked for. */
const REPORT = 1 / 3;

export interface RegisterParts {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Epoch milliseconds. */
  readonly wall: () => number;
  /** There is other evidence about a version: a member has come, gone, or become ready. */
  readonly evidence: (version: string, member: string) => void;
  /** A member was presumed dead, or has gone, with so many leases in hand. */
  readonly lost: (entry: Entry, leases: number, why: string) => void;
}

interface Table {
  readonly generation: number;
  readonly state: UpstreamState;
}

export class Register {
  private readonly parts: RegisterParts;
  policy: WorkerPolicy;
  private readonly entries = new Map<string, Entry>();
  /** The newest instance of each member. */
  private readonly newest = new Map<string, Entry>();
  private readonly books = new Map<number, Books>();
  private table: Table | null = null;
  /** Another one whenever somebody may have to be told something else. */
  epoch = 0;
  /** Who is there is not as it was saved: who has come since is not told to run before it is. */
  unsaved = false;
  readonly happened = new Happened();

  constructor(policy: WorkerPolicy, parts: RegisterParts) {
    this.policy = policy;
    this.parts = parts;
  }

  /** @throws Refusal when there is no room, or the member was presumed dead. */
  report(id: string, report: Report): OrderView {
    const known = this.entries.get(keyOf(id, report.instance));
    const entry = known ?? this.join(id, report);
    if (!maySpend(entry, this.parts.now())) throw this.happened.tooOften(id, REPORTS_PER_SECOND);
    const before = { restored: entry.restored, ready: entry.ready, heard: entry.heard };
    if (known === undefined || report.seq === null || report.seq > entry.seq) this.take(entry, report);
    const isNews = known === undefined || before.restored || before.ready !== entry.ready || before.heard === 0;
    if (isNews) {
      this.assign(entry.slot);
      this.parts.evidence(entry.version, id);
    }
    return this.answer(entry);
  }

  private join(id: string, report: Report): Entry {
    const { instance, version, done } = report;
    if (done !== null && done.completed + done.failed + done.aborted > 0) throw this.happened.expired(id, instance);
    if (this.entries.size >= this.policy.maxMembers) throw this.happened.full(this.policy.maxMembers);
    const [now, wall] = [this.parts.now(), this.parts.wall()];
    const slot = this.slotOf(version);
    // Who comes back after its time to give back was over does not begin anew.
    const cutAt = slot === null ? null : (this.books.get(slot)?.cutAt ?? null);
    const late = cutAt !== null && now >= cutAt + this.policy.stop;
    const life = { now, until: now + this.policy.ttl, wall };
    const entry = newEntry({ id, instance, version, joinedAt: wall, spent: late, inHand: 0, tally: emptyTally() }, late ? null : slot, life);
    this.entries.set(keyOf(id, instance), entry);
    const older = this.newest.get(id);
    this.newest.set(id, entry);
    if (older !== undefined) this.assign(older.slot);
    this.epoch++;
    this.unsaved = true;
    return entry;
  }

  private take(entry: Entry, report: Report): void {
    const [now, wall] = [this.parts.now(), this.parts.wall()];
    entry.seq = report.seq ?? entry.seq;
    entry.restored = false;
    entry.heardAt = now;
    entry.wallAt = wall;
    // The answer before this one may have promised it longer.
    entry.until = Math.max(entry.until, now + this.policy.ttl);
    entry.confirmed = Math.max(entry.confirmed, Math.min(report.generation, entry.toldIn));
    entry.ready = report.ready;
    entry.heard++;
    const books = this.books.get(entry.slot ?? -1);
    const started = startedOf(entry.tally, entry.inHand);
    countReport(entry, report);
    if (books === undefined) return;
    if (startedOf(entry.tally, entry.inHand) > started) {
      if (books.firstAt === 0) books.firstAt = wall;
      books.lastAt = wall;
    }
    this.stopLate(entry, books);
    if (entry.inHand > 0) books.peak = Math.max(books.peak, this.inHand(books.slot));
  }

  /** What a member is to do, said to it. */
  private answer(entry: Entry): OrderView {
    const order = this.orderOf(entry);
    if (order === 'run') entry.ranIn = this.generation;
    entry.told = order;
    entry.toldIn = this.generation;
    const { ttl } = this.policy;
    return { order, generation: this.generation, reportWithin: Math.round(ttl * REPORT), expiresIn: Math.round(ttl * FENCE) };
  }

  /** Whether a member that follows this order should be told something: another order or generation, that it is not known any more, or that it is asked to report. */
  isNews(id: string, instance: string, heard: { readonly order: Order | null; readonly generation: number }): boolean {
    const entry = this.entries.get(keyOf(id, instance));
    return entry === undefined || entry.heard === 0 || heard.generation !== this.generation || heard.order !== this.orderOf(entry);
  }

  /** Says to a member what it is to do now. @throws Refusal when it is not there any more. */
  tell(id: string, instance: string): OrderView {
    const entry = this.entries.get(keyOf(id, instance));
    if (entry === undefined) throw new Refusal(REFUSAL.memberExpired, undefined, { member: id });
    return this.answer(entry);
  }

  /** What a polled member is to be told with the next poll, which may reach it up to `within` later. One that is overdue is not told to run. */
  polls(id: string, instance: string | null, within: number): OrderView {
    const { ttl } = this.policy;
    const entry = this.entries.get(keyOf(id, instance ?? ''));
    if (entry === undefined) return { order: 'quiesce', generation: this.generation, reportWithin: ttl * REPORT, expiresIn: ttl * FENCE };
    const now = this.parts.now();
    const answer = this.answer(entry);
    if (answer.order !== 'run') return answer;
    if (now - entry.heardAt > ttl / 2 || entry.restored || !entry.saved) return { ...answer, order: 'quiesce' };
    // It counts from when it got this, at the latest when we give up on its answer.
    entry.until = Math.max(entry.until, now + within + ttl);
    return answer;
  }

  /** What it is to do now. */
  orderOf(entry: Entry): Order {
    if (entry.spent || entry.stopAt !== null || this.newest.get(entry.id) !== entry) return 'stop';
    if (entry.slot === null) return 'quiesce';
    return entry.running ? 'run' : 'quiesce';
  }

  /** A member says that it will not come back. */
  goodbye(id: string, instance: string | null): void {
    const entry = instance === null ? this.newest.get(id) : this.entries.get(keyOf(id, instance));
    if (entry === undefined)
      throw new Refusal(REFUSAL.noMember, `There is no member ${id}${instance === null ? '' : ` with the instance ${instance}`}.`, { member: id });
    this.drop(entry, 'it has left');
  }

  /** @param assigned whether others take its place at once. */
  private drop(entry: Entry, why: string, assigned = true): void {
    const books = this.books.get(entry.slot ?? -1);
    const leases = closeBooks(entry, books);
    this.entries.delete(keyOf(entry.id, entry.instance));
    if (this.newest.get(entry.id) === entry) this.newest.delete(entry.id);
    if (books?.places.includes(entry.id) === true) books.lost.set(entry.id, { at: this.parts.wall(), error: why });
    this.unsaved = true;
    this.epoch++;
    if (assigned) this.assign(entry.slot);
    this.parts.lost(entry, leases, why);
    this.parts.evidence(entry.version, entry.id);
  }

  /** The member at a place did not answer a poll. */
  pollFailed(version: string, place: string, error: string): void {
    const slot = this.slotOf(version);
    if (slot === null || this.newest.get(place)?.slot === slot) return;
    this.books.get(slot)?.lost.set(place, { at: this.parts.wall(), error });
    this.parts.evidence(version, place);
  }

  /** Presumes dead whoever is overdue, and counts as killed what members that were told to stop still have in hand. */
  expire(): void {
    const now = this.parts.now();
    const slots = new Set<number | null>();
    for (const entry of this.all()) {
      const isLate = now >= entry.until;
      if (!isLate && (entry.inHand === 0 || now < this.stopDeadline(entry))) continue;
      const why = isLate ? `no report for ${this.policy.ttl / 1_000} s` : `it had work in hand ${this.policy.stop / 1_000} s after it was told to stop`;
      this.drop(entry, why, false);
      this.happened.lost++;
      slots.add(entry.slot);
    }
    // Once for all of them: hundreds may vanish in one moment.
    for (const slot of slots) this.assign(slot);
  }

  private stopDeadline({ stopAt }: Entry): number {
    return stopAt === null ? Number.POSITIVE_INFINITY : stopAt + this.policy.stop;
  }

  /** When `expire` has something to do, if nobody reports until then; null = never. */
  nextExpiry(): number | null {
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.entries.values()) next = Math.min(next, entry.until, entry.inHand > 0 ? this.stopDeadline(entry) : entry.until);
    return next === Number.POSITIVE_INFINITY ? null : next;
  }

  // ── What the life of a swap asks of it. ──
  get generation(): number {
    return this.table?.generation ?? 0;
  }

  /** From now on members are told by this state. */
  publish(state: UpstreamState, generation: number): void {
    this.table = { state, generation };
    this.epoch++;
    for (const books of this.books.values()) {
      // Taken back by a rollback: those that were not told to stop go on.
      if (weightOf(state.split, books.id) > 0) books.cutAt = null;
      this.assign(books.slot);
    }
  }

  /** A version that is new, or is asked once more whether it is ready: only what its members report from now on counts. */
  begin(version: Version, anew: boolean): void {
    if (!this.books.has(version.slot)) this.open(version);
    if (!anew) return;
    for (const entry of this.of(version.slot)) entry.heard = 0;
    this.epoch++;
  }

  private open({ id, slot, backends }: Version): void {
    const saved = this.restored.get(id);
    this.restored.delete(id);
    const { gone = emptyTally(), peak = 0, firstAt = 0, lastAt = 0 } = saved ?? {};
    const places = backends.map(({ address }) => address);
    this.books.set(slot, { id, slot, places, gone: { ...gone }, peak, firstAt, lastAt, cutAt: null, lost: new Map() });
    for (const entry of this.entries.values()) if (entry.version === id && entry.slot === null && !entry.spent) entry.slot = slot;
    this.assign(slot);
    this.unsaved = true;
  }

  /** Nobody can work for this version any more. */
  free({ slot }: Version): void {
    if (!this.books.delete(slot)) return;
    for (const entry of this.of(slot)) Object.assign(entry, { slot: null, spent: true, running: false });
    this.epoch++;
    this.unsaved = true;
  }

  /** Tells those members of a version that have work in hand to give it back. */
  cut({ slot }: Version): void {
    const books = this.books.get(slot);
    if (books === undefined) return;
    books.cutAt ??= this.parts.now();
    for (const entry of this.of(slot)) this.stopLate(entry, books);
  }

  private stopLate(entry: Entry, books: Books): void {
    if (books.cutAt === null || entry.inHand === 0 || entry.stopAt !== null) return;
    entry.stopAt = this.parts.now();
    this.epoch++;
  }

  /** What each member that is there follows, at least `generation`; null while one may still follow an older one that told it to run. */
  acks(generation: number): Record<string, number> | null {
    const acks: Record<string, number> = {};
    for (const entry of this.entries.values()) {
      if (entry.ranIn > 0 && entry.confirmed < generation) return null;
      if (entry.confirmed >= generation && this.newest.get(entry.id) === entry) acks[entry.id] = entry.confirmed;
    }
    return acks;
  }

  idle({ slot }: Version): boolean {
    return this.inHand(slot) === 0;
  }

  counts({ slot }: Version): Counts {
    const books = this.books.get(slot);
    return books === undefined ? emptyCounts() : countsOf(books, this.of(slot));
  }

  peak({ slot }: Version): number {
    return this.books.get(slot)?.peak ?? 0;
  }

  health(version: Version): ReadonlyMap<string, BackendHealth> {
    const books = this.books.get(version.slot);
    if (books === undefined) return new Map();
    const present = this.of(version.slot).filter((entry) => this.isNewest(entry));
    return healthOfPlaces(books, present, this.newest);
  }

  /** Of a version, with those that are about to be presumed dead. */
  of(slot: number): Entry[] {
    return [...this.entries.values()].filter((entry) => entry.slot === slot);
  }

  all(): Entry[] {
    return [...this.entries.values()];
  }

  isNewest(entry: Entry): boolean {
    return this.newest.get(entry.id) === entry;
  }

  isDeclared({ id, slot }: Entry): boolean {
    return this.books.get(slot ?? -1)?.places.includes(id) === true;
  }

  /** Milliseconds until it is presumed dead, unless it reports. */
  expiresIn(entry: Entry): number {
    return Math.max(0, Math.round(entry.until - this.parts.now()));
  }

  private inHand(slot: number): number {
    let sum = 0;
    for (const entry of this.entries.values()) if (entry.slot === slot) sum += entry.inHand;
    return sum;
  }

  private slotOf(version: string): number | null {
    for (const { id, slot } of this.books.values()) if (id === version) return slot;
    return null;
  }

  /** Decides who of a version runs. */
  private assign(slot: number | null): void {
    const books = this.books.get(slot ?? -1);
    if (books === undefined) return;
    const all = this.of(books.slot);
    const able = all.filter((entry) => entry.ready && !entry.restored && entry.stopAt === null && this.isNewest(entry));
    const running = pickRunning(able, this.weight(books.id));
    for (const entry of all) {
      if (entry.running !== running.has(entry)) this.epoch++;
      entry.running = running.has(entry);
    }
  }

  private weight(id: string): number {
    return this.table === null || this.table.state.held ? 0 : weightOf(this.table.state.split, id);
  }

  // ── Over a restart of the proxy. ──
  private readonly restored = new Map<string, Saved['versions'][string]>();

  /** Takes up who was there in an earlier life of the proxy. Nobody is believed to be alive, and nobody to have stopped, until heard or `ttl` has passed. */
  restore(saved: Saved): void {
    const now = this.parts.now();
    const life = { now, until: now + Math.max(saved.ttl, this.policy.ttl), wall: this.parts.wall() };
    for (const [id, one] of Object.entries(saved.versions)) this.restored.set(id, one);
    for (const member of saved.members) {
      const entry = newEntry(member, null, life);
      Object.assign(entry, { restored: true, saved: true, ranIn: member.spent ? 0 : saved.generation, toldIn: saved.generation });
      this.entries.set(keyOf(member.id, member.instance), entry);
      this.newest.set(member.id, entry);
    }
  }

  /** Whether it is on disk that this member is there; one that is not there need not be. */
  isSaved(id: string, instance: string): boolean {
    return this.entries.get(keyOf(id, instance))?.saved !== false;
  }

  /** What `save` gave last is on disk. */
  markSaved(): void {
    this.unsaved = false;
    for (const entry of this.entries.values()) entry.saved = true;
  }

  save(): Saved {
    const longest = this.all().reduce((most, { until }) => Math.max(most, until - this.parts.now()), this.policy.ttl);
    return savedOf(this.generation, longest, this.restored, [...this.books.values()], this.all());
  }
}
