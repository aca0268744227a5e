/**
 * THE LIFE OF A PROCESS.
 *
 *     intended ─▶ started ─▶ listens ─▶ running ──┐
 *        ▲           │ not in time, or it ends    │ it ends
 *        │           ▼                            ▼
 *        └──── a moment's wait, longer each time ◀┘        stop ─▶ nothing of it is left
 *
 * Each step is on disk before the next is taken.
 */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors/message.ts';
import { parseAddress } from '../pool/address.ts';
import { endText, StartError } from './driver.ts';
import type { Driver, End, Followed, Handle, Order, Started } from './driver.ts';
import type { ReplicaRecord } from './records.ts';

/** Waits between two starts of what has ended: doubled each time, up to the longest, and 20 % more or less. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 30_000;
const JITTER = 0.2;
/** What has run for so long has not ended for the reason of its start. */
const STABLE_MS = 10_000;
/** Ends in a row after which it is said that it will hardly get better by itself. */
const LOOP = 5;
const LISTEN_POLL_MS = 25;
/** A failed import in Node takes 17 lines, with the reason in the first of them. */
const SAID = 20;
const MOST_WORDS = 200;
/** `TypeError: …`, `java.io.IOException: …`, `panic: …`: what runtimes print above a stack trace. */
const ERROR = /^\s*(?:Uncaught |Caused by: )?(?:[\w.]*(?:Error|Exception)(?: \[\w+\])?|panic|fatal(?: error)?): \S/i;

export type Standing = 'starting' | 'running' | 'waiting' | 'looping' | 'stopping';

export interface ReplicaParts {
  readonly driver: Driver;
  /** On disk when it returns. */
  readonly record: (change: ReplicaRecord) => void;
  readonly emit: (type: 'process-started' | 'process-exited' | 'crash-loop', data: Record<string, unknown>) => void;
  /** In [0, 1). */
  readonly random: () => number;
}

/** One process of a version: started, kept running, stopped. */
export class Replica {
  readonly order: Order;
  standing: Standing = 'starting';
  /** How often it was started again. */
  restarts = 0;
  /** How it ended last; null = it never has, that is known. */
  lastEnd: End | null = null;
  /** Why it could not be started or stopped; null = nothing is known to be wrong. */
  problem: string | null = null;
  /** What it printed last before it ended. */
  words: string | null = null;
  /** Epoch milliseconds; null = it is not running. */
  since: number | null = null;
  address: string | null;
  handle: Handle | null = null;
  private readonly parts: ReplicaParts;
  private readonly over = new AbortController();
  private life: Promise<void> = Promise.resolve();
  /** Ends in a row, each soon after its start. */
  private failures = 0;

  constructor(order: Order, address: string | null, parts: ReplicaParts) {
    this.order = order;
    this.address = address;
    this.parts = parts;
  }

  /**
   * Starts it for the first time and keeps it running from then on. Resolves when it listens.
   * @param deadline on the clock of performance.now()
   * @throws StartError; `again` = it may well succeed another time. Stop it then.
   */
  async launch(deadline: number): Promise<void> {
    const up = this.comeUp(deadline);
    this.life = up.catch(() => undefined);
    await up;
    this.keep();
  }

  private async comeUp(deadline: number): Promise<void> {
    await this.start(Math.max(0, deadline - performance.now()));
    await this.listening(deadline);
  }

  /** Takes up what an earlier life of the proxy has left: keeps it running, or starts it anew. */
  adopt({ state, handle }: ReplicaRecord): void {
    if (state === 'running' && handle !== null) {
      this.handle = handle;
      this.standing = 'running';
      this.since = Date.now();
      this.keep();
      return;
    }
    this.keep(false);
  }

  /** Why no request can be served by it now; null = nothing is known against it. */
  complaint(): string | null {
    if (this.standing !== 'waiting' && this.standing !== 'looping') return null;
    return this.trouble() ?? 'its process does not run';
  }

  /** What went wrong with it before, for as long as it does not run for some time; null = nothing, or that is over. */
  lately(): string | null {
    const runs = this.since !== null && Date.now() - this.since >= STABLE_MS;
    return this.failures === 0 || runs ? null : this.trouble();
  }

  private trouble(): string | null {
    if (this.problem !== null || this.lastEnd === null) return this.problem;
    return `its process ${endText(this.lastEnd)}${this.words === null ? '' : ` and said: ${this.words}`}`;
  }

  /** Ends it; resolves when nothing of it is left. Rejects when that could not be brought about: then it may be called again. */
  async stop(): Promise<void> {
    this.standing = 'stopping';
    await this.leave();
    try {
      await this.parts.driver.stop(this.order, this.handle);
    } catch (error) {
      this.problem = messageOf(error);
      throw error;
    }
    this.parts.record({ state: 'ended', port: this.order.port, address: this.address, handle: null });
    this.handle = null;
    this.since = null;
  }

  /** Lets it run, and looks after it no longer. */
  async leave(): Promise<void> {
    this.over.abort();
    await this.life;
  }

  /** What it has printed last. */
  said(lines: number = SAID): Promise<string[]> {
    return this.parts.driver.output(this.order, this.handle, lines);
  }

  /** Its last lines as far as they are in memory. */
  lastWords(lines: number): string[] {
    return this.parts.driver.lastWords?.(this.order, lines) ?? [];
  }

  /** What it has printed from an offset on; null = its driver cannot tell. */
  async followed(from: number): Promise<Followed | null> {
    return (await this.parts.driver.follow?.(this.order, from)) ?? null;
  }

  /** @param within milliseconds; a driver that takes longer is told to give up. */
  private async start(within: number): Promise<void> {
    const { order, parts } = this;
    this.standing = 'starting';
    this.handle = null;
    parts.record({ state: 'intended', port: order.port, address: this.address, handle: null });
    const { handle, address } = await this.drive(within);
    const found = address ?? (order.port === null ? null : `127.0.0.1:${order.port}`);
    // A backend that moves is another version: it is started over rather than believed.
    if (this.address !== null && found !== this.address) throw new StartError(`it came up at ${found ?? 'no address'} and not at ${this.address}`, true);
    this.address = found;
    this.handle = handle;
    this.since = Date.now();
    parts.record({ state: 'running', port: order.port, address: found, handle });
    parts.emit('process-started', { replica: order.replica, address: found, ...handle, restarts: this.restarts });
  }

  private async drive(within: number): Promise<Started> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), within);
    try {
      return await this.parts.driver.start(this.order, AbortSignal.any([this.over.signal, late.signal]));
    } catch (error) {
      if (late.signal.aborted && !this.over.signal.aborted) throw new StartError(`it was not started within ${Math.round(within / 100) / 10} s`, false);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when its address takes connections, or at once when it has none. */
  private async listening(deadline: number): Promise<void> {
    const address = this.address === null ? null : parseAddress(this.address);
    const gone = this.end();
    const stop = new AbortController();
    try {
      while (address !== null && !(await Promise.race([accepts(address.host, address.port), gone.then(() => true)]))) {
        if (performance.now() >= deadline) throw new StartError(`it did not listen on port ${address.port} (PORT) in time`, false);
        await Promise.race([sleep(LISTEN_POLL_MS, undefined, { signal: stop.signal }).catch(() => undefined), gone]);
        this.over.signal.throwIfAborted();
      }
    } finally {
      stop.abort();
    }
    // What answers on the port may be another's: ours has to be there, too.
    const ended = await Promise.race([gone, Promise.resolve(null)]);
    if (ended === null) return;
    this.lastEnd = ended;
    throw new StartError(`it ${endText(ended)}`, true);
  }

  private async end(): Promise<End | null> {
    try {
      return this.handle === null ? { code: null, signal: null } : await this.parts.driver.ended(this.order, this.handle, this.over.signal);
    } catch (error) {
      if (this.over.signal.aborted) return null;
      throw error;
    }
  }

  private keep(running = true): void {
    if (running) this.runs();
    this.life = this.live(running);
  }

  private runs(): void {
    this.standing = 'running';
    this.problem = null;
  }

  /** Waits for its end, and starts it again, for as long as it is wanted. */
  private async live(runsNow: boolean): Promise<void> {
    for (let running = runsNow; !this.over.signal.aborted;) {
      try {
        if (running) await this.outlive();
        if (this.over.signal.aborted) return;
        // What the process has left behind may sit on its port; and nobody knows what became of an intent.
        await this.parts.driver.stop(this.order, this.handle);
        this.restarts++;
        await this.start(this.order.spec.startTimeout);
        this.runs();
        running = true;
      } catch (error) {
        if (this.over.signal.aborted) return;
        running = false;
        this.problem = messageOf(error);
        await this.pause(this.nextWait());
      }
    }
  }

  /** Resolves when it has ended and the wait before another start is over. */
  private async outlive(): Promise<void> {
    const ended = await this.end();
    if (ended === null || this.over.signal.aborted) return;
    this.lastEnd = ended;
    this.words = wordsOf(await this.said().catch(() => []));
    if (this.since !== null && Date.now() - this.since >= STABLE_MS) this.failures = 0;
    this.since = null;
    const wait = this.nextWait();
    this.parts.emit('process-exited', { replica: this.order.replica, address: this.address, ...this.handle, ...ended, againInMs: wait });
    await this.pause(wait);
  }

  private nextWait(): number {
    this.failures++;
    if (this.failures === LOOP) this.parts.emit('crash-loop', { replica: this.order.replica, address: this.address, inARow: this.failures, ...this.lastEnd });
    this.standing = this.failures >= LOOP ? 'looping' : 'waiting';
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.failures - 1));
    return Math.round(wait * (1 - JITTER + 2 * JITTER * this.parts.random()));
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.over.signal }).catch(() => undefined);
  }
}

/** The last error, else the last thing that says something, short enough for one line. */
function wordsOf(lines: readonly string[]): string | null {
  const last = lines.findLast((line) => ERROR.test(line)) ?? lines.findLast((line) => /[\p{L}\p{N}]/u.test(line));
  return last === undefined ? null : last.trim().slice(0, MOST_WORDS);
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.setTimeout(1_000, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
