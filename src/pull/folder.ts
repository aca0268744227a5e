import { statSync, watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/config.ts';
import { readDocument } from '../config/load.ts';
import { parseConfig } from '../config/parse.ts';
import type { ConfigWatch } from '../config/watch.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { Issue } from '../errors/catalogue.ts';

const QUIET_MS = 150;
const MOST_WAIT_MS = 1_000;
/** Between two looks whether the folder is still the one that is watched. */
const SAME_FOLDER_MS = 2_000;
const MOST_TRIES = 3;
const PART = /^[^._].*\.(?:json|ts|mts|js|mjs)$/;

/**
 * Reads all .json, .ts, .mts, .js and .mjs files of a folder, by name, as one configuration; names that begin with `.` or `_` are
 * left out, for what others import. Each field of the top level, and each upstream, may be in one file only.
 * @throws Refusal `invalid`, with both files when something is in two of them
 */
export async function loadFolder(path: string): Promise<Config> {
  const folder = resolve(path);
  for (let tries = 1; ; tries++) {
    const files = await filesOf(folder);
    try {
      return await readFiles(folder, files);
    } catch (error) {
      // A file that was taken away or renamed while it was read is none that is wrong: what is there now counts.
      if (tries === MOST_TRIES || isDeepStrictEqual(files, await filesOf(folder).catch(() => null))) throw error;
    }
  }
}

async function filesOf(folder: string): Promise<string[]> {
  const files = (await readdir(folder)).filter((name) => PART.test(name) && !name.endsWith('.d.ts')).toSorted();
  if (files.length === 0) throw new Refusal(REFUSAL.invalid, `${folder}: there is no configuration in it; expected .json or .ts files`);
  return files;
}

async function readFiles(folder: string, files: readonly string[]): Promise<Config> {
  const whole: Record<string, unknown> = {};
  const upstreams: Record<string, unknown> = {};
  const owner = new Map<string, string>();
  const issues: Issue[] = [];
  const own = (place: string, file: string): void => {
    const other = owner.get(place);
    if (other !== undefined) issues.push({ path: place, message: `expected it in one file, got it in ${other} and in ${file}` });
    owner.set(place, file);
  };
  for (const file of files) {
    const part = (await readDocument(join(folder, file))) ?? {};
    if (typeof part !== 'object' || Array.isArray(part))
      throw new Refusal(REFUSAL.invalid, `${join(folder, file)}: expected an object with fields of the configuration`);
    for (const [field, value] of Object.entries(part as Record<string, unknown>)) {
      if (field !== 'upstreams' || typeof value !== 'object' || value === null) {
        own(field, file);
        whole[field] = value;
        continue;
      }
      for (const [name, upstream] of Object.entries(value)) {
        own(`upstreams.${name}`, file);
        upstreams[name] = upstream;
      }
    }
  }
  if (issues.length > 0) throw new Refusal(REFUSAL.invalid, `${issues[0].path}: ${issues[0].message}`, { folder }, issues);
  try {
    return parseConfig({ ...whole, upstreams }, { folder });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const [, place] = /^((?:upstreams\.)?[^.[]+)/.exec(error.errors.at(0)?.path ?? '') ?? [];
    throw new Refusal(error.fault, `${owner.get(place ?? '') ?? folder}: ${error.message}`, { folder }, error.errors);
  }
}

/**
 * Calls `changed` 150 ms after the last change of a file in the folder (1 s after the first at the latest), and when another folder has
 * come in its place.
 */
export function watchFolder(path: string, changed: () => void, failed: (error: Error) => void): ConfigWatch {
  let timer: NodeJS.Timeout | null = null;
  let since = 0;
  const touched = (): void => {
    const now = performance.now();
    if (timer === null) since = now;
    else clearTimeout(timer);
    timer = setTimeout(
      () => {
        timer = null;
        changed();
      },
      Math.min(QUIET_MS, Math.max(0, since + MOST_WAIT_MS - now)),
    );
  };
  const begin = (): FSWatcher => watch(path, { persistent: false }, touched).on('error', failed);
  let watcher = begin();
  let watched = identityOf(path);
  let told = false;
  const follow = (): void => {
    const now = identityOf(path);
    if (now === null || now === watched) return;
    watcher.close();
    watcher = begin();
    [watched, told] = [now, false];
    touched();
  };
  // Of a folder that was renamed, or made anew, its watcher says nothing.
  const look = setInterval(() => {
    try {
      follow();
    } catch (error) {
      // It may be there again at the next look.
      if (!told) failed(error as Error);
      told = true;
    }
  }, SAME_FOLDER_MS).unref();
  return {
    close(): void {
      clearInterval(look);
      if (timer !== null) clearTimeout(timer);
      watcher.close();
    },
  };
}

/** null while there is no such folder. */
function identityOf(path: string): string | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev} ${found.ino}`;
}
