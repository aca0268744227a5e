/** The load, in a process of its own. Argument: a `LoadOrder` as JSON; the last line of the output is a `LoadResult`. */
import { connect } from 'node:net';
import { createHistogram } from 'node:perf_hooks';
import autocannon from 'autocannon';
import type { LoadOrder, LoadResult } from '../load.ts';

const { url, seconds, scenario } = JSON.parse(process.argv[2]) as LoadOrder;
const latency = createHistogram();
const began = performance.now();
let requests = 0;
let failed = 0;
let lastAt = began;

function answered(status: number, ms: number): void {
  requests++;
  if (status !== 200) failed++;
  lastAt = performance.now();
  latency.record(Math.max(1, Math.round(ms * 1000)));
}

function kept(): Promise<void> {
  const options: autocannon.Options = {
    url: url + scenario.path,
    method: scenario.method,
    headers: { ...scenario.headers },
    body: scenario.bodyBytes > 0 ? Buffer.alloc(scenario.bodyBytes, 'x') : undefined,
    connections: scenario.connections,
    duration: seconds,
    timeout: 10,
  };
  return new Promise((resolve, reject) => {
    const run = autocannon(options, (error: Error | null, result: { errors: number }) => {
      failed += result?.errors ?? 0;
      if (error === null) resolve();
      else reject(error);
    });
    run.on('response', (_client, status, _bytes, ms) => answered(status, ms));
  });
}

/** One request on a connection of its own, to the end of the connection; the status, 0 when it broke. */
function once(port: number, head: string): Promise<number> {
  return new Promise((resolve) => {
    let status = 0;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('data', (chunk: Buffer) => {
      if (status === 0) status = Number(chunk.subarray(9, 12).toString('latin1'));
    });
    socket.on('error', () => (status = 0));
    socket.on('close', () => resolve(status));
    socket.setTimeout(10_000, () => socket.destroy());
    socket.write(head);
  });
}

/** Not by autocannon: it does not count the answer after which it connects anew. */
async function unkept(): Promise<void> {
  const { port, host } = new URL(url);
  const fields = Object.entries({ host, ...scenario.headers, connection: 'close' });
  const head = `${scenario.method} ${scenario.path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  const client = async (): Promise<void> => {
    while (performance.now() - began < seconds * 1000) {
      const at = performance.now();
      answered(await once(Number(port), head), performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: scenario.connections }, client));
}

await (scenario.reconnect ? unkept() : kept());
// The time up to the last answer: autocannon's own end is rounded up to its next sample.
const result: LoadResult = { requests, failed, seconds: (lastAt - began) / 1000, p50: latency.percentile(50), p99: latency.percentile(99) };
console.log(JSON.stringify(result));
