import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';

/**
 * Takes the exclusive use of a folder; the answer gives it back. A lock whose process is gone is taken over.
 * @throws Refusal when another process (or this one) holds it.
 */
export function lockFolder(dir: string): () => void {
  const path = join(dir, 'lock');
  const mine = `${process.pid} ${identityOf(process.pid) ?? '-'}\n`;
  const draft = join(dir, `lock.${process.pid}`);
  writeFileSync(draft, mine);
  try {
    if (!link(draft, path)) {
      removeStale(path, dir);
      if (!link(draft, path)) throw held(dir, read(path));
    }
  } finally {
    unlinkSync(draft);
  }
  return () => {
    if (read(path) === mine) unlinkSync(path);
  };
}

/** Gives the lock file its name with its content in it: no moment exists at which it is there but empty. */
function link(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function removeStale(path: string, dir: string): void {
  const holder = read(path);
  if (holder === null) return;
  if (isAlive(holder)) throw held(dir, holder);
  const aside = join(dir, `lock.stale.${process.pid}`);
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  // Another process may have taken the stale lock over in between: then that one is put back.
  const taken = read(aside) !== holder;
  if (taken) link(aside, path);
  unlinkSync(aside);
  if (taken) throw held(dir, read(path));
}

function held(dir: string, holder: string | null): Refusal {
  const pid = holder === null ? null : Number.parseInt(holder, 10);
  return new Refusal(REFUSAL.notNow, `The state folder ${dir} is in use by ${pid === null ? 'another process' : `process ${pid}`}.`, { stateDir: dir, pid });
}

function isAlive(holder: string): boolean {
  const [text, identity] = holder.trim().split(' ');
  const pid = Number(text);
  if (!Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
  }
  if (hasEnded(pid)) return false;
  const now = identityOf(pid);
  return now === null || identity === '-' || identity === now;
}

/** Killed, and nobody has asked yet how it ended, as the first process of many containers never does: it holds nothing any more. */
function hasEnded(pid: number): boolean {
  const fields = fieldsOf(read(`/proc/${pid}/stat`) ?? '');
  // With threads left it is still on its way out.
  return fields[0] === 'Z' && Number(fields[17]) <= 1;
}

/** Tells a process from a later one with the same id: the boot and its start time; null where /proc is missing. */
function identityOf(pid: number): string | null {
  const stat = read(`/proc/${pid}/stat`);
  const boot = read('/proc/sys/kernel/random/boot_id');
  if (stat === null || boot === null) return null;
  // Start time is the 22nd field.
  const started = fieldsOf(stat)[19];
  return `${boot.trim()}/${started}`;
}

/** From the third on: the name of the process, the second, may hold spaces and brackets. */
function fieldsOf(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
