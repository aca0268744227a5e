import { z } from 'zod';
import { LineLog } from '../disk/log.ts';

/** Where an event comes from: the decision in the journal that it is part of. */
export interface Origin {
  /** Of the decision; rises with each. */
  readonly seq: number;
  /** Position among the events of that decision. */
  readonly n: number;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** An event on its way to one receiver. */
export interface Delivery {
  /** The same at every attempt, and for all receivers of the event. */
  readonly id: string;
  /** null = of no upstream. */
  readonly upstream: string | null;
  /** When it happened; epoch milliseconds. */
  readonly at: number;
  /** JSON as it is sent. */
  readonly body: string;
  /** null = the event is in no journal. */
  readonly origin: Omit<Origin, 'at'> | null;
}

/** How often it has been tried in vain, and when the next attempt is due; epoch milliseconds. */
export interface Tries {
  readonly attempts: number;
  readonly next: number;
}

export interface DeadDelivery {
  readonly delivery: Delivery;
  readonly why: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

const MOST_DEAD = 1_000;
/** The file is begun anew when it is larger than this, and than twice what it held after the last time. */
const COMPACT_AT = 1 << 20;

const place = z.object({ seq: z.number(), n: z.number() });
const delivery: z.ZodType<Delivery> = z.object({ id: z.string(), upstream: z.string().nullable(), at: z.number(), body: z.string(), origin: place.nullable() });
const line = z.union([
  z.object({ since: z.number(), taken: z.record(z.string(), place) }),
  z.object({ put: delivery }),
  z.object({ done: z.string() }),
  z.object({ tried: z.object({ id: z.string(), attempts: z.number(), next: z.number() }) }),
  z.object({ dead: z.object({ delivery, why: z.string(), at: z.number() }) }),
  z.object({ again: z.array(z.string()) }),
]);

/**
 * What one receiver has still to be told, on disk: an event is put in before the proxy goes on, and taken out when the receiver has
 * said that it has it. In between it is sent again after a crash, so that a receiver may get it twice, but never not at all.
 */
export class Outbox {
  readonly waiting = new Map<string, Delivery>();
  /** Given up, the oldest first; bounded. */
  readonly dead = new Map<string, DeadDelivery>();
  private readonly tries = new Map<string, Tries>();
  private readonly log: LineLog;
  /** Decisions up to this one were made before the receiver was there. */
  private since: number;
  /** The last event of each upstream that was put in. */
  private readonly taken = new Map<string, { seq: number; n: number }>();
  private compactAt = COMPACT_AT;

  /** @param since the last decision in the journal, for a receiver that is new. */
  constructor(path: string, since: number, warn: (message: string) => void) {
    const { log, values } = LineLog.open(path, warn);
    this.log = log;
    this.since = since;
    for (const value of values) {
      const read = line.safeParse(value);
      if (read.success) this.replay(read.data);
      else warn(`${path}: a line is not understood and left out`);
    }
    if (values.length === 0) this.log.append({ since, taken: {} });
  }

  private replay(read: z.output<typeof line>): void {
    if ('since' in read) {
      this.since = read.since;
      for (const [upstream, origin] of Object.entries(read.taken)) this.taken.set(upstream, origin);
    } else if ('put' in read) this.remember(read.put);
    else if ('done' in read) this.forget(read.done);
    else if ('tried' in read) this.count(read.tried);
    else if ('dead' in read) this.bury(read.dead);
    else for (const id of read.again) this.raise(id);
  }

  /** Whether an event of the journal was put in before, or happened before there was this receiver. */
  has({ upstream, origin }: Delivery): boolean {
    if (origin === null) return false;
    if (origin.seq <= this.since) return true;
    const last = this.taken.get(upstream ?? '');
    return last !== undefined && (origin.seq < last.seq || (origin.seq === last.seq && origin.n <= last.n));
  }

  /**
   * On disk when this returns.
   * @throws when it cannot be written; then it waits in memory only.
   */
  put(item: Delivery): void {
    this.remember(item);
    this.log.append({ put: item });
    this.compactIfLarge();
  }

  private remember(item: Delivery): void {
    this.waiting.set(item.id, item);
    if (item.origin !== null) this.taken.set(item.upstream ?? '', { seq: item.origin.seq, n: item.origin.n });
  }

  /** The receiver has it. Should that not get to the disk, it is sent once more. */
  done(id: string): void {
    this.forget(id);
    this.log.note({ done: id });
    this.compactIfLarge();
  }

  private forget(id: string): void {
    this.waiting.delete(id);
    this.tries.delete(id);
  }

  /** null = it has not been tried in vain, or is to be tried as if it had not. */
  triesOf(id: string): Tries | null {
    return this.tries.get(id) ?? null;
  }

  /** An attempt has failed. After a crash of the proxy it counts all the same. */
  failed(id: string, tries: Tries): void {
    this.tries.set(id, tries);
    this.log.note({ tried: { id, ...tries } });
    this.compactIfLarge();
  }

  /** From now on everything is tried as if it had not been before. */
  beginAnew(): void {
    const ids = [...this.tries.keys()];
    this.tries.clear();
    for (const id of ids) this.log.note({ tried: { id, attempts: 0, next: 0 } });
  }

  private count({ id, attempts, next }: Tries & { readonly id: string }): void {
    if (attempts === 0) this.tries.delete(id);
    else if (this.waiting.has(id)) this.tries.set(id, { attempts, next });
  }

  /** Nobody tries any more. */
  giveUp(item: Delivery, why: string, at: number): void {
    const dead = { delivery: item, why, at };
    this.bury(dead);
    this.log.append({ dead });
    this.compactIfLarge();
  }

  private bury(dead: DeadDelivery): void {
    this.forget(dead.delivery.id);
    this.dead.set(dead.delivery.id, dead);
    if (this.dead.size > MOST_DEAD) this.dead.delete(this.dead.keys().next().value!);
  }

  /** What was given up waits again, behind what waits already. */
  again(): Delivery[] {
    const ids = [...this.dead.keys()];
    if (ids.length === 0) return [];
    this.log.append({ again: ids });
    return ids.map((id) => this.raise(id)).filter((item) => item !== null);
  }

  private raise(id: string): Delivery | null {
    const found = this.dead.get(id);
    if (found === undefined) return null;
    this.dead.delete(id);
    this.waiting.set(id, found.delivery);
    return found.delivery;
  }

  private compactIfLarge(): void {
    if (this.log.size < this.compactAt) return;
    this.log.replace([
      { since: this.since, taken: Object.fromEntries(this.taken) },
      ...[...this.dead.values()].map((dead) => ({ dead })),
      ...[...this.waiting.values()].map((put) => ({ put })),
      ...[...this.tries].map(([id, tries]) => ({ tried: { id, ...tries } })),
    ]);
    this.compactAt = Math.max(COMPACT_AT, 2 * this.log.size);
  }

  close(): void {
    this.log.close();
  }
}
