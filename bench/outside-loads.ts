/** Load by programs that are installed here: wrk, h2load, ab, and `openssl s_time`. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadOrder, LoadResult } from './load.ts';
import type { Processes } from './processes.ts';
import { NOT_INSTALLED, installed } from './subjects/subject.ts';

type Run = (order: LoadOrder, onBegun?: () => void) => Promise<LoadResult & { readonly cpu: number }>;

/** Past the time that a load was to take. */
const GRACE_MS = 20_000;

function fieldsOf({ scenario }: LoadOrder): [string, string][] {
  return Object.entries({ ...scenario.headers, ...(scenario.reconnect ? { connection: 'close' } : {}) });
}

function wrkScript(order: LoadOrder): string {
  const { scenario } = order;
  const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  return `wrk.method = "${scenario.method}"
${scenario.bodyBytes > 0 ? `wrk.body = string.rep("x", ${scenario.bodyBytes})` : ''}
${fieldsOf(order)
  .map(([name, value]) => `wrk.headers[${quoted(name)}] = ${quoted(value)}`)
  .join('\n')}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"failed":%d,"seconds":%f,"p50":%f,"p99":%f,"p999":%f,"trace":[]}\\n', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`;
}

/** All but autocannon count whole seconds. */
function wholeSeconds(seconds: number): number {
  return Math.max(1, Math.round(seconds));
}

function program(name: string): string {
  const found = installed(name);
  if (found === null) throw new Error(`${name} is ${NOT_INSTALLED}`);
  return found;
}

function wrkLoad(processes: Processes, dir: string): Run {
  return async (order, onBegun) => {
    onBegun?.();
    const file = join(dir, `${order.scenario.name}.lua`);
    writeFileSync(file, wrkScript(order));
    const seconds = wholeSeconds(order.seconds);
    const args = ['-t1', `-c${order.scenario.connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', file, order.url + order.scenario.path];
    const { texts, cpu } = await processes.output(program('wrk'), [args], seconds * 1000 + GRACE_MS);
    return { ...(JSON.parse(texts[0].trimEnd().split('\n').at(-1) ?? '') as LoadResult), cpu };
  };
}

/** A line of h2load's log: start in µs since the epoch, status, latency in µs. */
function fromLog(text: string): LoadResult {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t').map(Number));
  const latencies = Float64Array.from(lines, ([, , taken]) => taken).sort();
  const at = (share: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  let [first, last, failed] = [Infinity, 0, 0];
  for (const [start, status, taken] of lines) {
    first = Math.min(first, start);
    last = Math.max(last, start + taken);
    if (status !== 200) failed++;
  }
  return { requests: lines.length, failed, seconds: (last - first) / 1e6, p50: at(0.5), p99: at(0.99), p999: at(0.999), trace: [] };
}

function h2loadLoad(processes: Processes, dir: string): Run {
  return async (order, onBegun) => {
    onBegun?.();
    const { scenario } = order;
    const log = join(dir, 'h2load.log');
    const seconds = wholeSeconds(order.seconds);
    rmSync(log, { force: true });
    const args = [
      ...(scenario.speaks === 'h2' ? [] : ['--h1']),
      '-t1',
      `-c${scenario.connections}`,
      `-m${scenario.streams}`,
      `-D${seconds}`,
      `--log-file=${log}`,
    ];
    for (const [name, value] of fieldsOf(order)) args.push('-H', `${name}: ${value}`);
    if (scenario.bodyBytes > 0) {
      const body = join(dir, `${scenario.bodyBytes}.body`);
      writeFileSync(body, 'x'.repeat(scenario.bodyBytes));
      args.push('-d', body);
    }
    const { cpu } = await processes.output(program('h2load'), [[...args, order.url + scenario.path]], seconds * 1000 + GRACE_MS);
    return { ...fromLog(readFileSync(log, 'utf8')), cpu };
  };
}

/** The number behind a name in what ab prints. */
function told(text: string, name: string): number {
  return Number(new RegExp(`^${name}: +([\\d.]+)`, 'm').exec(text)?.[1] ?? 0);
}

/** More than it makes in any time that can be asked for. */
const AB_MOST = 1_000_000;

/** ab makes a connection for each request, and with TLS a session. A line of its list: percent, milliseconds. */
function abLoad(processes: Processes, dir: string): Run {
  return async (order, onBegun) => {
    onBegun?.();
    const { scenario, url } = order;
    const list = join(dir, 'ab.csv');
    const seconds = wholeSeconds(order.seconds);
    const amount = ['-t', String(seconds), '-n', String(AB_MOST), '-c', String(scenario.connections)];
    const args = ['-q', '-f', 'TLS1.3', ...amount, '-e', list, url + scenario.path];
    const { texts, cpu } = await processes.output(program('ab'), [args], seconds * 1000 + GRACE_MS);
    const [text] = texts;
    const lines = readFileSync(list, 'utf8').split('\n');
    const at = (percent: number): number => Number(lines.find((line) => line.startsWith(`${percent},`))?.split(',')[1]) * 1000;
    const failed = told(text, 'Failed requests') + told(text, 'Non-2xx responses') + (told(text, 'Document Length') === scenario.answerBytes ? 0 : 1);
    const requests = told(text, 'Complete requests');
    return { requests, failed, seconds: told(text, 'Time taken for tests'), p50: at(50), p99: at(99), p999: NaN, trace: [], cpu };
  };
}

/** Of all that one process of s_time has printed: `r` for each connection whose session was resumed, `*` for each other, and what it has read of each. */
export function fromSTime(text: string, answerBytes: number): { requests: number; failed: number } {
  const marks = text.split('\n').find((line) => /^[r*]+$/.test(line.trim())) ?? '';
  const resumed = marks.split('r').length - 1;
  const bytes = Number(/(\d+) bytes read per connection/.exec(text)?.[1] ?? 0);
  const requests = marks.trim().length;
  return { requests, failed: bytes > answerBytes ? requests - resumed : requests };
}

/** Each process makes one connection after another: as many processes as connections. Each makes a session first, and then takes it up again. */
function sTimeLoad(processes: Processes): Run {
  return async (order, onBegun) => {
    onBegun?.();
    const { scenario } = order;
    const seconds = wholeSeconds(order.seconds);
    const trusting = ['-no-CAfile', '-no-CApath', '-no-CAstore'];
    const args = ['s_time', '-connect', new URL(order.url).host, '-reuse', '-tls1_3', '-time', String(seconds), '-www', scenario.path, ...trusting];
    const each = Array.from({ length: scenario.connections }, () => args);
    const began = performance.now();
    const { texts, cpu } = await processes.output(program('openssl'), each, seconds * 1000 + GRACE_MS);
    const took = (performance.now() - began) / 1000;
    const all = texts.map((text) => fromSTime(text, scenario.answerBytes));
    const sum = (figure: 'requests' | 'failed'): number => all.reduce((total, one) => total + one[figure], 0);
    return { requests: sum('requests'), failed: sum('failed'), seconds: took, p50: NaN, p99: NaN, p999: NaN, trace: [], cpu };
  };
}

/** By name. Each throws where its program is not installed. */
export function outsideLoads(processes: Processes, dir: string): Readonly<Record<'wrk' | 'h2load' | 'ab' | 's_time', Run>> {
  return { wrk: wrkLoad(processes, dir), h2load: h2loadLoad(processes, dir), ab: abLoad(processes, dir), s_time: sTimeLoad(processes) };
}
