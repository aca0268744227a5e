import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { ClientTableControl } from '../../src/ledger/clients-control.ts';
import { ClientTable, CONNECT } from '../../src/ledger/clients.ts';
import type { ClientReport, ClientTask } from './client-hammer.ts';

const THREADS = 4;
const CLIENTS = ['192.0.2.1', '192.0.2.2', '2001:db8::1'];
const RATE = { requests: 1000, per: 1000, burst: 50 };
const MOST = 7;
const START_NS = 1.5e9;
const RUN_NS = 1.2e9;

t.test('four threads give each client together what one would give, and no more', { timeout: 60_000 }, async (t) => {
  const control = new ClientTableControl(64, THREADS, [1, 2]);
  const from = Number(process.hrtime.bigint()) + START_NS;
  const task = (thread: number): ClientTask => ({ buffer: control.buffer, thread, rate: RATE, clients: CLIENTS, from, until: from + RUN_NS, most: MOST });
  const workers = Array.from({ length: THREADS }, (_, thread) => new Worker(new URL('./client-hammer.ts', import.meta.url), { workerData: task(thread) }));
  const answers = await Promise.all(workers.map(async (worker) => once(worker, 'message')));
  const reports = answers.map(([report]) => report as ClientReport);
  const uncounted = reports.reduce((sum, one) => sum + one.uncounted, 0);
  const asked = reports.reduce((sum, one) => sum + one.asked, 0);
  const most = RATE.burst + (RATE.requests * RUN_NS) / (RATE.per * 1e6);
  t.ok(asked > 10 * most * CLIENTS.length, `${asked} asked`);
  t.ok(uncounted < asked / 100, `${uncounted} were not counted`);
  for (const [i, client] of CLIENTS.entries()) {
    const admitted = reports.reduce((sum, one) => sum + one.admitted[i], 0);
    t.ok(admitted <= most, `${client} got ${admitted} of ${most} tokens`);
    // On a busy machine all threads may sleep at the same time; a full bucket loses what comes meanwhile.
    t.ok(admitted >= most * 0.5, `${client} got ${admitted} of ${most} tokens`);
    const open = reports.reduce((sum, one) => sum + one.open[i], 0);
    t.ok(open <= MOST, `${client} has ${open} connections`);
    const table = new ClientTable(control.buffer, 0);
    for (let more = open; more < MOST; more++) t.ok(table.connect(client, MOST, from) >= 0);
    t.equal(table.connect(client, MOST, from), CONNECT.refused, 'the sum is what the threads say');
  }
});
