import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Outcome, Task } from '../members/simulation.ts';

const RUNS = Number(process.env.MEMBERS_SIMULATION_RUNS ?? 500);
const FIRST_SEED = Number(process.env.MEMBERS_SIMULATION_SEED ?? 1);

/** What random lives have to come across: a simulation that never gets somewhere proves nothing about it. */
const PLACES = ['job', 'crash', 'killed', 'member-expired', 'run', 'quiesce', 'stop', 'live', 'drained', 'receipt', 'rolled-back'];

t.test(
  `${RUNS} random lives of workers: none begins a job once its version has acknowledged that it has no work, and drained is drained`,
  { timeout: 120_000 },
  async (t) => {
    const task: Task = { first: FIRST_SEED, runs: RUNS };
    const worker = new Worker(new URL('../members/simulation.ts', import.meta.url), { workerData: task });
    const [{ failure, seen }] = (await once(worker, 'message')) as [Outcome];
    await worker.terminate();
    t.equal(failure, null, failure ?? 'no promise was broken');
    if (RUNS < 400) return;
    for (const place of PLACES) t.ok((seen.get(place) ?? 0) >= 10, `${place} was come across ${seen.get(place) ?? 0} times`);
  },
);
