/** The load, in a process of its own: takes a `LoadOrder` as JSON on each line, answers each with the line `begun` when counting begins, and one that is a `LoadResult` or `{error}`. */
import { createInterface } from 'node:readline';
import autocannon from 'autocannon';
import type { LoadOrder } from '../load.ts';
import { Tally } from './tally.ts';
import { raw, tunnels } from './raw-load.ts';

/** autocannon notices that it is to stop so often. */
const SAMPLE_MS = 20;
/** Its connections are open and answered by then, or it has failed. */
const OPEN_SECONDS = 10;

function cannon(order: LoadOrder, begun: () => void): Promise<Tally> {
  const { scenario, amount } = order;
  const options: autocannon.Options = {
    url: order.url + scenario.path,
    method: scenario.method,
    headers: { ...scenario.headers },
    body: scenario.bodyBytes > 0 ? Buffer.alloc(scenario.bodyBytes, 'x') : undefined,
    connections: scenario.connections,
    timeout: 10,
    sampleInt: SAMPLE_MS,
    ...(amount === undefined ? { duration: order.seconds + OPEN_SECONDS } : { amount }),
  };
  return new Promise((resolve, reject) => {
    const run = autocannon(options, (error: Error | null, result: { errors: number }) => {
      tally.failed += result?.errors ?? 0;
      if (error === null) resolve(tally);
      else reject(error);
    });
    const tally = new Tally(order.trace, amount === undefined ? scenario.connections : 0, () => {
      begun();
      if (amount === undefined) setTimeout(() => run.stop?.(), order.seconds * 1000);
    });
    run.on('response', (_client, status, _bytes, ms) => tally.add(status === 200, ms * 1000));
  });
}

async function loaded(order: LoadOrder, begun: () => void): Promise<Tally> {
  const { kind, by, reconnect, connections } = order.scenario;
  if (kind !== 'tunnel' && by === 'any') return cannon(order, begun);
  const tally = new Tally(order.trace, reconnect || order.amount !== undefined ? 0 : connections, begun);
  await (kind === 'tunnel' ? tunnels(order, tally) : raw(order, tally));
  return tally;
}

async function obey(order: LoadOrder): Promise<void> {
  const begun = (): void => console.log('begun');
  console.log(JSON.stringify((await loaded(order, begun)).result()));
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    await obey(JSON.parse(line) as LoadOrder);
  } catch (error) {
    console.log(JSON.stringify({ error: (error as Error).message }));
  }
}
