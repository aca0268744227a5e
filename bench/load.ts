import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { outsideLoads } from './outside-loads.ts';
import { usage } from './processes.ts';
import type { Processes } from './processes.ts';
import type { Scenario } from './scenarios.ts';
import { NOT_INSTALLED, installed } from './subjects/subject.ts';

export interface LoadOrder {
  /** Of the subject: `http://127.0.0.1:PORT`, or `https:`. */
  readonly url: string;
  readonly seconds: number;
  readonly scenario: Scenario;
  /** Tells when each answer came and how long it took. */
  readonly trace: boolean;
  /** Ends after so many requests instead of `seconds`. */
  readonly amount?: number;
}

export interface LoadResult {
  readonly requests: number;
  /** Answers other than 200, those of another length, and connections that broke. */
  readonly failed: number;
  readonly seconds: number;
  /** Latencies in µs; NaN where the load does not tell. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Pairs: epoch milliseconds at the end of an answer, its latency in µs. Empty unless asked for. */
  readonly trace: readonly number[];
}

/** Puts load on a subject from a process of its own. */
export interface Load {
  readonly name: string;
  /**
   * What came of it, and the CPU time of the load in µs.
   * @param onBegun called when counting begins: with the built-in load that is when all connections are open.
   */
  run(order: LoadOrder, onBegun?: () => void): Promise<LoadResult & { readonly cpu: number }>;
  /** Ends its process; the next order starts another. */
  end(): Promise<void>;
}

const GRACE_MS = 20_000;

/** A load process and the orders it is given, one at a time. */
class Driver {
  readonly pid: number;
  readonly child: ChildProcess;
  private complaint = '';
  private begun: (() => void) | null = null;
  private answer: ((line: string) => void) | null = null;
  private fail: ((error: Error) => void) | null = null;

  constructor(processes: Processes) {
    const script = fileURLToPath(new URL('servers/load.ts', import.meta.url));
    this.child = processes.start(process.execPath, [script], 'load', { asked: true });
    this.pid = this.child.pid ?? 0;
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.complaint = (this.complaint + text).slice(-500)));
    if (this.child.stdout !== null)
      createInterface({ input: this.child.stdout }).on('line', (line) => (line === 'begun' ? this.begun?.() : this.answer?.(line)));
    this.child.stdin?.on('error', (error) => this.fail?.(error));
    this.child.on('exit', () => this.fail?.(new Error(`the load has ended: ${this.complaint}`)));
  }

  async ask(order: LoadOrder, begun: () => void): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<string>((resolve, reject) => {
        this.begun = begun;
        this.answer = resolve;
        this.fail = reject;
        timer = setTimeout(() => reject(new Error('the load did not end')), order.seconds * 1000 + GRACE_MS);
        this.child.stdin?.write(`${JSON.stringify(order)}\n`);
      });
    } finally {
      clearTimeout(timer);
      this.begun = null;
      this.answer = null;
      this.fail = null;
    }
  }
}

/** autocannon, and what it cannot do by a client of the bench's own, in one process. */
class BuiltInLoad implements Load {
  readonly name = 'autocannon';
  private readonly processes: Processes;
  private driver: Driver | null = null;

  constructor(processes: Processes) {
    this.processes = processes;
  }

  async run(order: LoadOrder, onBegun?: () => void): Promise<LoadResult & { cpu: number }> {
    const driver = (this.driver ??= new Driver(this.processes));
    try {
      let before = 0;
      const begun = (): void => {
        before = usage(driver.pid).cpu;
        onBegun?.();
      };
      const answer = JSON.parse(await driver.ask(order, begun)) as LoadResult | { error: string };
      if ('error' in answer) throw new Error(answer.error);
      return { ...answer, cpu: usage(driver.pid).cpu - before };
    } catch (error) {
      // Whatever it is still doing must not fall into the next order.
      await this.end();
      throw error;
    }
  }

  async end(): Promise<void> {
    const { driver } = this;
    this.driver = null;
    if (driver !== null) await this.processes.stop(driver.child);
  }
}

export const LOADS = ['autocannon', 'wrk', 'h2load'] as const;
export type LoadName = (typeof LOADS)[number];

/** The load of this name; what it cannot do is done by the built-in one, or by the only program that can. */
export function loadOf(name: LoadName, processes: Processes, dir: string): Load {
  const builtIn = new BuiltInLoad(processes);
  if (name !== 'autocannon' && installed(name) === null) throw new Error(`${name} is ${NOT_INSTALLED}`);
  const programs = outsideLoads(processes, dir);
  const can = ({ trace, amount, scenario }: LoadOrder): boolean => {
    if (trace || amount !== undefined || scenario.kind !== 'requests' || scenario.chunked) return false;
    return name === 'wrk' || !scenario.reconnect;
  };
  const run: Load['run'] = async (order, onBegun) => {
    const { by } = order.scenario;
    if (by !== 'any' && by !== 'raw') return programs[by](order, onBegun);
    return name !== 'autocannon' && can(order) ? programs[name](order, onBegun) : builtIn.run(order, onBegun);
  };
  return { name, run, end: () => builtIn.end() };
}
