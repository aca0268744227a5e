import { Worker } from 'node:worker_threads';
import type { FromThread, ThreadBirth, ToThread } from '../data/messages.ts';
import type { ClientTableControl } from '../ledger/clients-control.ts';
import type { ControlLedger } from '../ledger/control.ts';
import type { ListenerSpec } from '../listen/tcp.ts';
import { NO_CHALLENGES } from '../pool/acme.ts';
import type { PendingChallenges } from '../pool/acme.ts';
import type { TableDelta } from '../pool/table.ts';
import type { TlsPolicy } from '../pool/tls.ts';

const ENTRY = new URL(import.meta.url.endsWith('.ts') ? '../data/thread.ts' : '../data/thread.js', import.meta.url);
/** A thread that answers nothing for so long is presumed dead: it is ended and replaced. */
const ANSWER_MS = 5_000;
const ACK_POLL_MS = 2;
/** A thread that dies soon after its birth, again and again, is replaced more and more slowly. */
const REBIRTH_MS = 100;
const MOST_REBIRTH_MS = 5_000;
const GROWN_UP_MS = 10_000;
/**
 * With V8's default of 16 MB, short-lived buffers are promoted and the 99th percentile of a loaded
 * thread is some five times higher (17 ms against 2.5 ms at 64 connections).
 */
const YOUNG_GENERATION_MB = 96;

export interface ThreadsParts {
  readonly ledger: ControlLedger;
  readonly clients: ClientTableControl;
  /** The whole committed table, for a new thread. */
  readonly committed: () => TableDelta;
  readonly onLog: (batch: string) => void;
  /** A thread has died: `lost` requests died with it. */
  readonly onLost: (thread: number, lost: number, reason: string) => void;
}

interface Cell {
  worker: Worker;
  ready: boolean;
  prepared: number;
  renewed: number;
  bornAt: number;
  deaths: number;
  stopped: boolean;
  cut: number;
  /** Called when anything above changes. */
  readonly waiters: Set<() => void>;
}

/** The data threads: born, told, replaced when they die. */
export class DataThreads {
  private readonly parts: ThreadsParts;
  private readonly cells: (Cell | null)[];
  private listeners: readonly ListenerSpec[] = [];
  private renewal = 0;
  private challenges = NO_CHALLENGES;
  private preparing: TableDelta | null = null;
  private ending = false;
  private listenFailed: ((error: Error) => void) | null = null;
  private readonly rebirths = new Set<NodeJS.Timeout>();

  constructor(parts: ThreadsParts) {
    this.parts = parts;
    this.cells = Array.from({ length: parts.ledger.threads }, () => null);
  }

  /** Starts all threads; resolves when each is ready to be told more. */
  async start(): Promise<void> {
    for (let thread = 0; thread < this.cells.length; thread++) this.cells[thread] = this.birth(thread, 0);
    await Promise.all(this.cells.map((cell) => this.until(cell, () => cell === null || cell.ready)));
  }

  private birth(thread: number, deaths: number): Cell {
    const { ledger, clients } = this.parts;
    const workerData: ThreadBirth = { ledger: ledger.buffer, clients: clients.buffer, thread, threads: ledger.threads, table: this.parts.committed() };
    const worker = new Worker(ENTRY, { workerData, name: `data-${thread}`, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB } });
    const cell: Cell = {
      worker,
      ready: false,
      prepared: 0,
      renewed: this.renewal,
      bornAt: performance.now(),
      deaths,
      stopped: false,
      cut: 0,
      waiters: new Set(),
    };
    let reason = '';
    worker.on('message', (message: FromThread) => this.hear(cell, message));
    worker.on('error', (error: Error) => (reason = error.stack ?? error.message));
    worker.on('exit', (code) => this.died(thread, cell, reason === '' ? `it ended with code ${code}` : reason));
    // What is being prepared now is not in the committed table it is born with.
    if (this.preparing !== null) this.tell(cell, { type: 'prepare', delta: this.preparing });
    if (this.challenges !== NO_CHALLENGES) this.tell(cell, { type: 'challenges', renewal: this.renewal, pending: this.challenges });
    if (this.listeners.length > 0) this.tell(cell, { type: 'listen', listeners: this.listeners });
    return cell;
  }

  private tell(cell: Cell, message: ToThread): void {
    cell.worker.postMessage(message);
  }

  private hear(cell: Cell, message: FromThread): void {
    if (message.type === 'ready') cell.ready = true;
    else if (message.type === 'prepared') cell.prepared = message.generation;
    else if (message.type === 'renewed') cell.renewed = message.renewal;
    else if (message.type === 'log') this.parts.onLog(message.batch);
    else if (message.type === 'stopped') Object.assign(cell, { stopped: true, cut: message.cut });
    else if (message.type === 'listen-failed') this.failListen(cell, message.listener, message.code);
    for (const wake of cell.waiters) wake();
  }

  private failListen(cell: Cell, { host, port }: ListenerSpec, code: string): void {
    const why = code === 'EADDRINUSE' ? 'another process listens on it already' : code;
    if (this.listenFailed !== null) this.listenFailed(new Error(`cannot listen on ${host}:${port}: ${why}`));
    // One that was born later is no use without a listener: it is ended, and tried again.
    else void cell.worker.terminate();
  }

  private died(thread: number, cell: Cell, reason: string): void {
    if (this.cells[thread] !== cell) return;
    this.cells[thread] = null;
    for (const wake of cell.waiters) wake();
    if (cell.stopped) return;
    const { ledger, clients } = this.parts;
    const lost = ledger.closeThread(thread);
    clients.closeThread(thread);
    // Nothing of it can start anything any more.
    ledger.ackFor(thread, ledger.generation());
    this.parts.onLost(thread, lost, reason);
    if (this.ending) return;
    const deaths = performance.now() - cell.bornAt < GROWN_UP_MS ? cell.deaths + 1 : 0;
    const timer = setTimeout(
      () => {
        this.rebirths.delete(timer);
        if (!this.ending) this.cells[thread] = this.birth(thread, deaths);
      },
      deaths <= 1 ? 0 : Math.min(MOST_REBIRTH_MS, REBIRTH_MS * 2 ** deaths),
    );
    this.rebirths.add(timer);
  }

  /** Resolves when `done` holds or the thread is gone. */
  private until(cell: Cell | null, done: () => boolean): Promise<void> {
    if (cell === null || done()) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        if (!done() && this.cells.includes(cell)) return;
        cell.waiters.delete(wake);
        resolve();
      };
      cell.waiters.add(wake);
    });
  }

  /** Ends a thread now, as if it had crashed. */
  async end(thread: number): Promise<void> {
    await this.cells[thread]?.worker.terminate();
  }

  /** Tells all threads to listen; resolves when the first does (it finds the port when that is 0) and the others follow. */
  async listen(specs: readonly ListenerSpec[]): Promise<readonly ListenerSpec[]> {
    const failed = new Promise<never>((_, reject) => (this.listenFailed = reject));
    const bound = await Promise.race([failed, this.listenOn(0, specs)]);
    this.listeners = bound;
    await Promise.race([failed, Promise.all(this.cells.slice(1).map((_, i) => this.listenOn(i + 1, bound)))]);
    this.listenFailed = null;
    return bound;
  }

  /** Shows new connections these certificates, by position of the listener; resolves when all threads do. One that does not answer in time is replaced. */
  async renew(policies: ReadonlyMap<number, TlsPolicy>): Promise<void> {
    const renewal = ++this.renewal;
    // A thread that is born from now on gets them with its listeners.
    this.listeners = this.listeners.map((spec, at) => ({ ...spec, tls: policies.get(at) ?? spec.tls }));
    await this.renewed(renewal, { type: 'tls', renewal, policies });
  }

  /** Answers these challenges and no others; resolves when all threads do. */
  async challenge(pending: PendingChallenges): Promise<void> {
    const renewal = ++this.renewal;
    this.challenges = pending;
    await this.renewed(renewal, { type: 'challenges', renewal, pending });
  }

  private async renewed(renewal: number, message: ToThread): Promise<void> {
    const cells = this.cells.filter((cell) => cell !== null);
    for (const cell of cells) this.tell(cell, message);
    await Promise.all(cells.map((cell) => this.answered(cell, () => cell.renewed >= renewal)));
  }

  /** Resolves when `done` holds or the thread is gone; one that is late is ended. */
  private async answered(cell: Cell, done: () => boolean): Promise<void> {
    const timer = setTimeout(() => void cell.worker.terminate(), ANSWER_MS);
    await this.until(cell, done);
    clearTimeout(timer);
  }

  private listenOn(thread: number, specs: readonly ListenerSpec[]): Promise<readonly ListenerSpec[]> {
    const cell = this.cells[thread];
    if (cell === null) return Promise.resolve(specs);
    return new Promise((resolve) => {
      const hear = (message: FromThread): void => {
        if (message.type !== 'listening') return;
        cell.worker.off('message', hear);
        resolve(specs.map((spec, i) => ({ ...spec, port: message.ports[i] })));
      };
      cell.worker.on('message', hear);
      cell.worker.once('exit', () => resolve(specs));
      this.tell(cell, { type: 'listen', listeners: specs });
    });
  }

  /** Step 1 of a publish: every thread has the table ready beside its own. One that does not answer in time is replaced. */
  async prepare(delta: TableDelta): Promise<void> {
    this.preparing = delta;
    for (const cell of this.cells) if (cell !== null) this.tell(cell, { type: 'prepare', delta });
    for (let thread = 0; thread < this.cells.length; thread++) await this.prepared(thread, delta.generation);
  }

  private async prepared(thread: number, generation: number): Promise<void> {
    // A thread that dies meanwhile is replaced by one that is told the same.
    for (let cell = this.cells[thread]; cell !== null; cell = this.cells[thread]) {
      const known = cell;
      await this.answered(known, () => known.prepared >= generation);
      if (known.prepared >= generation) return;
    }
  }

  /** Step 3: the generation is stored; threads without traffic wake up and move. */
  committed(): void {
    this.preparing = null;
    for (const cell of this.cells) if (cell !== null) this.tell(cell, { type: 'commit' });
  }

  /** Resolves once every thread has acked the generation; one that does not is presumed dead and replaced. */
  async acked(generation: number): Promise<Record<string, number>> {
    const { ledger } = this.parts;
    let since = performance.now();
    for (;;) {
      const late = this.cells.findIndex((cell, thread) => cell !== null && ledger.acked(thread) < generation);
      if (late === -1) break;
      if (performance.now() - since > ANSWER_MS) {
        await this.end(late);
        since = performance.now();
      }
      await new Promise((resolve) => setTimeout(resolve, ACK_POLL_MS));
    }
    // A thread that is not there now is born with a table that is not older.
    for (const [thread, cell] of this.cells.entries()) if (cell === null) ledger.ackFor(thread, Math.max(generation, ledger.acked(thread)));
    return this.acks();
  }

  acks(): Record<string, number> {
    return Object.fromEntries(this.cells.map((_, thread) => [String(thread), this.parts.ledger.acked(thread)]));
  }

  cut(versionSlot: number, kind: 'requests' | 'tunnels', spreadMs: number): void {
    for (const cell of this.cells) if (cell !== null) this.tell(cell, { type: 'cut', versionSlot, kind, spreadMs });
  }

  /** Ends all threads, in-flight work first. @returns how many requests were cut at the deadline. */
  async finish(drainMs: number): Promise<number> {
    this.ending = true;
    for (const timer of this.rebirths) clearTimeout(timer);
    const cells = this.cells.filter((cell) => cell !== null);
    for (const cell of cells) this.tell(cell, { type: 'finish', drainMs });
    const late = setTimeout(() => {
      for (const cell of cells) void cell.worker.terminate();
    }, drainMs + ANSWER_MS);
    await Promise.all(cells.map((cell) => this.until(cell, () => cell.stopped)));
    clearTimeout(late);
    await Promise.all(cells.map((cell) => cell.worker.terminate()));
    return cells.reduce((sum, cell) => sum + cell.cut, 0);
  }
}
