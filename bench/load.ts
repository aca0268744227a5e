import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Processes } from './processes.ts';
import type { Scenario } from './scenarios.ts';
import { installed } from './subjects/subject.ts';

export interface LoadOrder {
  readonly url: string;
  readonly seconds: number;
  readonly scenario: Scenario;
}

export interface LoadResult {
  readonly requests: number;
  /** Answers other than 200, and connections that broke. */
  readonly failed: number;
  readonly seconds: number;
  /** Latencies in µs. */
  readonly p50: number;
  readonly p99: number;
}

/** Puts load on a subject from a process of its own, and tells what came of it. */
export type Load = (order: LoadOrder) => Promise<LoadResult>;

function lastLine(output: string): LoadResult {
  const line = output.trimEnd().split('\n').at(-1) ?? '';
  return JSON.parse(line) as LoadResult;
}

export function autocannonLoad(processes: Processes): Load {
  const script = fileURLToPath(new URL('servers/load.ts', import.meta.url));
  return async (order) => lastLine(await processes.output(process.execPath, [script, JSON.stringify(order)], (order.seconds + 20) * 1000));
}

function wrkScript({ scenario }: LoadOrder): string {
  const headers = { ...scenario.headers, ...(scenario.reconnect ? { connection: 'close' } : {}) };
  const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  return `wrk.method = "${scenario.method}"
${scenario.bodyBytes > 0 ? `wrk.body = string.rep("x", ${scenario.bodyBytes})` : ''}
${Object.entries(headers)
  .map(([name, value]) => `wrk.headers[${quoted(name)}] = ${quoted(value)}`)
  .join('\n')}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"failed":%d,"seconds":%f,"p50":%f,"p99":%f}\\n', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
`;
}

/** Null where wrk is not installed. */
export function wrkLoad(processes: Processes, dir: string): Load | null {
  const wrk = installed('wrk');
  if (wrk === null) return null;
  return async (order) => {
    const file = join(dir, `${order.scenario.name}.lua`);
    writeFileSync(file, wrkScript(order));
    const args = ['-t1', `-c${order.scenario.connections}`, `-d${order.seconds}s`, '--timeout', '10s', '-s', file, order.url + order.scenario.path];
    return lastLine(await processes.output(wrk, args, (order.seconds + 20) * 1000));
  };
}
