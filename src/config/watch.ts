import { watch } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';

const QUIET = 150;
const MOST_WAIT = 1000;

export interface ConfigWatch {
  close(): void;
}

/**
 * Calls `changed` when the content of the file is another one, 150 ms after the last write (1 s after the first at the latest).
 * The folder is watched, because editors and deploy tools replace files; a file that is gone for a moment is waited for.
 * @param failed is told when the folder cannot be watched any more
 */
export async function watchConfig(path: string, changed: () => void, failed: (error: Error) => void): Promise<ConfigWatch> {
  const file = resolve(path);
  let content = await contentOf(file);
  // A link (as Kubernetes makes) changes by what happens to other names of the folder.
  const linked = (await realpath(file).catch(() => file)) !== file;
  let timer: NodeJS.Timeout | null = null;
  let since = 0;
  let closed = false;

  async function look(): Promise<void> {
    timer = null;
    const now = await contentOf(file);
    if (closed || now === null || now === content) return;
    content = now;
    changed();
  }

  function touched(name: string | null): void {
    if (closed || (name !== null && name !== basename(file) && !linked)) return;
    const now = performance.now();
    if (timer === null) since = now;
    else clearTimeout(timer);
    timer = setTimeout(() => look().catch(failed), Math.min(QUIET, Math.max(0, since + MOST_WAIT - now)));
  }

  const watcher = watch(dirname(file), { persistent: false }, (_, name) => touched(name));
  watcher.on('error', failed);
  return {
    close(): void {
      closed = true;
      watcher.close();
      if (timer !== null) clearTimeout(timer);
    },
  };
}

/** null while there is no such file. */
async function contentOf(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
