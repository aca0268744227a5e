import { readFileSync } from 'node:fs';
import { writeWhole } from '../disk/whole.ts';
import { join } from 'node:path';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';

/**
 * Upstreams that were declared or changed through the admin API, kept in the state folder so that a
 * restart knows them. The configuration file owns what it names: a restart or reload puts that in force again.
 */
export class Declared {
  private readonly file: string;
  private readonly specs: Map<string, unknown>;
  private readonly topFile: string;
  private topSpec: Readonly<Record<string, unknown>>;

  constructor(stateDir: string) {
    this.file = join(stateDir, 'declared.json');
    this.specs = read(this.file);
    this.topFile = join(stateDir, 'applied.json');
    this.topSpec = Object.fromEntries(read(this.topFile));
  }

  /** The top level as it was last applied through the API. */
  top(): Readonly<Record<string, unknown>> {
    return this.topSpec;
  }

  putTop(spec: Readonly<Record<string, unknown>>): void {
    writeWhole(this.topFile, JSON.stringify(spec));
    this.topSpec = spec;
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

  private write(): void {
    writeWhole(this.file, JSON.stringify(Object.fromEntries(this.specs)));
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
