/** autocannon in a process of its own. Argument: a `LoadOrder` as JSON; the last line of the output is a `LoadResult`. */
import { createHistogram } from 'node:perf_hooks';
import autocannon from 'autocannon';
import type { LoadOrder, LoadResult } from '../load.ts';

const { url, seconds, scenario } = JSON.parse(process.argv[2]) as LoadOrder;
const latency = createHistogram();
let requests = 0;
let bad = 0;
let lastAt = 0;
const began = performance.now();

function finish(error: unknown, result: { errors: number }): void {
  if (error) throw error;
  // Not the time of this call, which autocannon rounds up to its next sample.
  const taken = (lastAt - began) / 1000;
  const answer: LoadResult = { requests, failed: bad + result.errors, seconds: taken, p50: latency.percentile(50), p99: latency.percentile(99) };
  console.log(JSON.stringify(answer));
}

const options: autocannon.Options = {
  url: url + scenario.path,
  method: scenario.method,
  headers: { ...scenario.headers },
  body: scenario.bodyBytes > 0 ? Buffer.alloc(scenario.bodyBytes, 'x') : undefined,
  connections: scenario.connections,
  duration: seconds,
  timeout: 10,
  ...(scenario.reconnect ? { reconnectRate: 1 } : {}),
};
const run = autocannon(options, finish);
run.on('response', (_client, status, _bytes, ms) => {
  requests++;
  if (status !== 200) bad++;
  lastAt = performance.now();
  latency.record(Math.max(1, Math.round(ms * 1000)));
});
