/** A thread that asks the client table for tokens and connections, as fast as it can, for a while. */
import { parentPort, workerData } from 'node:worker_threads';
import { ClientTable, CONNECT, UNCOUNTED } from '../../src/ledger/clients.ts';
import type { Rate } from '../../src/ledger/clients.ts';

export interface ClientTask {
  readonly buffer: SharedArrayBuffer;
  readonly thread: number;
  readonly rate: Rate;
  readonly clients: readonly string[];
  /** Counts the threads that are ready, in one 32-bit number. */
  readonly ready: SharedArrayBuffer;
  /** Nanoseconds of the machine's clock at which they begin, in one float; 0 = not yet known. */
  readonly from: SharedArrayBuffer;
  /** For how many nanoseconds they go on. */
  readonly run: number;
  /** Connections a client may have. */
  readonly most: number;
}

export interface ClientReport {
  /** Tokens that each client got. */
  readonly admitted: number[];
  readonly uncounted: number;
  readonly asked: number;
  /** Connections that were open at the end, by client. */
  readonly open: number[];
}

function clock(): number {
  return Number(process.hrtime.bigint());
}

function hammer({ buffer, thread, rate, clients, ready, from, run, most }: ClientTask): ClientReport {
  const table = new ClientTable(buffer, thread);
  const admitted = clients.map(() => 0);
  const rows: number[][] = clients.map(() => []);
  let [uncounted, asked] = [0, 0];
  Atomics.add(new Int32Array(ready), 0, 1);
  const begin = new Float64Array(from);
  while (begin[0] === 0 || clock() < begin[0]);
  const until = begin[0] + run;
  for (let now = clock(); now < until; now = clock()) {
    const i = asked++ % clients.length;
    const got = table.take(clients[i], 0, rate, now);
    if (got === 0) admitted[i]++;
    else if (got === UNCOUNTED) uncounted++;
    const row = table.connect(clients[i], most, now);
    if (row >= 0) rows[i].push(row);
    else if (row === CONNECT.uncounted) uncounted++;
    else for (const one of rows[i].splice(0, 3)) table.disconnect(one);
  }
  return { admitted, uncounted, asked, open: rows.map((all) => all.length) };
}

parentPort?.postMessage(hammer(workerData as ClientTask));
