import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
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

function environment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = process.env;
  return rest;
}

/** Children, each pinned to a core where taskset is installed and there are two; ends those it started and no others. */
export class Processes {
  readonly pinned: boolean;
  #taskset: string | null;
  #running = new Set<ChildProcess>();

  constructor() {
    this.#taskset = availableParallelism() > 1 ? installed('taskset') : null;
    this.pinned = this.#taskset !== null;
  }

  /** Starts a process on core 0 (`subject`) or on core 1 (`load`: the load and the backend). */
  start(program: string, args: readonly string[], core: 'subject' | 'load'): ChildProcess {
    const pin = this.#taskset === null ? [] : [this.#taskset, '-c', core === 'subject' ? '0' : '1'];
    const [command, ...rest] = [...pin, program, ...args];
    const child = spawn(command, rest, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    this.#running.add(child);
    child.once('exit', () => this.#running.delete(child));
    return child;
  }

  /** Runs a process on the core of the load to its end and gives back what it printed. */
  async output(program: string, args: readonly string[], deadlineMs: number): Promise<string> {
    const child = this.start(program, args, 'load');
    let [out, err] = ['', ''];
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
    const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
    const [code] = (await once(child, 'close')) as [number | null];
    clearTimeout(timer);
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${err.trim().split('\n').at(-1)}`);
    return out;
  }

  async stop(child: ChildProcess): Promise<void> {
    if (!this.#running.has(child)) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
    await gone;
    clearTimeout(timer);
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((child) => this.stop(child)));
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  });
}

/** What a process, its threads and its children have used, from /proc. */
export function usage(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in brackets may hold spaces; the fields are counted from behind it. utime, stime, cutime and cstime are fields 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, text) => sum + Number(text), 0);
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  const inner = childrenOf(pid).map(usage);
  return {
    cpu: (ticks / TICKS_PER_SECOND) * 1e6 + inner.reduce((sum, one) => sum + one.cpu, 0),
    rss: kilobytes * 1024 + inner.reduce((sum, one) => sum + one.rss, 0),
  };
}
