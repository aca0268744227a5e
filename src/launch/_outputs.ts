import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors/message.ts';
import { keepers, openOutput, startKeeper } from './_keeper.ts';
import { isAlive } from './_proc.ts';
import type { Identity } from './_proc.ts';
import { OutputRing } from './_ring.ts';

const PUMP_MS = 250;
/** Looks at a keeper come less often. */
const TEND_EVERY = 4;
const FLUSHED_POLL_MS = 5;

interface Kept {
  readonly base: string;
  readonly ring: OutputRing;
  /** null = it is not known who keeps it. */
  keeper: Identity | null;
  /** Whose output it is. */
  printer: Identity | null;
}

/** The output of the replicas that run: in memory as it grows, and with a keeper each that takes it to disk. */
export class Outputs {
  private readonly kept = new Map<string, Kept>();
  private readonly warn: (message: string) => void;
  private timer: NodeJS.Timeout | null = null;
  private looks = 0;

  constructor(warn: (message: string) => void) {
    this.warn = warn;
  }

  /** A descriptor that takes the output of a replica which is about to be started; the caller closes it. */
  async open(base: string, mark: string): Promise<number> {
    const { output, keeper } = await openOutput(base, mark);
    this.kept.set(mark, { base, ring: this.kept.get(mark)?.ring ?? new OutputRing(base), keeper, printer: null });
    this.watch();
    return output;
  }

  /** The output of a process: its keeper is started again should it end before the process. */
  of(base: string, mark: string, printer: Identity): void {
    const known = this.kept.get(mark);
    if (known === undefined) this.kept.set(mark, { base, ring: new OutputRing(base), keeper: null, printer });
    else known.printer = printer;
    this.watch();
  }

  /** Up to date; null = it is not of one that runs. */
  ring(mark: string): OutputRing | null {
    const known = this.kept.get(mark);
    known?.ring.pump();
    return known?.ring ?? null;
  }

  /** Resolves with whether all that was printed is on disk: at once when it is, which is soon after the last has ended who could print; else after `ms`. */
  async flushed(mark: string, ms: number): Promise<boolean> {
    const until = performance.now() + ms;
    const keeper = this.kept.get(mark)?.keeper ?? null;
    for (;;) {
      if (keeper === null || !isAlive(keeper)) return true;
      if (performance.now() >= until) return false;
      await sleep(FLUSHED_POLL_MS);
    }
  }

  forget(mark: string): void {
    this.kept.delete(mark);
    if (this.kept.size === 0) this.close();
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private watch(): void {
    this.timer ??= setInterval(() => this.look(), PUMP_MS).unref();
  }

  private look(): void {
    const lost: [string, Kept][] = [];
    const tending = this.looks++ % TEND_EVERY === 0;
    for (const [mark, one] of this.kept) {
      try {
        one.ring.pump();
      } catch (error) {
        this.warn(`output in ${one.base} could not be read: ${messageOf(error)}`);
      }
      const alive = (identity: Identity | null): boolean => identity !== null && isAlive(identity);
      if (tending && alive(one.printer) && !alive(one.keeper)) lost.push([mark, one]);
    }
    if (lost.length > 0) void this.tend(lost);
  }

  /** Finds the keepers that an earlier life of the proxy has started, and starts those again that have ended. */
  private async tend(lost: readonly [string, Kept][]): Promise<void> {
    const running = keepers();
    for (const [mark, one] of lost) {
      try {
        one.keeper = running.get(mark) ?? (await startKeeper(one.base, mark));
      } catch (error) {
        this.warn(`output in ${one.base} is not kept: ${messageOf(error)}`);
      }
    }
  }
}
