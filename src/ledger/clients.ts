/**
 * The client table: connections and request rates by client address, over all threads, in one SharedArrayBuffer of fixed size.
 *
 *     ┌ head (Int32) ──────────────────────────────────────────────────────────────────┐
 *     │ sets · threads · two words of hash key                                          │
 *     ├ locks (Int32) ──────────────────────────────────────────────────────────────────┤
 *     │ per set: 0, or 1 + the thread that puts a client into a row of it               │
 *     ├ sets: 8 rows of 16 bytes, two cache lines ──────────────────────────────────────┤
 *     │ row:  tag (Int32) · connections (Int32) · arrival (Int64)                       │
 *     │       who         · open now, or −1−thread · theoretical arrival time,          │
 *     │       0 = nobody    while it changes hands   ns on the machine's clock          │
 *     ├ per thread (Int32) ─────────────────────────────────────────────────────────────┤
 *     │ per row: connections of that thread       written by it only, for its funeral   │
 *     └─────────────────────────────────────────────────────────────────────────────────┘
 *
 * A client is known by 45 bits or more of a keyed hash of its address and of what is counted (`scope`): those that choose the
 * set, and the tag. Two clients of one set have the same tag, and share a row, once in four billion.
 *
 * Connections and tokens are taken by compare-and-swap, so that many threads count as exactly as one. Only who puts a new client
 * into a row takes the lock of its set, so that no client ever has two rows.
 */
import { clientKey } from './_client-key.ts';
import { KeyedHash } from './_keyed-hash.ts';

export const CLIENTS_HEAD = { sets: 0, threads: 1, key: 2 } as const;
export const ROW = { tag: 0, connections: 1 } as const;
export const ROW_WORDS = 4;
const WAYS = 8;
const HEAD_WORDS = 16;
const MOST_TRIES = 100;
/** Some 100 µs: who holds a lock for longer has been put to sleep in the middle of it. */
const MOST_SPINS = 20_000;

/** Answers of `connect` that are not rows. */
export const CONNECT = { refused: -1, uncounted: -2 } as const;
/** Answer of `take`: there was no room to count it. */
export const UNCOUNTED = -1;

export interface ClientsLayout {
  readonly rows: number;
  /** Int32 indexes. */
  readonly locks: number;
  readonly table: number;
  /** Of thread 0; each thread has `rows` cells. */
  readonly own: number;
  readonly bytes: number;
}

/** How many sets so many rows make; a power of two. */
export function setsFor(rows: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, rows / WAYS)));
}

export function clientsLayout(sets: number, threads: number): ClientsLayout {
  const locks = HEAD_WORDS;
  const table = locks + Math.ceil(sets / HEAD_WORDS) * HEAD_WORDS;
  const rows = sets * WAYS;
  const own = table + rows * ROW_WORDS;
  return { rows, locks, table, own, bytes: (own + rows * threads) * 4 };
}

/** A token bucket: `requests` in `per` milliseconds, `burst` of them at once. */
export interface Rate {
  readonly requests: number;
  readonly per: number;
  readonly burst: number;
}

/** A data thread's side of the client table. `now` is always whole nanoseconds on a clock that all threads share. */
export class ClientTable {
  private readonly i32: Int32Array;
  private readonly i64: BigInt64Array;
  private readonly hash: KeyedHash;
  private readonly mask: number;
  private readonly locks: number;
  private readonly table: number;
  private readonly own: number;
  private readonly mark: number;
  private readonly key = new Int32Array(3);

  constructor(buffer: SharedArrayBuffer, thread: number) {
    this.i32 = new Int32Array(buffer);
    this.i64 = new BigInt64Array(buffer);
    const sets = this.i32[CLIENTS_HEAD.sets];
    const layout = clientsLayout(sets, this.i32[CLIENTS_HEAD.threads]);
    this.hash = new KeyedHash(this.i32[CLIENTS_HEAD.key], this.i32[CLIENTS_HEAD.key + 1]);
    this.mask = sets - 1;
    this.locks = layout.locks;
    this.table = layout.table;
    this.own = layout.own + thread * layout.rows;
    this.mark = thread + 1;
  }

  /**
   * Counts a connection of a client, unless it has `most` of them.
   * @returns its row, for `disconnect`; or CONNECT.refused; or CONNECT.uncounted when there is no room.
   */
  connect(address: string, most: number, now: number): number {
    const tag = this.identify(address, 0);
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const at = this.find(tag, now);
      if (at === UNCOUNTED) break;
      const open = Atomics.load(this.i32, at + ROW.connections);
      if (open >= most) return CONNECT.refused;
      if (open < 0 || Atomics.compareExchange(this.i32, at + ROW.connections, open, open + 1) !== open) continue;
      // From here on the row cannot change hands; it may have done so just before.
      if (Atomics.load(this.i32, at + ROW.tag) === tag) {
        const row = (at - this.table) / ROW_WORDS;
        this.i32[this.own + row]++;
        return row;
      }
      Atomics.sub(this.i32, at + ROW.connections, 1);
    }
    return CONNECT.uncounted;
  }

  /** Ends what `connect` has counted. */
  disconnect(row: number): void {
    this.i32[this.own + row]--;
    Atomics.sub(this.i32, this.table + row * ROW_WORDS + ROW.connections, 1);
  }

  /**
   * Takes a token from a client's bucket, by the generic cell rate algorithm: the row keeps the time at which the
   * bucket is full again. @param scope what is counted; each has a bucket of its own.
   * @returns 0 when there was one; else in how many nanoseconds there is; or UNCOUNTED, when it could not be counted.
   */
  take(address: string, scope: number, { requests, per, burst }: Rate, now: number): number {
    // Whole, like all that is stored, so that no error adds up.
    const interval = Math.ceil((per * 1e6) / requests);
    const full = interval * burst;
    const tag = this.identify(address, scope);
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const at = this.find(tag, now);
      if (at === UNCOUNTED) break;
      const known = Atomics.load(this.i64, at / 2 + 1);
      if (Atomics.load(this.i32, at + ROW.tag) !== tag) continue;
      // What an earlier, more generous limit left behind counts as an empty bucket.
      const debt = Math.min(Math.max(Number(known) - now, 0), full) + interval;
      if (debt > full) return debt - full;
      if (Atomics.compareExchange(this.i64, at / 2 + 1, known, BigInt(now + debt)) === known) return 0;
    }
    return UNCOUNTED;
  }

  /** Looks at a client's bucket. @returns in how many nanoseconds it is full; 0 when it is, or nothing is known of the client. */
  untilFull(address: string, scope: number, now: number): number {
    const tag = this.identify(address, scope);
    const at = this.search(this.table + (this.hash.first & this.mask) * WAYS * ROW_WORDS, tag);
    if (at === UNCOUNTED) return 0;
    const known = Number(Atomics.load(this.i64, at / 2 + 1));
    return Atomics.load(this.i32, at + ROW.tag) === tag ? Math.max(0, known - now) : 0;
  }

  /** The tag of a client; its set is in `hash.first`. */
  private identify(address: string, scope: number): number {
    const { key, hash } = this;
    clientKey(address, key);
    hash.of(key[0], key[1], key[2], scope);
    return hash.second === 0 ? 1 : hash.second;
  }

  /** Index of the client's row, which it gets now if it has none; or UNCOUNTED. */
  private find(tag: number, now: number): number {
    const first = this.table + (this.hash.first & this.mask) * WAYS * ROW_WORDS;
    const at = this.search(first, tag);
    if (at !== UNCOUNTED) return at;
    const lock = this.locks + (this.hash.first & this.mask);
    for (let spins = 0; Atomics.compareExchange(this.i32, lock, 0, this.mark) !== 0; spins++) if (spins === MOST_SPINS) return UNCOUNTED;
    const found = this.search(first, tag);
    const row = found === UNCOUNTED ? this.insert(first, tag, now) : found;
    Atomics.store(this.i32, lock, 0);
    return row;
  }

  private search(first: number, tag: number): number {
    for (let at = first; at < first + WAYS * ROW_WORDS; at += ROW_WORDS) if (Atomics.load(this.i32, at + ROW.tag) === tag) return at;
    return UNCOUNTED;
  }

  /** Gives the client the row without connections that is idle the longest: that whose bucket has been full for the longest time. */
  private insert(first: number, tag: number, now: number): number {
    for (let tries = 0; tries < WAYS; tries++) {
      const at = this.idlest(first);
      if (at === UNCOUNTED) return UNCOUNTED;
      if (Atomics.compareExchange(this.i32, at + ROW.connections, 0, -this.mark) !== 0) continue;
      // Nobody finds the row meanwhile: neither who had it, nor who gets it.
      Atomics.store(this.i32, at + ROW.tag, 0);
      Atomics.store(this.i64, at / 2 + 1, BigInt(now));
      Atomics.store(this.i32, at + ROW.connections, 0);
      Atomics.store(this.i32, at + ROW.tag, tag);
      return at;
    }
    return UNCOUNTED;
  }

  private idlest(first: number): number {
    let found = UNCOUNTED;
    let least = 0n;
    for (let at = first; at < first + WAYS * ROW_WORDS; at += ROW_WORDS) {
      if (Atomics.load(this.i32, at + ROW.connections) !== 0) continue;
      if (this.i32[at + ROW.tag] === 0) return at;
      const arrival = Atomics.load(this.i64, at / 2 + 1);
      if (found !== UNCOUNTED && arrival >= least) continue;
      found = at;
      least = arrival;
    }
    return found;
  }
}
