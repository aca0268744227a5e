/** The load, in a process of its own: takes a `LoadOrder` as JSON on each line, answers each with a line, a `LoadResult` or `{error}`. */
import { createInterface } from 'node:readline';
import autocannon from 'autocannon';
import type { LoadOrder } from '../load.ts';
import { Tally } from './tally.ts';
import { raw, tunnels } from './raw-load.ts';

/** autocannon notices the end of its time so often. */
const SAMPLE_MS = 50;

function cannon(order: LoadOrder, tally: Tally): Promise<void> {
  const { scenario, amount } = order;
  const options: autocannon.Options = {
    url: order.url + scenario.path,
    method: scenario.method,
    headers: { ...scenario.headers },
    body: scenario.bodyBytes > 0 ? Buffer.alloc(scenario.bodyBytes, 'x') : undefined,
    connections: scenario.connections,
    timeout: 10,
    sampleInt: SAMPLE_MS,
    ...(amount === undefined ? { duration: order.seconds } : { amount }),
  };
  return new Promise((resolve, reject) => {
    const run = autocannon(options, (error: Error | null, result: { errors: number }) => {
      tally.failed += result?.errors ?? 0;
      if (error === null) resolve();
      else reject(error);
    });
    run.on('response', (_client, status, _bytes, ms) => tally.add(status === 200, ms * 1000));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as LoadOrder;
  const tally = new Tally(order.trace);
  try {
    if (order.scenario.kind === 'tunnel') await tunnels(order, tally);
    else if (order.scenario.by === 'raw') await raw(order, tally);
    else await cannon(order, tally);
    console.log(JSON.stringify(tally.result()));
  } catch (error) {
    console.log(JSON.stringify({ error: (error as Error).message }));
  }
}
