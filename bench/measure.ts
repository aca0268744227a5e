import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Load } from './load.ts';
import { usage } from './processes.ts';
import type { Processes } from './processes.ts';
import type { Scenario } from './scenarios.ts';
import type { Subject } from './subjects/subject.ts';

const READY_WITHIN = 15_000;

/** One round of one subject in one scenario. */
export interface Sample {
  /** User and system time of the whole subject per request, in µs. */
  readonly cpuPerRequest: number;
  readonly requestsPerSecond: number;
  /** Latencies in µs, as the load saw them. */
  readonly p50: number;
  readonly p99: number;
  /** Resident bytes after the round. */
  readonly rss: number;
  readonly failed: number;
}

export interface Running {
  readonly subject: Subject;
  readonly port: number;
  readonly child: ChildProcess;
  /** What it has written to standard error, the last of it. */
  complaint(): string;
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Status and length of one answer; rejects when there is none within a second. */
export function ask(port: number, scenario: Scenario): Promise<{ status: number; bytes: number }> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port, path: scenario.path, method: scenario.method, headers: scenario.headers, agent: false, timeout: 1_000 },
      (response) => {
        let bytes = 0;
        response.on('data', (chunk: Buffer) => (bytes += chunk.length));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes }));
        response.on('error', reject);
      },
    );
    call.on('timeout', () => call.destroy(new Error('no answer within a second')));
    call.on('error', reject);
    call.end(scenario.bodyBytes > 0 ? Buffer.alloc(scenario.bodyBytes, 'x') : undefined);
  });
}

/** Starts a subject and waits until it answers one request of the scenario as the backend does. */
export async function start(
  processes: Processes,
  subject: Subject,
  backendPort: number,
  parent: string,
  core: 'subject' | 'load',
  probe: Scenario,
): Promise<Running> {
  if (subject.program === null) throw new Error('not installed');
  const dir = join(parent, subject.name.replaceAll(/\W+/g, '-'));
  mkdirSync(dir);
  const place = { dir, port: await freePort(), sparePort: await freePort(), backendPort };
  const child = processes.start(subject.program, subject.prepare(place), core);
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-2_000)));
  child.stdout?.resume();
  child.on('error', (error) => (complaint += error.message));
  const running: Running = { subject, port: place.port, child, complaint: () => complaint.trim() };
  const end = performance.now() + READY_WITHIN;
  let last = '';
  while (performance.now() < end && child.exitCode === null && child.signalCode === null) {
    const answer = await ask(place.port, probe).catch((error: unknown) => String(error));
    if (typeof answer !== 'string' && answer.status === 200) return running;
    last = typeof answer === 'string' ? answer : `status ${answer.status}`;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await processes.stop(child);
  const lines = running.complaint().split('\n');
  throw new Error(`did not get ready (${last}) ${lines.find((line) => line.includes('Error')) ?? lines.at(-1)}`);
}

/** Load on a running subject for some seconds, and what it cost. */
export async function sample(running: Running, scenario: Scenario, load: Load, seconds: number): Promise<Sample> {
  const pid = running.child.pid ?? 0;
  const before = usage(pid);
  const result = await load({ url: `http://127.0.0.1:${running.port}`, seconds, scenario });
  const after = usage(pid);
  if (result.requests === 0) throw new Error('no request was answered');
  return {
    cpuPerRequest: (after.cpu - before.cpu) / result.requests,
    requestsPerSecond: result.requests / result.seconds,
    p50: result.p50,
    p99: result.p99,
    rss: after.rss,
    failed: result.failed,
  };
}
