/**
 * `npm run bench:syscalls`: how many system calls ours, nginx and haproxy make for one small request on a kept
 * connection, counted by strace over all their threads; with one client, and with 32 at once, whose events come in batches.
 */
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadOf } from './load.ts';
import type { Load } from './load.ts';
import { sample, start } from './measure.ts';
import type { Running } from './measure.ts';
import type { Processes } from './processes.ts';
import { aligned } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { number, tool } from './session.ts';
import { countsOf } from './strace.ts';
import { backend } from './subjects/backend.ts';
import { haproxy } from './subjects/haproxy.ts';
import { nginx } from './subjects/nginx.ts';
import { installed } from './subjects/subject.ts';
import { switchyard } from './subjects/switchyard.ts';

const HELP = `npm run bench:syscalls -- [options]
  --requests N       counted in each row, 100 to 1000000; default 10000
  --json FILE        writes the figures there too`;

interface Options {
  readonly requests: number;
  readonly json: string | null;
}

interface Calls {
  readonly subject: string;
  readonly connections: number;
  readonly perRequest: number;
  /** By name, for one request; the most frequent first. */
  readonly byName: Readonly<Record<string, number>>;
}

const CONNECTIONS = [1, 32];
const WARM_SECONDS = 1;
/** strace says on standard error which threads it has attached to; it has all of them soon after. */
const ATTACH_MS = 500;
const SHOWN = 6;

function optionsOf(args: string[]): Options | null {
  const { values } = parseArgs({
    args,
    options: { requests: { type: 'string', default: '10000' }, json: { type: 'string' }, help: { type: 'boolean', default: false } },
  });
  return values.help ? null : { requests: number('requests', values.requests, 100, 1_000_000, true), json: values.json ?? null };
}

async function count(processes: Processes, strace: string, dir: string, running: Running, load: Load, scenario: Scenario, requests: number): Promise<Calls> {
  const file = join(dir, `${running.subject.name}-${scenario.connections}.strace`);
  const tracer = processes.start(strace, ['-c', '-f', '-p', String(running.child.pid), '-o', file], 'subject');
  let complaint = '';
  tracer.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  await new Promise((resolve) => setTimeout(resolve, ATTACH_MS));
  if (tracer.exitCode !== null) throw new Error(`strace cannot attach: ${complaint.trim()}`);
  const order = { url: `http://127.0.0.1:${running.place.port}`, seconds: 60, scenario, trace: false, amount: requests };
  const result = await load.run(order);
  const gone = once(tracer, 'exit');
  tracer.kill('SIGINT');
  await gone;
  if (result.failed > 0 || result.requests !== requests) throw new Error(`${result.requests} of ${requests} requests were answered, ${result.failed} failed`);
  if (!existsSync(file)) throw new Error(`strace has counted nothing: ${complaint.trim()}`);
  const found = [...countsOf(readFileSync(file, 'utf8'))].sort(([, a], [, b]) => b - a);
  const perRequest = found.reduce((sum, [, calls]) => sum + calls, 0) / requests;
  const byName = Object.fromEntries(found.map(([name, calls]) => [name, calls / requests]));
  return { subject: running.subject.name, connections: scenario.connections, perRequest, byName };
}

function table(all: readonly Calls[]): string {
  const rows = all.map(({ subject, connections, perRequest, byName }) => {
    const most = Object.entries(byName).slice(0, SHOWN);
    const parts = most.filter(([, calls]) => calls >= 0.005).map(([name, calls]) => `${name} ${calls.toFixed(2)}`);
    return [`${subject}, ${connections} connection${connections === 1 ? '' : 's'}`, perRequest.toFixed(2), parts.join(', ')];
  });
  const widest = Math.max(...rows.map(([, , parts]) => parts.length));
  return aligned([['', 'calls/request', 'of them'.padEnd(widest)], ...rows.map(([name, calls, parts]) => [name, calls, parts.padEnd(widest)])]);
}

async function syscalls(options: Options, processes: Processes, dir: string): Promise<number> {
  const strace = installed('strace');
  if (strace === null) throw new Error('strace is not installed');
  const small = SCENARIOS[0];
  const load = loadOf('autocannon', processes, dir);
  const behind = await start(processes, backend, { backendPort: 0, parent: dir, core: 'load', path: small.path });
  const all: Calls[] = [];
  for (const subject of [switchyard, nginx, haproxy]) {
    if (subject.program === null) {
      console.log(`${subject.name}: not installed`);
      continue;
    }
    const running = await start(processes, subject, { backendPort: behind.place.port, parent: dir, core: 'subject', path: small.path });
    await sample(running, behind, small, load, WARM_SECONDS);
    for (const connections of CONNECTIONS) {
      all.push(await count(processes, strace, dir, running, load, { ...small, connections }, options.requests));
    }
    await processes.stop(running.child);
  }
  console.log(table(all));
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(all, null, 2)}\n`);
  return 0;
}

process.exitCode = await tool(optionsOf, HELP, syscalls);
