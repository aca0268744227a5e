import { EventEmitter } from 'node:events';
import type { SharedRead } from '../../src/proxy/sockets.ts';

/** What runs after the present callback has returned, in order: the ticks of a process. */
export class Ticks {
  private readonly queue: (() => void)[] = [];

  later(task: () => void): void {
    this.queue.push(task);
  }

  /** Runs until nothing is left to run. */
  settle(): void {
    for (let runs = 0; this.queue.length > 0; runs++) {
      if (runs > 100_000) throw new Error('the ticks do not come to an end');
      this.queue.shift()!();
    }
  }
}

/** Bytes after which `write` answers false, as of Node's sockets. */
const HIGH_WATER = 65_536;
/** Stands in the shared buffer once a callback has returned: who kept a view of it keeps this. */
const STALE = 0x21;

interface Waiting {
  readonly chunk: Buffer;
  done: number;
}

/**
 * What the data path uses of net.Socket, without a kernel: bytes that arrive are read into the shared buffer, as with
 * `onread`; bytes that are written reach the peer at once, or as its window allows. The peer's side are the
 * members under "the peer". Everything happens when it is asked for, so a run can be repeated.
 */
export class MemorySocket extends EventEmitter {
  readonly localAddress = '10.0.0.1';
  readonly localPort = 8080;
  readonly remotePort = 40_000;
  readonly remoteAddress: string;
  connecting: boolean;
  destroyed = false;
  readableEnded = false;
  writableEnded = false;
  writableFinished = false;
  writableLength = 0;
  /** What has reached the peer. */
  sent = '';
  /** How the peer has heard of the end: not at all, by a FIN, or by a reset. */
  ending: 'open' | 'finished' | 'reset' = 'open';
  private window = Infinity;
  private needDrain = false;
  private corked = 0;
  private paused = false;
  private readonly waiting: Waiting[] = [];
  private readonly inbox: Buffer[] = [];
  private peerEnded = false;
  private broken: string | null = null;
  private severed = false;
  private readonly ticks: Ticks;
  private readonly reads: SharedRead;

  constructor(ticks: Ticks, reads: SharedRead, remoteAddress: string, connecting: boolean) {
    super();
    this.ticks = ticks;
    this.reads = reads;
    this.remoteAddress = remoteAddress;
    this.connecting = connecting;
  }

  get writableNeedDrain(): boolean {
    return this.needDrain && !this.destroyed && !this.writableEnded;
  }

  isPaused(): boolean {
    return this.paused;
  }

  pause(): this {
    this.paused = true;
    return this;
  }

  resume(): this {
    if (this.paused) this.ticks.later(() => this.read());
    this.paused = false;
    return this;
  }

  cork(): void {
    this.corked++;
  }

  uncork(): void {
    this.corked--;
    this.push();
  }

  write(chunk: Buffer): boolean {
    if (this.destroyed) return false;
    if (this.writableEnded) throw new Error('a write after the end');
    this.writableLength += chunk.length;
    const ample = this.writableLength < HIGH_WATER;
    if (!ample) this.needDrain = true;
    if (!this.severed) this.waiting.push({ chunk, done: 0 });
    this.push();
    if (this.broken !== null || this.severed) this.ticks.later(() => this.fail('EPIPE', 'write'));
    return ample;
  }

  end(chunk?: Buffer): this {
    if (chunk !== undefined) this.write(chunk);
    this.writableEnded = true;
    this.push();
    return this;
  }

  destroy(error?: Error & { code?: string }): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.waiting.length = 0;
    // The kernel sends a FIN, even if bytes that it had not taken yet are lost.
    if (this.ending === 'open') this.ending = 'finished';
    this.ticks.later(() => {
      if (error !== undefined) this.emit('error', error);
      this.emit('close', error !== undefined);
    });
    return this;
  }

  resetAndDestroy(): this {
    this.ending = 'reset';
    return this.destroy();
  }

  setTimeout(): this {
    return this;
  }

  /** Gives the peer what it takes. */
  private push(): void {
    if (this.connecting || this.corked > 0) return;
    while (this.waiting.length > 0 && this.window > 0) {
      const [first] = this.waiting;
      const take = Math.min(this.window, first.chunk.length - first.done);
      this.sent += first.chunk.toString('latin1', first.done, first.done + take);
      first.done += take;
      this.window -= take;
      if (first.done < first.chunk.length) return;
      this.waiting.shift();
      this.writableLength -= first.chunk.length;
    }
    if (this.waiting.length > 0) return;
    if (this.needDrain) this.ticks.later(() => this.drained());
    if (this.writableEnded && !this.writableFinished) {
      this.writableFinished = true;
      if (this.ending === 'open') this.ending = 'finished';
      this.overIfDone();
    }
  }

  private drained(): void {
    if (!this.needDrain || this.writableLength > 0 || this.destroyed || this.writableEnded) return;
    this.needDrain = false;
    this.emit('drain');
  }

  private overIfDone(): void {
    if (this.writableFinished && this.readableEnded) this.ticks.later(() => void this.destroy());
  }

  private fail(code: string, syscall = 'read'): void {
    this.destroy(Object.assign(new Error(code), { code, syscall }));
  }

  private read(): void {
    while (this.inbox.length > 0) {
      if (this.paused || this.destroyed || this.connecting) return;
      const chunk = this.inbox.shift()!;
      chunk.copy(this.reads.buffer);
      this.reads.callback.call(this as never, chunk.length);
      this.reads.buffer.fill(STALE, 0, chunk.length);
      this.ticks.settle();
    }
    if (this.paused || this.destroyed || this.connecting) return;
    if (this.broken !== null) return this.fail(this.broken);
    if (!this.peerEnded || this.readableEnded) return;
    this.readableEnded = true;
    this.ticks.later(() => {
      if (!this.destroyed) this.emit('end');
      this.overIfDone();
    });
  }

  // ── the peer ────────────────────────────────────────────────────────────────────────────────────

  /** All that was written, read by the peer or not. */
  get written(): string {
    return this.waiting.reduce((text, { chunk, done }) => text + chunk.toString('latin1', done), this.sent);
  }

  connect(): void {
    if (this.destroyed || !this.connecting) return;
    this.connecting = false;
    this.ticks.later(() => {
      if (this.destroyed) return;
      this.emit('connect');
      this.push();
      this.read();
    });
  }

  deliver(text: string): void {
    for (let at = 0; at < text.length; at += this.reads.buffer.length) this.inbox.push(Buffer.from(text.slice(at, at + this.reads.buffer.length), 'latin1'));
    this.read();
  }

  finish(): void {
    this.peerEnded = true;
    this.read();
  }

  /** The connection breaks, or cannot be made. */
  reset(code = 'ECONNRESET'): void {
    if (this.connecting && !this.destroyed) return this.fail(code);
    this.broken = code;
    this.inbox.length = 0;
    this.read();
  }

  /** The next write fails; what was sent to this side can still be read. */
  sever(): void {
    if (!this.connecting) this.severed = true;
  }

  /** The peer takes so many bytes more; Infinity = whatever comes. */
  open(bytes: number): void {
    this.window = bytes;
    if (!this.destroyed) this.push();
  }
}
