import fs from 'node:fs';
import { join } from 'node:path';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { messageOf } from '../errors/message.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import type { SwitchyardEvent } from './ports.ts';
import { readEntry, writeEntry } from './_entry.ts';
import { lockFolder } from './_lock.ts';
import type { Entry } from './_state-schema.ts';

/** The calls the journal makes to the disk; a test can stop at any of them. */
export type Disk = Pick<
  typeof fs,
  'mkdirSync' | 'readdirSync' | 'readFileSync' | 'openSync' | 'writeSync' | 'fsyncSync' | 'ftruncateSync' | 'closeSync' | 'renameSync' | 'rmSync'
>;

export interface JournalOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Size past which the journal is compacted. */
  readonly maxBytes?: number;
  readonly disk?: Disk;
  /** Told when a compaction has failed; the journal goes on growing then, and tries again. */
  readonly warn?: (message: string) => void;
}

const MAX_BYTES = 1 << 20;

/**
 * What was decided, on disk, so that a proxy that dies at any instant starts again from the last
 * recorded state of each upstream.
 *
 *     stateDir/
 *       lock                    the process that uses this folder
 *       journal.jsonl           one decision a line, appended and synced before it is acted on
 *       upstreams/<name>.json   the state when the journal was last begun anew; replayed first
 */
export class Journal {
  private readonly dir: string;
  private readonly disk: Disk;
  private readonly now: () => number;
  private readonly maxBytes: number;
  private readonly warn: (message: string) => void;
  private readonly unlock: () => void;
  private readonly latest = new Map<string, Entry>();
  private readonly removed = new Set<string>();
  private seq = 0;
  private file = -1;
  private size = 0;
  private compactAt: number;
  private broken = false;

  private constructor(dir: string, options: JournalOptions, unlock: () => void) {
    this.dir = dir;
    this.disk = options.disk ?? fs;
    this.now = options.now;
    this.maxBytes = options.maxBytes ?? MAX_BYTES;
    this.compactAt = this.maxBytes;
    this.warn = options.warn ?? (() => undefined);
    this.unlock = unlock;
  }

  /**
   * Opens the journal of a state folder, which is made when it is missing, and reads the last state of each upstream.
   * An incomplete last line (the process died while it was written, so it was never acted on) is cut off.
   * @throws Refusal when another process uses the folder, or a file is damaged; it names the file and the line.
   */
  static open(dir: string, options: JournalOptions): { journal: Journal; states: Map<string, UpstreamState> } {
    fs.mkdirSync(join(dir, 'upstreams'), { recursive: true });
    const unlock = lockFolder(dir);
    try {
      const journal = new Journal(dir, options, unlock);
      journal.load();
      const states = new Map<string, UpstreamState>();
      for (const [name, { state }] of journal.latest) if (state !== null) states.set(name, state);
      return { journal, states };
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /**
   * Appends a state, and what the world is told of it; on disk when this returns.
   * @returns the number of the entry, higher than those before
   * @throws when it cannot be written: then it is as if it had not been tried.
   */
  record(state: UpstreamState, why: string, events: readonly SwitchyardEvent[] = []): { seq: number; at: number } {
    const [seq, at] = [this.seq + 1, this.now()];
    this.append({ seq, at, why, upstream: state.name, state, ...(events.length === 0 ? {} : { events }) });
    return { seq, at };
  }

  /** Number of the last entry. */
  get last(): number {
    return this.seq;
  }

  /** The events of the last entry of each upstream: those of earlier ones have been told before the next was decided. */
  lastEvents(): { seq: number; at: number; events: readonly SwitchyardEvent[] }[] {
    return [...this.latest.values()].map(({ seq, at, events = [] }) => ({ seq, at, events })).toSorted((a, b) => a.seq - b.seq);
  }

  /** Forgets an upstream. */
  remove(upstream: string): void {
    if (this.latest.has(upstream)) this.append({ seq: this.seq + 1, at: this.now(), why: 'removed', upstream, state: null });
  }

  close(): void {
    if (this.file === -1) return;
    this.disk.closeSync(this.file);
    this.file = -1;
    this.unlock();
  }

  private append(entry: Entry): void {
    if (this.file === -1) throw new Refusal(REFUSAL.internal, 'The journal is closed.');
    if (this.broken) throw new Refusal(REFUSAL.internal, `The journal in ${this.dir} could not be repaired after a failed write.`);
    const bytes = Buffer.from(writeEntry(entry));
    try {
      this.write(this.file, bytes, this.size);
      this.disk.fsyncSync(this.file);
    } catch (error) {
      this.undo();
      throw error;
    }
    this.size += bytes.length;
    this.seq = entry.seq;
    this.remember(entry);
    if (this.size > this.compactAt) this.tryCompact();
  }

  private write(file: number, bytes: Buffer, at: number): void {
    for (let done = 0; done < bytes.length;) done += this.disk.writeSync(file, bytes, done, bytes.length - done, at + done);
  }

  /** Half a line in the middle would make all that follows unreadable. */
  private undo(): void {
    try {
      this.disk.ftruncateSync(this.file, this.size);
      this.disk.fsyncSync(this.file);
    } catch {
      this.broken = true;
    }
  }

  private remember(entry: Entry): void {
    if (entry.state === null) {
      this.latest.delete(entry.upstream);
      this.removed.add(entry.upstream);
    } else {
      this.latest.set(entry.upstream, entry);
      this.removed.delete(entry.upstream);
    }
  }

  private load(): void {
    const folder = join(this.dir, 'upstreams');
    for (const name of this.disk.readdirSync(folder)) {
      if (!name.endsWith('.json')) continue;
      const path = join(folder, name);
      const entry = readEntry(this.disk.readFileSync(path, 'utf8').trimEnd());
      if (typeof entry === 'string') throw damaged(path, 1, entry);
      this.remember(entry);
      this.seq = Math.max(this.seq, entry.seq);
    }
    this.replay();
  }

  private replay(): void {
    const path = join(this.dir, 'journal.jsonl');
    this.file = this.disk.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    const bytes = this.disk.readFileSync(path);
    for (let start = 0, line = 1; start < bytes.length; line++) {
      const newline = bytes.indexOf(10, start);
      const end = newline === -1 ? bytes.length : newline;
      const entry = newline === -1 ? 'it is incomplete' : readEntry(bytes.toString('utf8', start, end));
      if (typeof entry !== 'string') this.take(entry);
      else if (end + 1 >= bytes.length) break;
      else throw damaged(path, line, entry);
      start = end + 1;
      this.size = start;
    }
    if (this.size < bytes.length) this.disk.ftruncateSync(this.file, this.size);
    this.disk.fsyncSync(this.file);
    this.syncFolder(this.dir);
  }

  /** Lines older than the upstream's own file are left over from a compaction that was cut short. */
  private take(entry: Entry): void {
    if ((this.latest.get(entry.upstream)?.seq ?? -1) < entry.seq) this.remember(entry);
    this.seq = Math.max(this.seq, entry.seq);
  }

  private tryCompact(): void {
    try {
      this.compact();
      this.compactAt = this.maxBytes;
    } catch (error) {
      this.compactAt = this.size + this.maxBytes;
      this.warn(`The journal in ${this.dir} could not be compacted: ${messageOf(error)}.`);
    }
  }

  /** Until the last rename the old journal still holds everything, so it can be cut short anywhere. */
  private compact(): void {
    const folder = join(this.dir, 'upstreams');
    for (const entry of this.latest.values()) this.disk.closeSync(this.replaceFile(join(folder, fileOf(entry.upstream)), writeEntry(entry)));
    for (const upstream of this.removed) this.disk.rmSync(join(folder, fileOf(upstream)), { force: true });
    this.syncFolder(folder);
    const file = this.replaceFile(join(this.dir, 'journal.jsonl'), '');
    const old = this.file;
    this.file = file;
    this.size = 0;
    this.removed.clear();
    // What is appended from here on is in the new file: should its name not be on disk, it could be lost.
    this.broken = true;
    this.syncFolder(this.dir);
    this.broken = false;
    this.disk.closeSync(old);
  }

  /** @returns the open file, complete and on disk under its name (once the folder is synced). */
  private replaceFile(path: string, text: string): number {
    const draft = `${path}.tmp`;
    const file = this.disk.openSync(draft, fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_TRUNC, 0o600);
    try {
      this.write(file, Buffer.from(text), 0);
      this.disk.fsyncSync(file);
      this.disk.renameSync(draft, path);
      return file;
    } catch (error) {
      this.disk.closeSync(file);
      throw error;
    }
  }

  private syncFolder(path: string): void {
    const folder = this.disk.openSync(path, 'r');
    try {
      this.disk.fsyncSync(folder);
    } finally {
      this.disk.closeSync(folder);
    }
  }
}

function fileOf(upstream: string): string {
  return `${encodeURIComponent(upstream)}.json`;
}

function damaged(path: string, line: number, why: string): Refusal {
  return new Refusal(REFUSAL.internal, `${path}, line ${line}: ${why}. The file is damaged; restore it, or move it away to start without it.`, {
    file: path,
    line,
  });
}
