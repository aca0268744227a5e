import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What the helpers need of a tap test: a place to hang the cleaning up on. */
export interface Teardown {
  teardown(run: () => unknown): void;
}

/** A fresh folder that is removed when the test ends. */
export async function tempDir(t: Teardown, name = 'switchyard'): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), `${name}-`));
  t.teardown(() => rm(dir, { recursive: true, force: true, maxRetries: 3 }));
  return dir;
}
