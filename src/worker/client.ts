/**
 * The client that a queue worker uses: `switchyard/worker`. Plain Node 20 or newer, without dependencies.
 *
 *     const worker = await joinWorkers();
 *     process.once('SIGTERM', () => void worker.leave());
 *     while (await worker.mayTake()) {
 *       const job = await queue.take();
 *       const lease = worker.tryBegin(job.id);
 *       if (lease === null) { await queue.giveBack(job); continue; }
 *       try { await handle(job); lease.end(); } catch { lease.end('failed'); }
 *     }
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { ReportRefused, sendGoodbye, sendReport } from './_wire.ts';
import type { Identity, ReportBody } from './_wire.ts';
import { NotTaken } from './_types.ts';
import type { Change, Events, JoinOptions, Lease, Outcome } from './_types.ts';
import { Standing } from './standing.ts';
import type { Moment, Order } from './standing.ts';

export { ReportRefused };
export { NotTaken };
export type { Change, JoinOptions, Lease, Order, Outcome };

const DEFAULT_ADMIN = 'http://127.0.0.1:9900';
const JOIN_MS = 30_000;
/** Counts of a worker that runs are told so often; what others wait for is told at once. */
const NEWS_MS = 1_000;
const URGENT_MS = 25;
const EARLY_MS = 100;
const FIRST_BACKOFF_MS = 100;
const MOST_BACKOFF_MS = 2_000;
const GOODBYE_MS = 5_000;
const MOST_NAMED = 1_000;

/**
 * Joins the workers of an upstream. Resolves once the proxy has answered: from then on orders are followed.
 * @throws ReportRefused when it will not have this worker (no such upstream, a wrong token), Error when it is not heard within `joinTimeout`.
 */
export async function joinWorkers(options: JoinOptions = {}): Promise<Worker> {
  const { env } = process;
  const need = (name: string, value: string | undefined): string => {
    if (value === undefined || value === '') throw new TypeError(`joinWorkers needs ${name}: give it, or set SWITCHYARD_${name.toUpperCase()}`);
    return value;
  };
  const who: Identity = {
    admin: options.admin ?? (env.SWITCHYARD_ADMIN_URL || DEFAULT_ADMIN),
    token: options.token ?? (env.SWITCHYARD_TOKEN || null),
    upstream: need('upstream', options.upstream ?? env.SWITCHYARD_UPSTREAM),
    member: need('member', options.member ?? env.SWITCHYARD_MEMBER),
  };
  const worker = new Worker(who, need('version', options.version ?? env.SWITCHYARD_VERSION), options.ready ?? true);
  await worker.join(options.joinTimeout ?? JOIN_MS);
  return worker;
}

function moment(): Moment {
  return { steady: performance.now(), wall: Date.now() };
}

/** A member of a worker upstream, in the process that does the work. Made by `joinWorkers`. */
export class Worker extends EventEmitter<Events> {
  private readonly who: Identity;
  readonly version: string;
  private readonly standing = new Standing(moment);
  private readonly leases = new Map<symbol, { readonly id: string; readonly abort: AbortController }>();
  private instance = randomUUID();
  private done = { completed: 0, failed: 0, aborted: 0 };
  private isReady: boolean;
  private seq = 0;
  private reportWithin = 1_000;
  private shown: Order = 'quiesce';
  private leaving = false;
  private ended = false;
  /** Ends the report that is under way, to be followed by one that says more. */
  private current: AbortController | null = null;
  private hurried = false;
  private news: NodeJS.Timeout | null = null;
  private fence: NodeJS.Timeout | null = null;
  private pause: (() => void) | null = null;

  /** Use `joinWorkers`. */
  constructor(who: Identity, version: string, isReady: boolean) {
    super();
    // As many loops as one likes may wait in mayTake.
    this.setMaxListeners(0);
    this.who = who;
    this.version = version;
    this.isReady = isReady;
  }

  get member(): string {
    return this.who.member;
  }

  /** What holds at this moment. `run` is true of this moment only: ask again before each job. */
  get order(): Order {
    const order = this.standing.current;
    return this.leaving && order === 'run' ? 'quiesce' : order;
  }

  /** Of the order that is followed. */
  get generation(): number {
    return this.standing.generation;
  }

  get inHand(): number {
    return this.leases.size;
  }

  /**
   * Waits until work may be taken. Resolves with false when there will be none: it was told to stop, it leaves, or the signal has aborted.
   * True means that work might be taken a moment ago: `tryBegin` decides.
   */
  async mayTake(signal?: AbortSignal): Promise<boolean> {
    for (;;) {
      if (this.leaving || this.order === 'stop' || signal?.aborted === true) return false;
      if (this.order === 'run') return true;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          for (const name of ['run', 'quiesce', 'stop'] as const) this.off(name, done);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        for (const name of ['run', 'quiesce', 'stop'] as const) this.on(name, done);
        signal?.addEventListener('abort', done, { once: true });
      });
    }
  }

  /** Takes a job in hand. @param id its name, for people. @returns null when none may be taken at this moment: give it back to its queue. */
  tryBegin(id = ''): Lease | null {
    if (this.order !== 'run') return null;
    const key = Symbol(id);
    const abort = new AbortController();
    this.leases.set(key, { id, abort });
    this.tell();
    return { id, signal: abort.signal, end: (outcome = 'completed') => this.end(key, outcome) };
  }

  /** As `tryBegin`. @throws NotTaken instead of answering null. */
  begin(id = ''): Lease {
    const lease = this.tryBegin(id);
    if (lease === null) throw new NotTaken(this.order);
    return lease;
  }

  /** Runs `job` under a lease: `completed` when it resolves, `failed` when it rejects, `aborted` when it rejects after it was told to stop. @throws NotTaken, or what the job throws. */
  async work<T>(id: string, job: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const lease = this.begin(id);
    try {
      const result = await job(lease.signal);
      lease.end();
      return result;
    } catch (error) {
      lease.end(lease.signal.aborted ? 'aborted' : 'failed');
      throw error;
    }
  }

  /** Whether it could take work; told to the proxy at once. */
  setReady(ready: boolean): void {
    if (this.isReady === ready) return;
    this.isReady = ready;
    this.hurry();
  }

  /**
   * Takes no more work, waits for what is in hand (at most `timeout` milliseconds), says goodbye and ends. What is still in hand then is counted as killed.
   * Never rejects: a proxy that cannot be reached finds out by itself.
   */
  async leave(timeout = Number.POSITIVE_INFINITY): Promise<void> {
    if (this.ended) return;
    this.leaving = true;
    this.show('leaving');
    // Whoever waits in mayTake is let go, also when the order is no other one.
    this.emit(this.order === 'stop' ? 'stop' : 'quiesce', this.change('leaving'));
    const until = performance.now() + timeout;
    while (this.leases.size > 0 && performance.now() < until && !this.ended) await new Promise((resolve) => setTimeout(resolve, URGENT_MS));
    if (this.ended) return;
    this.finish();
    const signal = AbortSignal.timeout(GOODBYE_MS);
    try {
      await sendReport(this.who, this.report(), 0, signal);
      await sendGoodbye(this.who, this.instance, signal);
    } catch (error) {
      this.emit('problem', asError(error));
    }
  }

  private finish(): void {
    this.ended = true;
    this.current?.abort();
    this.pause?.();
    for (const timer of [this.news, this.fence]) if (timer !== null) clearTimeout(timer);
  }

  private end(key: symbol, outcome: Outcome): void {
    if (!this.leases.delete(key)) return;
    this.done[outcome]++;
    // A proxy that drains this worker waits for this very word.
    if (this.standing.told === 'run') this.tell();
    else this.hurry();
  }

  // ── Reports: one at a time, each held back by the proxy until there is something to be told. ──

  /** For `joinWorkers`: resolves with the first answer. */
  async join(timeout: number): Promise<void> {
    const until = performance.now() + timeout;
    for (let backoff = FIRST_BACKOFF_MS; ; backoff = Math.min(MOST_BACKOFF_MS, backoff * 2)) {
      try {
        await this.exchange(0, Math.max(1, until - performance.now()));
        break;
      } catch (error) {
        if (error instanceof ReportRefused && error.isFinal) throw error;
        if (performance.now() + backoff >= until) throw new Error(`the proxy at ${this.who.admin} has not answered: ${reasonOf(error)}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, backoff));
      }
    }
    void this.talk();
  }

  private async talk(): Promise<void> {
    let backoff = 0;
    let early = 0;
    while (!this.ended) {
      if (backoff > 0) await this.rest(backoff * (0.5 + Math.random() / 2));
      if (this.ended) return;
      try {
        const { generation, told } = this.standing;
        const sentAt = performance.now();
        await this.exchange(this.reportWithin, this.reportWithin * 2);
        backoff = 0;
        // One that holds no answers back, because it holds too many, is not asked all the time.
        const isEarly = performance.now() - sentAt < this.reportWithin / 2 && generation === this.standing.generation && told === this.standing.told;
        early = isEarly ? early + 1 : 0;
        if (early > 1) await this.rest(Math.min(this.reportWithin / 2, EARLY_MS * early));
      } catch (error) {
        if (this.hurried || this.ended) backoff = 0;
        else backoff = this.failed(error, backoff);
      }
      if (this.hurried) await this.rest(URGENT_MS);
      this.hurried = false;
    }
  }

  /** @returns how long to wait before the next try. */
  private failed(error: unknown, backoff: number): number {
    this.emit('problem', asError(error));
    const refused = error instanceof ReportRefused ? error : null;
    if (refused?.code === 'member-expired') {
      if (this.standing.told === 'stop') {
        this.finish();
        return 0;
      }
      // It was taken for dead: it begins another life, with what it still has in hand.
      this.instance = randomUUID();
      this.done = { completed: 0, failed: 0, aborted: 0 };
      this.standing.forget();
    } else if (refused?.isFinal === true) this.standing.forget();
    this.show('no answer');
    return Math.min(MOST_BACKOFF_MS, this.reportWithin, Math.max(FIRST_BACKOFF_MS, backoff * 2));
  }

  private async exchange(waitMs: number, timeout: number): Promise<void> {
    const abort = new AbortController();
    this.current = abort;
    const timer = setTimeout(() => abort.abort(new Error(`no answer within ${Math.round(timeout)} ms`)), timeout);
    const sentAt = moment();
    const body = this.report();
    try {
      const told = await sendReport(this.who, body, waitMs, abort.signal);
      this.standing.hear(told, body.seq, sentAt);
      this.reportWithin = told.reportWithin;
      this.show('told');
    } finally {
      clearTimeout(timer);
      this.current = null;
    }
  }

  private report(): ReportBody {
    const named = [...this.leases.values()].map(({ id }) => id.slice(0, 200));
    return {
      version: this.version,
      instance: this.instance,
      seq: ++this.seq,
      busy: named.length > 0,
      leases: named.length > MOST_NAMED ? named.length : named,
      ready: this.isReady && !this.leaving,
      done: { ...this.done },
      generation: this.standing.generation,
      order: this.standing.told,
    };
  }

  /** Reports soon: what is told only changes figures. */
  private tell(): void {
    if (this.news !== null || this.ended) return;
    this.news = setTimeout(() => {
      this.news = null;
      this.hurry();
    }, NEWS_MS);
    this.news.unref();
  }

  /** Reports at once. */
  private hurry(): void {
    this.hurried = true;
    this.current?.abort(new Error('there is more to say'));
    this.pause?.();
  }

  private rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.pause = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      if (ms > URGENT_MS) this.pause = done;
    });
  }

  /** Tells listeners when what holds is another order than before, and watches for the moment when it expires. */
  private show(why: Change['why']): void {
    if (this.fence !== null) clearTimeout(this.fence);
    const { left } = this.standing;
    if (this.standing.told === 'run' && left > 0 && !this.ended) {
      this.fence = setTimeout(() => this.show('no answer'), Math.ceil(left) + 1);
      this.fence.unref();
    }
    const { order } = this;
    if (order === this.shown) return;
    this.shown = order;
    if (order === 'stop') for (const { abort } of this.leases.values()) abort.abort(new Error('the worker was told to stop'));
    this.emit(order, this.change(why));
  }

  private change(why: Change['why']): Change {
    return { order: this.order, generation: this.generation, why };
  }
}

function reasonOf(error: unknown): string {
  return asError(error).message;
}

function asError(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  // fetch says only that it failed; why is in its cause.
  return error.cause instanceof Error && error.message === 'fetch failed'
    ? new Error(error.cause.message || String((error.cause as NodeJS.ErrnoException).code), { cause: error })
    : error;
}
