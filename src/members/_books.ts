import { emptyCounts } from '../ledger/control.ts';
import type { Counts } from '../ledger/control.ts';
import type { Done, Order, Report } from './report.ts';

/** What has become of leases. Those that are in hand are not in it: started = completed + failed + aborted + killed + in hand. */
export interface Tally {
  completed: number;
  failed: number;
  aborted: number;
  killed: number;
}

export function emptyTally(): Tally {
  return { completed: 0, failed: 0, aborted: 0, killed: 0 };
}

/** One life of a member: one instance of it. */
export interface Entry {
  readonly id: string;
  readonly instance: string;
  readonly version: string;
  /** Row of the version that it is of; null = nobody has declared that version yet. */
  slot: number | null;
  /** Its version has gone: it can never work again. */
  spent: boolean;
  /** Known from before the proxy was started, and not heard since. */
  restored: boolean;
  /** It is on disk that it is there: before that it is not told to run. */
  saved: boolean;
  /** On the monotonic clock: when it was last heard, and when it is presumed dead. */
  heardAt: number;
  until: number;
  /** Epoch milliseconds. */
  readonly joinedAt: number;
  wallAt: number;
  /** The order of this generation, or of a later one, is what it follows. */
  confirmed: number;
  /** The last generation in which it was told to run; 0 = in none. */
  ranIn: number;
  /** What it was told last, and in which generation. */
  told: Order;
  toldIn: number;
  running: boolean;
  /** When it was told to stop because its time was over, monotonic; it is never told otherwise. */
  stopAt: number | null;
  inHand: number;
  names: readonly string[];
  tally: Tally;
  seq: number;
  ready: boolean;
  /** Reports since the present round of its version's admission began. */
  heard: number;
  /** Reports that it may send now, and since when it may send more. */
  credit: number;
  creditAt: number;
}

export function keyOf(id: string, instance: string): string {
  return `${id}\n${instance}`;
}

/** What is kept about a version beside its members that are there. */
export interface Books {
  readonly id: string;
  readonly slot: number;
  readonly places: readonly string[];
  /** Of members that are not there any more. */
  readonly gone: Tally;
  peak: number;
  /** Epoch milliseconds; 0 = no lease yet. */
  firstAt: number;
  lastAt: number;
  /** When those with work in hand were told to stop, monotonic; null = they were not. */
  cutAt: number | null;
  /** Why a member that was there is not any more, by its name; of places only. */
  readonly lost: Map<string, { readonly at: number; readonly error: string }>;
}

/** Reports that one member may send: so many a second, and at once. */
export const REPORTS_PER_SECOND = 50;
const BURST = 100;

/** Whether it may report once more; if so, that is taken into account. */
export function maySpend(entry: Entry, now: number): boolean {
  entry.credit = Math.min(BURST, entry.credit + ((now - entry.creditAt) * REPORTS_PER_SECOND) / 1_000);
  entry.creditAt = now;
  if (entry.credit < 1) return false;
  entry.credit--;
  return true;
}

/** A member as it is first known. `now` and `until` are monotonic, `wall` epoch milliseconds. */
export function newEntry(
  who: Pick<Entry, 'id' | 'instance' | 'version' | 'joinedAt' | 'spent' | 'inHand' | 'tally'>,
  slot: number | null,
  { now, until, wall }: { readonly now: number; readonly until: number; readonly wall: number },
): Entry {
  return {
    ...who,
    tally: { ...who.tally },
    slot,
    restored: false,
    saved: false,
    heardAt: now,
    until,
    wallAt: wall,
    confirmed: 0,
    ranIn: 0,
    told: 'quiesce',
    toldIn: 0,
    running: false,
    stopAt: null,
    names: [],
    seq: -1,
    ready: false,
    heard: 0,
    credit: BURST,
    creditAt: now,
  };
}

export function add(into: Tally, tally: Tally): void {
  into.completed += tally.completed;
  into.failed += tally.failed;
  into.aborted += tally.aborted;
  into.killed += tally.killed;
}

export function startedOf(tally: Tally, inHand: number): number {
  return tally.completed + tally.failed + tally.aborted + tally.killed + inHand;
}

/** Takes what a member says of its leases into its books. No report can take back what an earlier one has said. */
export function countReport(entry: Entry, { done, inHand, names }: Report): void {
  const { tally } = entry;
  const before = startedOf(tally, entry.inHand);
  if (done !== null) raise(tally, done);
  entry.inHand = inHand;
  entry.names = names;
  const missing = before - startedOf(tally, inHand);
  if (missing <= 0) return;
  // Leases that have vanished: given back without a word, or finished, by one that does not count what it has done.
  if (done === null) tally.completed += missing;
  else tally.aborted += missing;
}

function raise(tally: Tally, done: Done): void {
  tally.completed = Math.max(tally.completed, done.completed);
  tally.failed = Math.max(tally.failed, done.failed);
  tally.aborted = Math.max(tally.aborted, done.aborted);
}

/** Closes the books of a member that has gone: what it had in hand is counted as killed. @returns how many leases that are. */
export function closeBooks(entry: Entry, books: Books | undefined): number {
  const lost = entry.inHand;
  entry.tally.killed += lost;
  entry.inHand = 0;
  if (books !== undefined) add(books.gone, entry.tally);
  return lost;
}

/** The figures of a version, in the words of the ledger. */
export function countsOf({ gone, firstAt, lastAt }: Books, entries: readonly Entry[]): Counts {
  const sum = emptyTally();
  let inFlight = 0;
  add(sum, gone);
  for (const { tally, inHand } of entries) {
    add(sum, tally);
    inFlight += inHand;
  }
  return {
    ...emptyCounts(),
    started: startedOf(sum, inFlight),
    completed: sum.completed,
    clientAborted: sum.aborted,
    upstreamFailed: sum.failed,
    killed: sum.killed,
    killedByKind: { http: sum.killed, stream: 0, tunnel: 0 },
    inFlight,
    firstAt,
    lastAt,
  };
}
