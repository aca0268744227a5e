import { statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { watchConfig } from '../config/watch.ts';
import { loadFolder, watchFolder } from './folder.ts';
import { Remote } from './remote.ts';

export type Tell = (level: 'info' | 'warn' | 'error', message: string) => void;

/** Where the proxy has its configuration from. */
export interface Source {
  readonly kind: 'file' | 'pull';
  readonly name: string;
  /** Where the state is kept when the configuration does not say it; null = it does. */
  readonly stateDir: string | null;
  /** Loads it again; what it was before when nothing has changed. */
  load(): Promise<Config>;
  close(): void;
}

export interface SourceOptions {
  /** The file of `--config`. */
  readonly file: string;
  /** A file, a folder or a URL instead. */
  readonly from?: string;
  readonly stateDir?: string;
  readonly token?: string;
  readonly hmacKey?: string;
  readonly sha256?: string;
}

/**
 * Loads the configuration to start with, and calls `changed` whenever it is time to load it again. It is watched before it is read, so
 * that no edit falls in between.
 */
export async function openSource(options: SourceOptions, changed: () => void, tell: Tell): Promise<{ source: Source; first: Config }> {
  const { from } = options;
  if (from !== undefined && /^https?:\/\//i.test(from)) return openRemote(from, options, changed, tell);
  const path = from ?? options.file;
  const folder = from !== undefined && isFolder(from);
  const failed = (error: Error): void => tell('warn', `the configuration is not watched any more: ${error.message}`);
  const load = folder ? () => loadFolder(path) : () => loadConfig(path);
  const watch = folder ? watchFolder(path, changed, failed) : await watchConfig(path, changed, failed).catch((error: Error) => error);
  try {
    const first = await load();
    if (watch instanceof Error) throw watch;
    return { source: { kind: from === undefined ? 'file' : 'pull', name: basename(path), stateDir: null, load, close: () => watch.close() }, first };
  } catch (error) {
    if (!(watch instanceof Error)) watch.close();
    throw error;
  }
}

async function openRemote(url: string, options: SourceOptions, changed: () => void, tell: Tell): Promise<{ source: Source; first: Config }> {
  const stateDir = resolve(options.stateDir ?? '.switchyard');
  const { token, hmacKey, sha256 } = options;
  const remote = new Remote({ url, token, hmacKey, sha256, cacheFile: join(stateDir, 'pulled.json'), tell });
  try {
    const first = await remote.first();
    remote.watch(changed);
    return { source: { kind: 'pull', name: remote.name, stateDir, load: () => remote.load(), close: () => remote.close() }, first };
  } catch (error) {
    remote.close();
    throw error;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
