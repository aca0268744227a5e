import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors/message.ts';
import { StartError } from './driver.ts';
import type { Driver, End, Followed, Handle, Order, Started } from './driver.ts';
import { groupOf, identifyChild, isAlive, MARK, signalGroup, signalProcess, withMark } from './_proc.ts';
import type { Identity } from './_proc.ts';
import { Outputs } from './_outputs.ts';
import { followSegments } from './_ring.ts';
import { tail } from './_segments.ts';

/** Between two looks at a process that is none of our children any more. */
const WATCH_MS = 200;
const STOP_POLL_MS = 20;
/** How long what was sent SIGKILL may take to be gone. */
const KILLED_MS = 10_000;
/** How long the last words of what has ended may take to be on disk, while others may still print. */
const FLUSHED_MS = 500;
/** And when nobody is known who can: they are on their way. What has shed its mark keeps a restart waiting no longer than this. */
const ALL_FLUSHED_MS = 4_000;
/** What of the proxy's own environment is not for others. */
const OWN = /^SWITCHYARD_/;

/**
 * Programs on this machine, each the leader of a session and process group of its own, so that neither a Ctrl-C for the proxy nor
 * its end reaches them. Their output goes to a keeper that outlives the proxy, too. Who they are is their id and start time, on Linux
 * from /proc; and a mark in their environment, by which also what they have started is found.
 */
export class ProcessDriver implements Driver {
  private readonly env: Readonly<Record<string, string | undefined>>;
  /** How those ended that this very proxy has started. */
  private readonly ends = new Map<string, Promise<End>>();
  private readonly outputs: Outputs;

  /** @param env the proxy's own environment. */
  constructor(env: Readonly<Record<string, string | undefined>>, warn: (message: string) => void = () => undefined) {
    this.env = env;
    this.outputs = new Outputs(warn);
  }

  async start(order: Order): Promise<Started> {
    const { command, cwd, env } = order.spec;
    if (process.platform !== 'linux') throw new StartError('programs can be launched on Linux only', false);
    if (cwd !== null && statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) throw new StartError(`there is no folder ${cwd}`, false);
    const inherited = Object.fromEntries(Object.entries(this.env).filter(([name]) => !OWN.test(name)));
    const own = order.port === null ? {} : { PORT: String(order.port) };
    const output = await this.outputs.open(order.output, order.mark).catch((error: unknown) => {
      throw new StartError(messageOf(error), true);
    });
    try {
      const child = spawn(command[0], command.slice(1), {
        cwd: cwd ?? undefined,
        env: { ...inherited, ...env, ...order.told, ...own, [MARK]: order.mark },
        detached: true,
        stdio: ['ignore', output, output],
      });
      // In the tick of the spawn nothing can have taken the child's place yet.
      const identity = child.pid === undefined ? null : identifyChild(child.pid);
      await spawned(child, command[0]);
      child.unref();
      if (identity === null) throw new StartError(`${command[0]} was gone before it could be seen`, true);
      this.outputs.of(order.output, order.mark, identity);
      return { handle: this.remember(identity, child), address: null };
    } finally {
      closeSync(output);
    }
  }

  private remember(identity: Identity, child: ChildProcess): Handle {
    const key = keyOf(identity);
    const { promise, resolve } = Promise.withResolvers<End>();
    child.once('exit', (code, signal) => resolve({ code, signal }));
    if (child.exitCode !== null || child.signalCode !== null) resolve({ code: child.exitCode, signal: child.signalCode });
    this.ends.set(key, promise);
    return { ...identity };
  }

  async ended(order: Order, handle: Handle, signal: AbortSignal): Promise<End> {
    const identity = identityOf(handle);
    if (isAlive(identity)) this.outputs.of(order.output, order.mark, identity);
    const end = await this.end(identity, signal);
    if (!(await this.outputs.flushed(order.mark, FLUSHED_MS)) && withMark(order.mark).length === 0) await this.outputs.flushed(order.mark, ALL_FLUSHED_MS);
    return end;
  }

  private async end(identity: Identity, signal: AbortSignal): Promise<End> {
    const own = this.ends.get(keyOf(identity));
    if (own === undefined) {
      while (isAlive(identity)) await sleep(WATCH_MS, undefined, { signal });
      return { code: null, signal: null };
    }
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      return await Promise.race([own, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async stop(order: Order, handle: Handle | null): Promise<void> {
    const leader = handle === null ? null : identityOf(handle);
    const deadline = performance.now() + order.spec.stopTimeout;
    const asked = new Set<string>();
    for (let first = true; ; first = false) {
      // What has left the group is asked at once, too.
      const left = first ? [...groupOf(leader), ...withMark(order.mark)] : remaining(order.mark, leader);
      if (left.length === 0) break;
      const late = performance.now() >= deadline;
      if (late && performance.now() >= deadline + KILLED_MS) throw new Error(`process ${left[0].pid} does not end, not even by SIGKILL`);
      if (leader !== null && (late || !asked.has(keyOf(leader)))) signalGroup(leader, late ? 'SIGKILL' : 'SIGTERM');
      if (first) for (const each of groupOf(leader)) asked.add(keyOf(each));
      for (const each of left) {
        if (late) signalProcess(each, 'SIGKILL');
        else if (!asked.has(keyOf(each))) signalProcess(each, 'SIGTERM');
        asked.add(keyOf(each));
      }
      await sleep(STOP_POLL_MS);
    }
    if (leader !== null) this.ends.delete(keyOf(leader));
    await this.outputs.flushed(order.mark, FLUSHED_MS);
    this.outputs.forget(order.mark);
  }

  async output(order: Order, _: Handle | null, lines: number): Promise<string[]> {
    return this.outputs.ring(order.mark)?.last(lines) ?? tail(order.output, lines);
  }

  lastWords({ mark }: Order, lines: number): string[] {
    return this.outputs.ring(mark)?.held(lines) ?? [];
  }

  async follow(order: Order, from: number): Promise<Followed> {
    return this.outputs.ring(order.mark)?.since(from) ?? followSegments(order.output, from);
  }

  close(): void {
    this.outputs.close();
  }
}

/** What still runs: the leader and its group, and all that carries the mark. */
function remaining(mark: string, leader: Identity | null): Identity[] {
  // As long as the leader lives, nothing is over; the look into all processes of the machine can wait.
  const group = groupOf(leader);
  return group.length > 0 ? group : withMark(mark);
}

async function spawned(child: ChildProcess, program: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('spawn', resolve);
  child.on('error', (error: NodeJS.ErrnoException) => {
    const why = { ENOENT: 'there is no such program', EACCES: 'it may not be run' }[error.code ?? ''];
    reject(new StartError(`${program} could not be started: ${why ?? error.message}`, why === undefined));
  });
  await promise;
}

function identityOf(handle: Handle): Identity {
  return { pid: Number(handle.pid), start: String(handle.start), boot: String(handle.boot) };
}

function keyOf({ pid, start }: Identity): string {
  return `${pid}/${start}`;
}
