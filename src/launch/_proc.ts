import { readFileSync, readdirSync } from 'node:fs';

/** A process and no later one of the same id: with the boot and its start in ticks since then. */
export interface Identity {
  readonly pid: number;
  readonly start: string;
  readonly boot: string;
}

export const MARK = 'SWITCHYARD_LAUNCH';

interface Stat {
  readonly state: string;
  readonly group: number;
  readonly start: string;
}

/** What /proc says; null = there is no such process, or only what is left of one that has ended. */
function statOf(pid: number): Stat | null {
  const stat = remainsOf(pid);
  return stat === null || stat.state === 'Z' || stat.state === 'X' ? null : stat;
}

/** Also of one that has ended, until its parent has heard of that. */
function remainsOf(pid: number): Stat | null {
  const text = read(`/proc/${pid}/stat`);
  if (text === null) return null;
  // The name may hold spaces and brackets: fields are counted from behind it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0], group: Number(fields[2]), start: fields[19] };
}

let boot: string | null = null;

function bootId(): string {
  return (boot ??= read('/proc/sys/kernel/random/boot_id')?.trim() ?? '');
}

/** null = it has ended. */
export function identify(pid: number): Identity | null {
  const stat = statOf(pid);
  return stat === null ? null : { pid, start: stat.start, boot: bootId() };
}

/** A child in the tick of its spawn: it is there, even if it has ended. */
export function identifyChild(pid: number): Identity | null {
  const stat = remainsOf(pid);
  return stat === null ? null : { pid, start: stat.start, boot: bootId() };
}

export function isAlive(identity: Identity): boolean {
  return identity.boot === bootId() && statOf(identity.pid)?.start === identity.start;
}

/** Every process that carries this mark in its environment: what was started with it, and what that has started. */
export function withMark(mark: string): Identity[] {
  const wanted = `\0${MARK}=${mark}\0`;
  const found: Identity[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    // Its start is read first: should the id change hands in between, it is told apart before a signal is sent.
    const identity = identify(pid);
    if (identity === null || pid === process.pid || !hasMark(pid, wanted)) continue;
    found.push(identity);
  }
  return found;
}

/** Leaders of a process group that have this name in their environment, by its value; of several with one value the last. */
export function carriers(variable: string): Map<string, Identity> {
  const found = new Map<string, Identity>();
  const begin = `${variable}=`;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const stat = statOf(pid);
    if (stat === null || stat.group !== pid) continue;
    const value = environOf(pid)
      .split('\0')
      .find((each) => each.startsWith(begin));
    if (value !== undefined) found.set(value.slice(begin.length), { pid, start: stat.start, boot: bootId() });
  }
  return found;
}

/** '' of another user's, or of one that is gone: none that was started here. */
function environOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}

function hasMark(pid: number, wanted: string): boolean {
  return `\0${environOf(pid)}\0`.includes(wanted);
}

/** Members of the process group that this process leads; none when it has ended. */
export function groupOf(leader: Identity | null): Identity[] {
  if (leader === null || !isAlive(leader)) return [];
  const found: Identity[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(Number(name));
    if (stat !== null && stat.group === leader.pid) found.push({ pid: Number(name), start: stat.start, boot: bootId() });
  }
  return found;
}

/** Sends a signal to this very process; nothing is done when it has ended. */
export function signalProcess(identity: Identity, signal: NodeJS.Signals): void {
  if (isAlive(identity)) send(identity.pid, signal);
}

/** Sends a signal to the whole group of a leader that lives. */
export function signalGroup(leader: Identity, signal: NodeJS.Signals): void {
  if (isAlive(leader) && statOf(leader.pid)?.group === leader.pid) send(-leader.pid, signal);
}

function send(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}
