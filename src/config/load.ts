import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { messageOf } from '../errors/message.ts';
import type { Config } from './config.ts';
import { parseConfig } from './parse.ts';

const MODULES = new Set(['.ts', '.mts', '.js', '.mjs']);
const MOST_BYTES = 16 * 2 ** 20;
const LOAD_TIMEOUT = 10_000;

let loads = 0;

/**
 * Reads and validates a configuration file: a module with a default export, or JSON. Each call reads the file anew,
 * but modules that it imports are read once per process.
 * @throws Refusal `invalid` when there is no such file, it cannot be evaluated, or what it says is not valid
 */
export async function loadConfig(path: string): Promise<Config> {
  const file = resolve(path);
  const raw = await readDocument(file);
  try {
    return parseConfig(raw, { folder: dirname(file) });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(error.fault, `${basename(file)}: ${error.message}`, { file }, error.errors);
  }
}

/**
 * What a configuration file says, not yet validated.
 * @param file absolute
 */
export async function readDocument(file: string): Promise<unknown> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => refuse(file, error.code === 'ENOENT' ? 'there is no such file' : reason(error)));
  if (!found.isFile()) return refuse(file, 'it is not a file');
  if (found.size > MOST_BYTES) return refuse(file, `it is larger than ${MOST_BYTES} bytes`);
  const kind = extname(file);
  if (kind === '.json') return readJson(file);
  if (MODULES.has(kind)) return importDefault(file);
  return refuse(file, `expected a name that ends in .ts, .mts, .js, .mjs or .json`);
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    return refuse(file, `it is not valid JSON: ${reason(error)}`);
  }
}

async function importDefault(file: string): Promise<unknown> {
  // The module cache is keyed by the whole URL: the query makes a reload see what was edited.
  const url = `${pathToFileURL(file).href}?load=${++loads}`;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${LOAD_TIMEOUT / 1000} s to evaluate`)), LOAD_TIMEOUT);
  });
  try {
    const module = await Promise.race([import(url) as Promise<Record<string, unknown>>, late]);
    if (!('default' in module)) return refuse(file, 'it has no default export; expected `export default defineConfig({…})`');
    return module.default;
  } catch (error) {
    if (error instanceof Refusal) throw error;
    return refuse(file, `it cannot be evaluated: ${reason(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

function reason(error: unknown): string {
  const text = messageOf(error);
  return text.split('\n', 1)[0];
}

function refuse(file: string, why: string): never {
  throw new Refusal(REFUSAL.invalid, `${file}: ${why}`, { file }, [{ path: '', message: why }]);
}
