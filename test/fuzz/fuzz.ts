import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Found, Target } from './inputs.ts';
import type { Done, Order } from './messages.ts';

export interface FuzzOptions {
  readonly target: Target;
  readonly seed: number;
  readonly workers: number;
  /** Whichever comes first; Infinity = no limit. */
  readonly inputs: number;
  readonly seconds: number;
  readonly corpus?: readonly string[] | undefined;
}

export interface Report {
  readonly target: Target;
  readonly inputs: number;
  /** Messages, or answers, that the judge has read. */
  readonly judged: number;
  readonly seconds: number;
  /** In each worker, bytes after the first collections and after the last ones. */
  readonly heap: readonly (readonly [number, number])[];
  readonly problems: readonly Found[];
}

/** No input takes so long: it hangs. */
const HANG_MS = 60_000;
const LOOK_MS = 1_000;

/** Runs inputs 0, 1, 2, … of a seed, spread over worker threads, until one shows a problem or the budget is used up. */
export async function fuzz(options: FuzzOptions): Promise<Report> {
  const began = performance.now();
  const results = await Promise.all(Array.from({ length: options.workers }, (_, i) => runWorker(options, i)));
  const problems = results.flatMap(({ found }) => (found === null ? [] : [found]));
  for (const { heap } of results) {
    if (leaks(heap)) problems.push({ target: options.target, seed: options.seed, index: -1, problem: `the heap grows: ${heap.join(' ')}`, stack: '' });
  }
  return {
    target: options.target,
    inputs: results.reduce((sum, { inputs }) => sum + inputs, 0),
    judged: results.reduce((sum, { judged }) => sum + judged, 0),
    seconds: (performance.now() - began) / 1000,
    heap: results.filter(({ heap }) => heap.length > 0).map(({ heap }): [number, number] => [early(heap), late(heap)]),
    problems,
  };
}

async function runWorker({ target, seed, workers, inputs, seconds, corpus }: FuzzOptions, index: number): Promise<Done> {
  const progress = new SharedArrayBuffer(8);
  const order: Order = { target, seed, first: index, stride: workers, end: inputs, until: Date.now() + seconds * 1000, corpus, progress };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: order });
  const hung = new AbortController();
  const at = new Float64Array(progress);
  let [before, since] = [-1, Date.now()];
  const watch = setInterval(() => {
    if (at[0] !== before) [before, since] = [at[0], Date.now()];
    else if (Date.now() - since > HANG_MS) hung.abort();
  }, LOOK_MS);
  try {
    const [done] = (await once(worker, 'message', { signal: hung.signal })) as [Done];
    return done;
  } catch (error) {
    const problem = hung.signal.aborted ? `it has not come to an end in ${HANG_MS} ms` : String(error);
    return { inputs: 0, judged: 0, found: { target, seed, index: at[0], problem, stack: '' }, heap: [] };
  } finally {
    clearInterval(watch);
    await worker.terminate();
  }
}

/** Parts of the samples that are compared; the very first ones hold code that is still being compiled. */
const PART = 4;
const FLAT_BYTES = 6 * 2 ** 20;

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[list.length >> 1];
}

function early(heap: readonly number[]): number {
  const part = Math.ceil(heap.length / PART);
  return median(heap.slice(Math.min(part, heap.length - 1), part * 2 + 1));
}

function late(heap: readonly number[]): number {
  return median(heap.slice(-Math.ceil(heap.length / PART)));
}

/** Whether the heap in use has grown over a run, by its samples. */
export function leaks(heap: readonly number[]): boolean {
  return heap.length >= PART * 2 && late(heap) - early(heap) > FLAT_BYTES;
}

/** Writes a reproducer. @returns its path. */
export function writeReproducer(folder: string, found: Found): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${found.target}-${found.seed}-${found.index}.json`);
  writeFileSync(path, `${JSON.stringify(found, null, 2)}\n`);
  return path;
}
