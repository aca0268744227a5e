import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Processes } from './processes.ts';

/** A number among the options. Throws, in a line, when it is not one or out of bounds. */
export function number(name: string, text: string, least: number, most: number, whole: boolean): number {
  const value = Number(text);
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value)))
    throw new Error(`--${name} takes a ${whole ? 'whole ' : ''}number from ${least} to ${most}`);
  return value;
}

/** A tool's life: its options (null = help was asked for), then its work. @returns its exit code, 2 for options that are wrong. */
export async function tool<T>(
  optionsOf: (args: string[]) => T | null,
  help: string,
  run: (options: T, processes: Processes, dir: string) => Promise<number>,
): Promise<number> {
  let options: T | null;
  try {
    options = optionsOf(process.argv.slice(2));
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
  if (options === null) {
    console.log(help);
    return 0;
  }
  const given = options;
  return session((processes, dir) => run(given, processes, dir));
}

/** Runs a tool of the bench with processes and a folder that are gone afterwards, also when it is interrupted. @returns its exit code, 1 when it threw. */
async function session(run: (processes: Processes, dir: string) => Promise<number>): Promise<number> {
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
