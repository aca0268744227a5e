import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';

const QUIET_MS = 250;
const MOST_WAIT_MS = 2_000;

/**
 * Watches what is in a set of files. Their folders are watched, with those that links lead to, because what renews a certificate
 * replaces files, links, or the folder behind a link; and each `pollMs` it is looked all the same, for file systems that tell nothing.
 */
export class FileWatch {
  private readonly changed: () => void;
  private readonly timer: NodeJS.Timeout;
  private readonly watchers = new Map<string, FSWatcher>();
  private files: readonly string[] = [];
  private digest = '';
  private soon: NodeJS.Timeout | null = null;
  private since = 0;
  private looking: Promise<void> = Promise.resolve();
  private closed = false;

  /** @param changed called when the content of any of the files is another one, 250 ms after the last event (2 s after the first at the latest). */
  constructor(changed: () => void, pollMs: number) {
    this.changed = changed;
    this.timer = setInterval(() => this.look(), pollMs);
    this.timer.unref();
  }

  /** Watches these files from now on (absolute names), as they are now. */
  set(files: readonly string[]): Promise<void> {
    this.looking = this.looking.then(async () => {
      this.files = files;
      await this.follow();
      this.digest = await digestOf(files);
    });
    return this.looking;
  }

  private look(): void {
    this.soon = null;
    this.looking = this.looking.then(async () => {
      if (this.closed || this.files.length === 0) return;
      await this.follow();
      const now = await digestOf(this.files);
      if (this.closed || now === this.digest) return;
      this.digest = now;
      this.changed();
    });
  }

  private touched(): void {
    if (this.closed) return;
    const now = performance.now();
    if (this.soon === null) this.since = now;
    else clearTimeout(this.soon);
    this.soon = setTimeout(() => this.look(), Math.min(QUIET_MS, Math.max(0, this.since + MOST_WAIT_MS - now)));
  }

  /** Watches the folders in which the files, and what they are links to, are now. One that cannot be watched is looked at by the clock. */
  private async follow(): Promise<void> {
    const folders = new Set<string>();
    for (const file of this.files) {
      folders.add(dirname(file));
      folders.add(dirname(await realpath(file).catch(() => file)));
    }
    for (const [folder, watcher] of this.watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.watchers.delete(folder);
    }
    for (const folder of folders) if (!this.watchers.has(folder) && !this.closed) this.watch(folder);
  }

  private watch(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.touched());
      const drop = (): void => {
        watcher.close();
        if (this.watchers.get(folder) === watcher) this.watchers.delete(folder);
      };
      watcher.on('error', drop);
      this.watchers.set(folder, watcher);
    } catch {
      // It is not there now, or may not be watched: the clock sees what comes.
    }
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    if (this.soon !== null) clearTimeout(this.soon);
    for (const watcher of this.watchers.values()) watcher.close();
  }
}

async function digestOf(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = await readFile(file).catch((error: NodeJS.ErrnoException) => error.code ?? 'unreadable');
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}
