import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';

/**
 * Upstreams that were declared or changed through the admin API, kept in the state folder so that a
 * restart knows them. The configuration file owns what it names: a restart or reload puts that in force again.
 */
export class Declared {
  private readonly file: string;
  private readonly specs: Map<string, unknown>;

  constructor(stateDir: string) {
    this.file = join(stateDir, 'declared.json');
    this.specs = read(this.file);
  }

  entries(): [string, unknown][] {
    return [...this.specs];
  }

  has(name: string): boolean {
    return this.specs.has(name);
  }

  put(name: string, spec: unknown): void {
    this.specs.set(name, spec);
    this.write();
  }

  remove(name: string): void {
    if (this.specs.delete(name)) this.write();
  }

  /** Written whole beside the old file, then put in its place: at any instant one of the two is there. */
  private write(): void {
    const folder = dirname(this.file);
    mkdirSync(folder, { recursive: true });
    const temporary = `${this.file}.new`;
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, JSON.stringify(Object.fromEntries(this.specs)));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.file);
    const handle = openSync(folder, 'r');
    try {
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  }
}

function read(file: string): Map<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw error;
  }
  try {
    return new Map(Object.entries(JSON.parse(text) as Record<string, unknown>));
  } catch {
    throw new Refusal(REFUSAL.invalid, `${file} is damaged: it is not valid JSON.`);
  }
}
