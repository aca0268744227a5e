import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Test } from 'tap';
import { ClientTableControl } from '../../src/ledger/clients-control.ts';
import { ClientTable, CONNECT } from '../../src/ledger/clients.ts';
import { eventually } from '../helpers/wait.ts';
import type { ClientReport, ClientTask } from './client-hammer.ts';

const THREADS = 4;
const CLIENTS = ['192.0.2.1', '192.0.2.2', '2001:db8::1'];
const RATE = { requests: 1000, per: 1000, burst: 50 };
const MOST = 7;
const START_NS = 5e7;
const RUN_NS = 1.2e9;

t.test('four threads give each client together what one would give, and no more', { timeout: 120_000 }, async (t) => {
  // On a busy machine all threads may sleep at the same time; a full bucket loses what comes meanwhile.
  let least = 0;
  for (let round = 0; round < 8 && least < 0.5; round++) least = await together(t);
  t.ok(least >= 0.5, `who got least has ${(least * 100).toFixed()} % of its tokens`);
});

/** Lets the threads run once. @returns the share of its tokens that the client with the fewest has got. */
async function together(t: Test): Promise<number> {
  const control = new ClientTableControl(64, THREADS, [1, 2]);
  const [ready, from] = [new SharedArrayBuffer(4), new SharedArrayBuffer(8)];
  const task = (thread: number): ClientTask => ({ buffer: control.buffer, thread, rate: RATE, clients: CLIENTS, ready, from, run: RUN_NS, most: MOST });
  const workers = Array.from({ length: THREADS }, (_, thread) => new Worker(new URL('./client-hammer.ts', import.meta.url), { workerData: task(thread) }));
  const answered = Promise.all(workers.map(async (worker) => once(worker, 'message')));
  await eventually('all threads are ready', () => Atomics.load(new Int32Array(ready), 0) === THREADS, 60_000);
  const start = Number(process.hrtime.bigint()) + START_NS;
  new Float64Array(from)[0] = start;
  const answers = await answered;
  const reports = answers.map(([report]) => report as ClientReport);
  const uncounted = reports.reduce((sum, one) => sum + one.uncounted, 0);
  const asked = reports.reduce((sum, one) => sum + one.asked, 0);
  const most = RATE.burst + (RATE.requests * RUN_NS) / (RATE.per * 1e6);
  t.ok(asked > 2 * most * CLIENTS.length, `${asked} asked`);
  t.ok(uncounted < asked / 100, `${uncounted} were not counted`);
  let least = 1;
  for (const [i, client] of CLIENTS.entries()) {
    const admitted = reports.reduce((sum, one) => sum + one.admitted[i], 0);
    t.ok(admitted <= most, `${client} got ${admitted} of ${most} tokens`);
    least = Math.min(least, admitted / most);
    const open = reports.reduce((sum, one) => sum + one.open[i], 0);
    t.ok(open <= MOST, `${client} has ${open} connections`);
    const table = new ClientTable(control.buffer, 0);
    for (let more = open; more < MOST; more++) t.ok(table.connect(client, MOST, start) >= 0);
    t.equal(table.connect(client, MOST, start), CONNECT.refused, 'the sum is what the threads say');
  }
  return least;
}
