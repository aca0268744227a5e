import { readdir, readFile } from 'node:fs/promises';
import { eventually } from './wait.ts';

async function stands(pid: number): Promise<boolean> {
  const threads = `/proc/${pid}/task`;
  // A thread that ends meanwhile is no longer in the list of the next look.
  const states = await Promise.all((await readdir(threads)).map((id) => readFile(`${threads}/${id}/status`, 'latin1').catch(() => 'gone')));
  return states.every((status) => /^State:\s+[TZ]/m.test(status));
}

/**
 * Runs `run` while the process stands still (SIGSTOP). Each of its threads does: one that is on its way out of a wait may still be
 * told of the first thing that `run` does, and would find the rest apart from it.
 */
export async function whileStopped(pid: number, run: () => unknown): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  try {
    await eventually('it to stand still', () => stands(pid));
    await run();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}
