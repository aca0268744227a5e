import type { ChildProcess } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { usage } from './processes.ts';
import type { Processes } from './processes.ts';
import type { Scenario } from './scenarios.ts';
import { installed } from './subjects/subject.ts';

export interface LoadOrder {
  /** Of the subject: `http://127.0.0.1:PORT`. */
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
  /** Latencies in µs. */
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

function fieldsOf({ scenario }: LoadOrder): [string, string][] {
  return Object.entries({ ...scenario.headers, ...(scenario.reconnect ? { connection: 'close' } : {}) });
}

function wrkScript(order: LoadOrder): string {
  const { scenario } = order;
  const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  return `wrk.method = "${scenario.method}"
${scenario.bodyBytes > 0 ? `wrk.body = string.rep("x", ${scenario.bodyBytes})` : ''}
${fieldsOf(order)
  .map(([name, value]) => `wrk.headers[${quoted(name)}] = ${quoted(value)}`)
  .join('\n')}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"failed":%d,"seconds":%f,"p50":%f,"p99":%f,"p999":%f,"trace":[]}\\n', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`;
}

/** wrk and h2load count whole seconds. */
function wholeSeconds(seconds: number): number {
  return Math.max(1, Math.round(seconds));
}

function wrkLoad(processes: Processes, wrk: string, dir: string): Load['run'] {
  return async (order, onBegun) => {
    onBegun?.();
    const file = join(dir, `${order.scenario.name}.lua`);
    writeFileSync(file, wrkScript(order));
    const seconds = wholeSeconds(order.seconds);
    const args = ['-t1', `-c${order.scenario.connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', file, order.url + order.scenario.path];
    const { text, cpu } = await processes.output(wrk, args, seconds * 1000 + GRACE_MS);
    return { ...(JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as LoadResult), cpu };
  };
}

/** A line of h2load's log: start in µs since the epoch, status, latency in µs. */
function fromLog(text: string): LoadResult {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t').map(Number));
  const latencies = Float64Array.from(lines, ([, , taken]) => taken).sort();
  const at = (share: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  let [first, last, failed] = [Infinity, 0, 0];
  for (const [start, status, taken] of lines) {
    first = Math.min(first, start);
    last = Math.max(last, start + taken);
    if (status !== 200) failed++;
  }
  return { requests: lines.length, failed, seconds: (last - first) / 1e6, p50: at(0.5), p99: at(0.99), p999: at(0.999), trace: [] };
}

function h2loadLoad(processes: Processes, h2load: string, dir: string): Load['run'] {
  return async (order, onBegun) => {
    onBegun?.();
    const { scenario } = order;
    const log = join(dir, 'h2load.log');
    const seconds = wholeSeconds(order.seconds);
    rmSync(log, { force: true });
    const args = ['--h1', '-t1', `-c${scenario.connections}`, `-D${seconds}`, `--log-file=${log}`];
    for (const [name, value] of fieldsOf(order)) args.push('-H', `${name}: ${value}`);
    if (scenario.bodyBytes > 0) {
      const body = join(dir, `${scenario.bodyBytes}.body`);
      writeFileSync(body, 'x'.repeat(scenario.bodyBytes));
      args.push('-d', body);
    }
    const { cpu } = await processes.output(h2load, [...args, order.url + scenario.path], seconds * 1000 + GRACE_MS);
    return { ...fromLog(readFileSync(log, 'utf8')), cpu };
  };
}

export const LOADS = ['autocannon', 'wrk', 'h2load'] as const;
export type LoadName = (typeof LOADS)[number];

/** The load of this name; what it cannot do is done by the built-in one. */
export function loadOf(name: LoadName, processes: Processes, dir: string): Load {
  const builtIn = new BuiltInLoad(processes);
  if (name === 'autocannon') return builtIn;
  const program = installed(name);
  if (program === null) throw new Error(`${name} is not installed`);
  const outside = name === 'wrk' ? wrkLoad(processes, program, dir) : h2loadLoad(processes, program, dir);
  const can = (order: LoadOrder): boolean => {
    const { scenario } = order;
    if (order.trace || order.amount !== undefined || scenario.kind !== 'requests' || scenario.chunked) return false;
    return name === 'wrk' || !scenario.reconnect;
  };
  return { name, run: (order, onBegun) => (can(order) ? outside(order, onBegun) : builtIn.run(order, onBegun)), end: () => builtIn.end() };
}
