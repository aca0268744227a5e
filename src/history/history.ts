import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LineLog } from '../disk/log.ts';
import { writeWhole } from '../disk/whole.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';

/** Who has decided: a call of the admin API, the file of the proxy, what it pulls, or the proxy itself at its start. */
export type Via = 'api' | 'file' | 'pull' | 'start';

const change = z.object({ path: z.string(), from: z.unknown().optional(), to: z.unknown().optional() });
const entry = z.object({
  /** Rises by one with each. A configuration's is its revision. */
  id: z.int(),
  at: z.string(),
  by: z.string(),
  via: z.enum(['api', 'file', 'pull', 'start']),
  kind: z.enum(['config', 'swap', 'deploy', 'split', 'hold', 'drain', 'certificates']),
  /** null = of none, or of several. */
  upstream: z.string().nullable(),
  summary: z.string(),
  changes: z.array(change),
  facts: z.record(z.string(), z.unknown()),
});

export type HistoryEntry = z.output<typeof entry>;

/** What a configuration consists of, by unit: the top level ('') and each upstream as it was written. Holds secrets. */
export type Documents = ReadonlyMap<string, unknown>;

const stored = z.object({ entry, units: z.record(z.string(), z.string()).optional() });
type Stored = z.output<typeof stored>;

const MOST_ENTRIES = 1_000;
/** Entries past it that are let grow before the oldest are dropped. */
const SLACK = 100;
const MOST_CHANGES = 500;

/**
 * Every change with who, when and what: appended, never rewritten, the last 1 000.
 *
 *     stateDir/history/
 *       log.jsonl       one change a line; secrets are masked in it
 *       <sha256>.json   an upstream, or the top level, as it was written, for bringing it back (0600: with its secrets)
 *       key             what masks are made with
 */
export class History {
  readonly key: Buffer;
  private readonly dir: string;
  private readonly log: LineLog;
  private entries: Stored[] = [];

  constructor(stateDir: string, warn: (message: string) => void) {
    this.dir = join(stateDir, 'history');
    const { log, values } = LineLog.open(join(this.dir, 'log.jsonl'), warn);
    this.log = log;
    for (const value of values) {
      const read = stored.safeParse(value);
      if (read.success) this.entries.push(read.data);
      else warn(`${this.dir}/log.jsonl: an entry is not understood and left out`);
    }
    this.key = this.readKey();
    // A kill between an append and the drop after it leaves one too many.
    this.bound();
  }

  private readKey(): Buffer {
    const path = join(this.dir, 'key');
    if (!existsSync(path)) writeWhole(path, randomBytes(32).toString('hex'));
    return Buffer.from(readFileSync(path, 'utf8').trim(), 'hex');
  }

  /** Of the last configuration; 0 = there is none. */
  get revision(): number {
    return this.lastConfig()?.id ?? 0;
  }

  lastConfig(): HistoryEntry | null {
    return this.entries.findLast((one) => one.entry.kind === 'config')?.entry ?? null;
  }

  /** The configuration before the last one; null = it is not remembered. */
  configBefore(): HistoryEntry | null {
    const configs = this.entries.filter((one) => one.entry.kind === 'config');
    return configs.at(-2)?.entry ?? null;
  }

  /**
   * Appends a change; on disk when this returns.
   * @param documents the configuration after it, for entries of kind `config`
   */
  record(what: Omit<HistoryEntry, 'id' | 'at' | 'facts'> & { readonly facts?: Record<string, unknown> }, documents?: Documents): HistoryEntry {
    const id = (this.entries.at(-1)?.entry.id ?? 0) + 1;
    const added: HistoryEntry = { id, at: new Date().toISOString(), ...what, facts: what.facts ?? {}, changes: what.changes.slice(0, MOST_CHANGES) };
    const units = documents === undefined ? undefined : Object.fromEntries([...documents].map(([unit, document]) => [unit, this.keep(document)]));
    const line: Stored = units === undefined ? { entry: added } : { entry: added, units };
    this.log.append(line);
    this.entries.push(line);
    this.bound();
    return added;
  }

  /** @returns its name. */
  private keep(document: unknown): string {
    const text = JSON.stringify(document);
    const name = createHash('sha256').update(text).digest('hex');
    const path = join(this.dir, `${name}.json`);
    if (!existsSync(path)) writeWhole(path, text);
    return name;
  }

  /** Drops the oldest once there are enough of them. */
  private bound(): void {
    if (this.entries.length <= MOST_ENTRIES + SLACK) return;
    this.entries = this.entries.slice(-MOST_ENTRIES);
    this.log.replace(this.entries);
    const needed = new Set(this.entries.flatMap(({ units = {} }) => Object.values(units)));
    for (const file of readdirSync(this.dir)) {
      // A draft is what a kill has left: nobody writes now.
      const [, name, draft] = /^([0-9a-f]{64})\.json(\.tmp)?$/.exec(file) ?? [];
      if (name !== undefined && (draft !== undefined || !needed.has(name))) rmSync(join(this.dir, file), { force: true });
    }
  }

  /** Newest first. */
  list({ upstream, limit, before }: { readonly upstream?: string; readonly limit: number; readonly before?: number }): HistoryEntry[] {
    const about = (one: HistoryEntry): boolean =>
      upstream === undefined ||
      one.upstream === upstream ||
      one.changes.some(({ path }) => path === `upstreams.${upstream}` || path.startsWith(`upstreams.${upstream}.`));
    return this.entries
      .map((one) => one.entry)
      .filter((one) => about(one) && (before === undefined || one.id < before))
      .slice(-limit)
      .toReversed();
  }

  get(id: number): HistoryEntry {
    return this.find(id).entry;
  }

  private find(id: number): Stored {
    const found = this.entries.find((one) => one.entry.id === id);
    if (found !== undefined) return found;
    const [first, last] = [this.entries.at(0)?.entry.id, this.entries.at(-1)?.entry.id];
    throw new Refusal(REFUSAL.notFound, `There is no change ${id}; ${first === undefined ? 'there is none yet' : `${first} to ${last} are remembered`}.`);
  }

  /** The configuration as it was after a change of it. */
  documents(id: number): Documents {
    const { units } = this.find(id);
    if (units === undefined) throw new Refusal(REFUSAL.notNow, `Change ${id} is not one of the configuration.`);
    return new Map(Object.entries(units).map(([unit, name]) => [unit, this.read(name, id)]));
  }

  private read(name: string, id: number): unknown {
    try {
      return JSON.parse(readFileSync(join(this.dir, `${name}.json`), 'utf8')) as unknown;
    } catch {
      throw new Refusal(REFUSAL.notNow, `The configuration of change ${id} cannot be read any more: ${name}.json in ${this.dir} is missing or damaged.`);
    }
  }

  /** The last change of a field, of what it is in, or of something in it. */
  lastChangeOf(path: string): HistoryEntry | null {
    const touches = (other: string): boolean => other === path || path.startsWith(`${other}.`) || path.startsWith(`${other}[`) || other.startsWith(`${path}.`);
    return this.entries.findLast((one) => one.entry.kind === 'config' && one.entry.changes.some((each) => touches(each.path)))?.entry ?? null;
  }

  /** Whether an entry has this fact. */
  has(fact: string, value: unknown): boolean {
    return this.entries.some((one) => one.entry.facts[fact] === value);
  }

  close(): void {
    this.log.close();
  }
}
