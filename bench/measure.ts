import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { ask } from './ask.ts';
import type { Pair } from './certificate.ts';
import type { Load } from './load.ts';
import { usage } from './processes.ts';
import type { Core, Processes } from './processes.ts';
import type { Scenario } from './scenarios.ts';
import { NOT_INSTALLED } from './subjects/subject.ts';
import type { Place, Spans, Subject } from './subjects/subject.ts';

const READY_WITHIN = 15_000;

/** One round of one subject in one scenario. */
export interface Sample {
  /** User and system time of the whole subject per request, in µs. */
  readonly cpuPerRequest: number;
  readonly requestsPerSecond: number;
  /** Latencies in µs, as the load saw them. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Resident bytes after the round. */
  readonly rss: number;
  /** Share of its core that load and backend took: near 1, they and not the subject set the pace. */
  readonly loadCore: number;
  /** The 99th percentile in µs of the answers while something happened to the subject (a swap, a scrape); null where nothing did. */
  readonly p99Disturbed: number | null;
  readonly failed: number;
}

export interface Running {
  readonly subject: Subject;
  readonly place: Place;
  readonly child: ChildProcess;
  /** What it has written to standard error, the last of it. */
  complaint(): string;
}

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

let started = 0;

/** How a subject is started. */
export interface StartOrder {
  readonly backendPort: number;
  /** Where its own folder is made. */
  readonly parent: string;
  readonly core: Core;
  /** It is there when it answers a GET of this with 200. */
  readonly path: string;
  /** The certificate it shows; null = it speaks without TLS. */
  readonly tls?: Pair | null;
  /** It speaks HTTP/2 without TLS to its backend. */
  readonly h2c?: boolean;
}

/** Starts a subject and waits until it answers. */
export async function start(processes: Processes, subject: Subject, order: StartOrder): Promise<Running> {
  if (subject.program === null) throw new Error(NOT_INSTALLED);
  const { backendPort, parent, path, tls = null, h2c = false } = order;
  const dir = join(parent, `${++started}-${subject.name.replaceAll(/\W+/g, '-')}`);
  mkdirSync(dir);
  const place = { dir, port: await freePort(), sparePort: await freePort(), backendPort, tls, h2c };
  const core = subject.bothCores === true ? 'both' : order.core;
  const child = processes.start(subject.program, subject.prepare(place), core, { into: join(dir, 'output') });
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-2_000)));
  child.on('error', (error) => (complaint += error.message));
  const running: Running = { subject, place, child, complaint: () => complaint.trim() };
  const end = performance.now() + READY_WITHIN;
  let last = '';
  const asked = { path, method: 'GET', headers: {}, bodyBytes: 0, chunked: false, speaks: tls === null ? 'http' : 'tls' } as const;
  while (performance.now() < end && child.exitCode === null && child.signalCode === null) {
    const answer = await ask(place.port, asked).catch((error: unknown) => String(error));
    if (typeof answer !== 'string' && answer.status === 200) return running;
    last = typeof answer === 'string' ? answer : `status ${answer.status}`;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await processes.stop(child);
  const lines = running.complaint().split('\n');
  throw new Error(`did not get ready (${last}) ${lines.find((line) => line.includes('Error')) ?? lines.at(-1)}`);
}

/** It is over for the clients when what was under way then has been answered. */
const AFTER_MS = 20;

/** The 99th percentile of the latencies of answers that ended in one of the spans; null when there were too few to have one. */
export function p99Within(trace: readonly number[], spans: Spans): number | null {
  const found: number[] = [];
  for (let i = 0; i < trace.length; i += 2) {
    if (spans.some(([from, to]) => trace[i] >= from && trace[i] <= to + AFTER_MS)) found.push(trace[i + 1]);
  }
  if (found.length < 100) return null;
  return found.sort((a, b) => a - b)[Math.floor(found.length * 0.99)];
}

/** On a busy machine nothing may be answered in a short time: then it is tried for longer, once. */
const LONGER = 5;

/** Load on a running subject for some seconds, and what it cost. */
export async function sample(running: Running, backend: Running, scenario: Scenario, load: Load, seconds: number): Promise<Sample> {
  const taken = (await sampleOnce(running, backend, scenario, load, seconds)) ?? (await sampleOnce(running, backend, scenario, load, seconds * LONGER));
  if (taken === null) throw new Error('no request was answered');
  return taken;
}

/** Null when no request was answered. */
async function sampleOnce(running: Running, backend: Running, scenario: Scenario, load: Load, seconds: number): Promise<Sample | null> {
  const pid = running.child.pid ?? 0;
  const backendPid = backend.child.pid ?? 0;
  const disturbance = running.subject.disturb?.(running.place);
  const scheme = running.place.tls === null ? 'http' : 'https';
  const order = { url: `${scheme}://127.0.0.1:${running.place.port}`, seconds, scenario, trace: disturbance !== undefined };
  let [before, backendBefore, began] = [0, 0, 0];
  const begun = (): void => {
    before = usage(pid).cpu;
    backendBefore = usage(backendPid).cpu;
    began = performance.now();
  };
  const result = await load.run(order, begun).catch(async (error: unknown) => {
    await disturbance?.end().catch(() => undefined);
    throw error;
  });
  const micros = (performance.now() - began) * 1000;
  const after = usage(pid);
  const backendCpu = usage(backendPid).cpu - backendBefore;
  const spans = (await disturbance?.end()) ?? [];
  if (result.requests === 0) return null;
  return {
    cpuPerRequest: (after.cpu - before) / result.requests,
    requestsPerSecond: result.requests / result.seconds,
    p50: result.p50,
    p99: result.p99,
    p999: result.p999,
    rss: after.rss,
    loadCore: (result.cpu + backendCpu) / micros,
    p99Disturbed: p99Within(result.trace, spans),
    failed: result.failed,
  };
}
