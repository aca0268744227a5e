import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Processes } from './processes.ts';

/** Runs a tool of the bench with processes and a folder that are gone afterwards, also when it is interrupted. @returns its exit code, 1 when it threw. */
export async function session(run: (processes: Processes, dir: string) => Promise<number>): Promise<number> {
  const processes = new Processes();
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-bench-'));
  const cleanUp = async (): Promise<void> => {
    await processes.stopAll();
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  try {
    return await run(processes, dir);
  } catch (error) {
    console.error(error);
    return 1;
  } finally {
    await cleanUp();
  }
}
