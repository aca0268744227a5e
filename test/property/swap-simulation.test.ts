import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Outcome, Task } from '../swap/simulation.ts';

const RUNS = Number(process.env.SWAP_SIMULATION_RUNS ?? 10_000);
const FIRST_SEED = Number(process.env.SWAP_SIMULATION_SEED ?? 1);
const THREADS = RUNS < 2 ? 1 : 2;

/** What random lives have to come across: a simulation that never gets somewhere proves nothing about it. */
const PLACES = [
  'crash',
  'live',
  'released',
  'rejected',
  'aborted',
  'rolled-back',
  'drained',
  'paused',
  'resumed',
  'split',
  'killed',
  'swap-running',
  'nothing-kept',
  'stray',
  'judged',
  'gate',
];

async function simulateFrom(first: number, runs: number): Promise<Outcome> {
  const task: Task = { first, runs };
  const worker = new Worker(new URL('../swap/simulation.ts', import.meta.url), { workerData: task });
  const [outcome] = (await once(worker, 'message')) as [Outcome];
  await worker.terminate();
  return outcome;
}

t.test(`${RUNS} random lives of an upstream keep every promise`, { timeout: 120_000 }, async (t) => {
  const runs = Math.ceil(RUNS / THREADS);
  const outcomes = await Promise.all(Array.from({ length: THREADS }, (_, i) => simulateFrom(FIRST_SEED + i * runs, runs)));
  for (const { failure } of outcomes) t.equal(failure, null, failure ?? 'no promise was broken');
  if (RUNS < 1_000) return;
  for (const place of PLACES) {
    const times = outcomes.reduce((sum, { seen }) => sum + (seen.get(place) ?? 0), 0);
    t.ok(times >= 10, `${place} was come across ${times} times`);
  }
});
