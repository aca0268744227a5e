import { watch } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { readDocument } from '../config/load.ts';
import { parseConfig } from '../config/parse.ts';
import type { ConfigWatch } from '../config/watch.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { Issue } from '../errors/catalogue.ts';

const QUIET_MS = 150;
const PART = /^[^._].*\.(?:json|ts|mts|js|mjs)$/;

/**
 * Reads all .json, .ts, .mts, .js and .mjs files of a folder, by name, as one configuration; names that begin with `.` or `_` are
 * left out, for what others import. Each field of the top level, and each upstream, may be in one file only.
 * @throws Refusal `invalid`, with both files when something is in two of them
 */
export async function loadFolder(path: string): Promise<Config> {
  const folder = resolve(path);
  const files = (await readdir(folder)).filter((name) => PART.test(name) && !name.endsWith('.d.ts')).toSorted();
  if (files.length === 0) throw new Refusal(REFUSAL.invalid, `${folder}: there is no configuration in it; expected .json or .ts files`);
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
    const part = ((await readDocument(join(folder, file))) ?? {}) as Record<string, unknown>;
    for (const [field, value] of Object.entries(part)) {
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
  return parseConfig({ ...whole, upstreams }, { folder });
}

/** Calls `changed` 150 ms after the last change of a file in the folder. */
export function watchFolder(path: string, changed: () => void, failed: (error: Error) => void): ConfigWatch {
  let timer: NodeJS.Timeout | undefined;
  const watcher = watch(path, { persistent: false }, () => {
    clearTimeout(timer);
    timer = setTimeout(changed, QUIET_MS);
  });
  watcher.on('error', failed);
  return {
    close(): void {
      clearTimeout(timer);
      watcher.close();
    },
  };
}
