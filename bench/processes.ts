import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { installed } from './subjects/subject.ts';

/** Linux counts the time of processes in these; USER_HZ is 100 on every architecture Node runs on. */
const TICKS_PER_SECOND = 100;

export interface Usage {
  /** User and system time since the start, in µs. */
  readonly cpu: number;
  /** Resident memory in bytes. */
  readonly rss: number;
}

/** Where a process runs: core 0 (`subject`), core 1 (`load`: the load and the backend), or both. */
export type Core = 'subject' | 'load' | 'both';
const CORES: Readonly<Record<Core, string>> = { subject: '0', load: '1', both: '0,1' };

export interface StartOptions {
  /** Its standard input is a pipe. */
  readonly asked?: boolean;
  /** Its standard output goes into this file. */
  readonly into?: string;
}

function environment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = process.env;
  return rest;
}

/** Children, each pinned to a core where taskset is installed and there are two; ends those it started and no others. */
export class Processes {
  readonly pinned: boolean;
  #taskset: string | null;
  #running = new Set<ChildProcess>();
  #ending = false;

  constructor() {
    this.#taskset = availableParallelism() > 1 ? installed('taskset') : null;
    this.pinned = this.#taskset !== null;
  }

  start(program: string, args: readonly string[], core: Core, options: StartOptions = {}): ChildProcess {
    if (this.#ending) throw new Error('the bench is ending');
    const pin = this.#taskset === null ? [] : [this.#taskset, '-c', CORES[core]];
    const [command, ...rest] = [...pin, program, ...args];
    const out = options.into === undefined ? null : openSync(options.into, 'a');
    const child = spawn(command, rest, { env: environment(), stdio: [options.asked === true ? 'pipe' : 'ignore', out ?? 'pipe', 'pipe'] });
    if (out !== null) closeSync(out);
    this.#running.add(child);
    child.once('exit', () => this.#running.delete(child));
    return child;
  }

  /** Runs a process for each list of arguments, at once, on the core of the load to their end; what they printed, and the CPU time they took in µs. */
  async output(program: string, lists: readonly (readonly string[])[], deadlineMs: number): Promise<{ texts: string[]; cpu: number }> {
    const before = reapedCpu();
    const texts = await Promise.all(lists.map((args) => this.#textOf(program, args, deadlineMs)));
    return { texts, cpu: reapedCpu() - before };
  }

  async #textOf(program: string, args: readonly string[], deadlineMs: number): Promise<string> {
    const child = this.start(program, args, 'load');
    let [text, err] = ['', ''];
    child.stdout?.setEncoding('utf8').on('data', (more: string) => (text += more));
    child.stderr?.setEncoding('utf8').on('data', (more: string) => (err += more));
    const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
    const [code] = (await once(child, 'close')) as [number | null];
    clearTimeout(timer);
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${err.trim().split('\n').at(-1)}`);
    return text;
  }

  async stop(child: ChildProcess, grace = 3_000): Promise<void> {
    if (!this.#running.has(child)) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), grace);
    await gone;
    clearTimeout(timer);
  }

  /** Nothing can be started any more: a tool that is interrupted leaves nothing behind. */
  async stopAll(): Promise<void> {
    this.#ending = true;
    await Promise.all([...this.#running].map((child) => this.stop(child)));
  }
}

/** Fields of /proc/PID/stat from the third on: the name in brackets before them may hold spaces. */
function stat(pid: number | 'self'): number[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

/** User and system time in µs of the children that have ended and been waited for: cutime and cstime, fields 16 and 17. */
function reapedCpu(): number {
  const fields = stat('self');
  return ((fields[13] + fields[14]) / TICKS_PER_SECOND) * 1e6;
}

function threadsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`);
}

function childrenOf(pid: number): number[] {
  return threadsOf(pid).flatMap((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  });
}

/** The scheduler's own count is in ns; utime and stime, where the kernel does not show it, are in steps of 10 ms. */
const PRECISE = existsSync('/proc/self/schedstat');

function cpuOf(pid: number): number {
  if (PRECISE) return threadsOf(pid).reduce((sum, thread) => sum + threadCpu(`/proc/${pid}/task/${thread}/schedstat`), 0) / 1000;
  const fields = stat(pid);
  return ((fields[11] + fields[12]) / TICKS_PER_SECOND) * 1e6;
}

/** In ns; 0 for a thread that has just ended. */
function threadCpu(file: string): number {
  return existsSync(file) ? Number(readFileSync(file, 'utf8').split(' ')[0]) : 0;
}

/** What a process, its threads and its children have used, from /proc. */
export function usage(pid: number): Usage {
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  const inner = childrenOf(pid).map(usage);
  return {
    cpu: cpuOf(pid) + inner.reduce((sum, one) => sum + one.cpu, 0),
    rss: kilobytes * 1024 + inner.reduce((sum, one) => sum + one.rss, 0),
  };
}
