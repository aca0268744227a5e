import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PATIENCE, within } from './wait.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The environment of a child: ours without what would change how Node, the tests or colours behave. */
export function childEnv(extra: Record<string, string> = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !/^(NODE_|TAP_|SWITCHYARD_|FORCE_COLOR|NO_COLOR)/.test(name));
  return { ...Object.fromEntries(kept.map(([name, value]) => [name, value ?? ''])), ...extra };
}

/** Ends a child at once, if it has not ended, and waits until it has gone. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** kill -9 of a process that may have ended by itself meanwhile. */
export function killPid(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A child of this very Node, its output collected. */
export class NodeProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<ExitStatus>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}) {
    const child = spawn(process.execPath, args, { cwd: options.cwd ?? ROOT, env: childEnv(options.env), stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    // 'close' and not 'exit': then the output is complete.
    this.exited = once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as NodeJS.Signals | null }));
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Sends the signal and resolves when the process has gone; SIGKILL, and an error, past the deadline. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', deadline = PATIENCE): Promise<ExitStatus> {
    if (this.running) this.child.kill(signal);
    return this.wait(deadline);
  }

  /** Resolves when the process has gone by itself; SIGKILL, and an error, past the deadline. */
  async wait(deadline = PATIENCE): Promise<ExitStatus> {
    try {
      return await within(deadline, () => `the end of process ${this.pid}; its output:\n${this.stdout}${this.stderr}`, this.exited);
    } catch (error) {
      this.child.kill('SIGKILL');
      throw error;
    }
  }
}
