/**
 * `npm run bench:members [-- options]`: what hundreds of queue workers cost the proxy that they report to, and whether the requests beside
 * them notice. Swaps go on all the while; in the end all members vanish at once and come back. `--help` lists the options.
 */
import { once } from 'node:events';
import { readFileSync, watch } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadOf } from './load.ts';
import type { Load } from './load.ts';
import { machine } from './machine.ts';
import { sample, start } from './measure.ts';
import type { Running } from './measure.ts';
import type { Processes } from './processes.ts';
import { aligned, median } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import { number, tool } from './session.ts';
import { backend } from './subjects/backend.ts';
import { switchyardWith } from './subjects/switchyard.ts';

const CROWD = fileURLToPath(new URL('servers/members.ts', import.meta.url));
const PROBE_EVERY_MS = 20;
const WITHIN_MS = 120_000;
const LOAD = { ...SCENARIOS.find(({ name }) => name === 'small')!, connections: 16 };

const HELP = `npm run bench:members -- [options]
  --members N     1 to 1000, of two versions together; default 500
  --share N       of them that use the client, 0 to 1; default 0.5
  --seconds N     of each measurement, 0.2 to 60; default 10
  --swaps N       0 to 100; default 6
  --ttl MS        1000 to 60000; default 15000`;

interface Plan {
  readonly members: number;
  readonly share: number;
  readonly seconds: number;
  readonly swaps: number;
  readonly ttl: number;
}

/** Null when help was asked for. Throws, in a line, when an option is wrong. */
function planOf(args: string[]): Plan | null {
  const text = (value: string) => ({ type: 'string', default: value }) as const;
  const options = { members: text('500'), share: text('0.5'), seconds: text('10'), swaps: text('6'), ttl: text('15000') };
  const { values } = parseArgs({ args, options: { ...options, help: { type: 'boolean', default: false } } });
  if (values.help) return null;
  return {
    members: number('members', values.members, 2, 1_000, true),
    share: number('share', values.share, 0, 1, false),
    seconds: number('seconds', values.seconds, 0.2, 60, false),
    swaps: number('swaps', values.swaps, 0, 100, true),
    ttl: number('ttl', values.ttl, 1_000, 60_000, true),
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One more member, outside of the crowd: it reports all the time, and how long its answers take is how long anybody's do. */
class Probe {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  private readonly port: number;
  private readonly over = new AbortController();
  private took: number[] = [];
  private failed = 0;
  private readonly loop: Promise<void>;

  constructor(port: number) {
    this.port = port;
    this.loop = this.run();
  }

  private async run(): Promise<void> {
    while (!this.over.signal.aborted) {
      const began = performance.now();
      if ((await this.report()) === 200) this.took.push(performance.now() - began);
      else this.failed++;
      await pause(PROBE_EVERY_MS);
    }
  }

  private report(): Promise<number> {
    return new Promise((resolve) => {
      const asked = request({ port: this.port, host: '127.0.0.1', method: 'PUT', path: '/v1/upstreams/jobs/members/probe', agent: this.agent }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
      });
      asked.on('error', () => resolve(0));
      asked.end(JSON.stringify({ version: 'none', instance: 'probe', leases: 0 }));
    });
  }

  /** What it has seen since it was asked last, in ms. */
  take(): { readonly p50: number; readonly p99: number; readonly longest: number; readonly failed: number } {
    const took = this.took.toSorted((a, b) => a - b);
    const at = (share: number): number => took.at(Math.min(took.length - 1, Math.floor(took.length * share))) ?? NaN;
    const seen = { p50: at(0.5), p99: at(0.99), longest: at(1), failed: this.failed };
    [this.took, this.failed] = [[], 0];
    return seen;
  }

  async end(): Promise<void> {
    this.over.abort();
    await this.loop;
    this.agent.destroy();
  }
}

interface Figures {
  readonly phase: string;
  readonly seconds: number;
  /** Of the requests, in µs; NaN where none were sent. */
  readonly p50: number;
  readonly p99: number;
  readonly report: ReturnType<Probe['take']>;
  /** Share of a core that the control thread took, 0–1. */
  readonly cpu: number;
  /** Bytes. */
  readonly rss: number;
  /** How often who the members are was written to disk. */
  readonly saves: number;
}

class Trial {
  private readonly plan: Plan;
  private readonly running: Running;
  private readonly behind: Running;
  private readonly load: Load;
  private readonly probe: Probe;
  private saves = 0;
  readonly figures: Figures[] = [];
  version = 1;

  constructor(plan: Plan, running: Running, behind: Running, load: Load) {
    this.plan = plan;
    this.running = running;
    this.behind = behind;
    this.load = load;
    this.probe = new Probe(running.place.sparePort);
    watch(join(running.place.dir, 'state', 'members'), (kind, name) => {
      if (kind === 'rename' && name === 'jobs.json') this.saves++;
    }).unref();
  }

  /** Does something, with what it costs. */
  async during(phase: string, work: () => Promise<{ p50: number; p99: number } | void>): Promise<void> {
    this.probe.take();
    this.saves = 0;
    const began = performance.now();
    const before = this.controlCpu();
    const { p50, p99 } = (await work()) ?? { p50: NaN, p99: NaN };
    const ms = performance.now() - began;
    const rss = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    this.figures.push({ phase, seconds: ms / 1000, p50, p99, report: this.probe.take(), cpu: (this.controlCpu() - before) / ms, rss, saves: this.saves });
  }

  /** Requests beside whatever goes on. */
  async requests(): Promise<{ p50: number; p99: number }> {
    const { p50, p99, failed } = await sample(this.running, this.behind, LOAD, this.load, this.plan.seconds);
    if (failed > 0) throw new Error(`${failed} requests have failed`);
    return { p50, p99 };
  }

  /** The control thread is the first of the process; in ms. */
  private controlCpu(): number {
    return Number(readFileSync(`/proc/${this.pid}/task/${this.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  }

  private get pid(): number {
    return this.running.child.pid ?? 0;
  }

  async ask(path: string, body?: unknown): Promise<{ status: number; text: string }> {
    const answer = await fetch(`http://127.0.0.1:${this.running.place.sparePort}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(WITHIN_MS),
    });
    return { status: answer.status, text: await answer.text() };
  }

  /** To the next version, until the one before is released. @returns how long that took, in ms. */
  async swap(): Promise<number> {
    const [from, to] = [`v${this.version}`, `v${this.version + 1}`];
    const began = performance.now();
    const { status, text } = await this.ask('/v1/upstreams/jobs/swap', { to, members: Math.floor(this.plan.members / 2), admission: { timeout: '60s' } });
    if (status !== 202) throw new Error(`the swap was refused: ${text}`);
    const waited = await this.ask(`/v1/upstreams/jobs/versions/${from}?wait=released&timeout=60s`);
    if (waited.status !== 200) throw new Error(`${from} was not released: ${waited.text.slice(0, 500)}`);
    this.version++;
    return performance.now() - began;
  }

  async members(): Promise<{ name: string; state: string }[]> {
    return JSON.parse((await this.ask('/v1/upstreams/jobs/members')).text) as { name: string; state: string }[];
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    for (const end = performance.now() + WITHIN_MS; performance.now() < end; await pause(200)) if (await holds()) return;
    throw new Error(`not within ${WITHIN_MS / 1000} s: ${what}`);
  }

  end(): Promise<void> {
    return this.probe.end();
  }
}

function table(all: readonly Figures[]): string {
  const ms = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(2));
  return aligned([
    ['', 'seconds', 'request p50 ms', 'p99', 'report p50 ms', 'p99', 'longest', 'refused', 'control CPU', 'RSS MB', 'saves'],
    ...all.map(({ phase, seconds, p50, p99, report, cpu, rss, saves }) => [
      phase,
      seconds.toFixed(1),
      ...[p50 / 1000, p99 / 1000, report.p50, report.p99, report.longest].map(ms),
      String(report.failed),
      `${(cpu * 100).toFixed(1)} %`,
      (rss / 2 ** 20).toFixed(0),
      String(saves),
    ]),
  ]);
}

async function bench(plan: Plan, processes: Processes, dir: string): Promise<number> {
  const { cpu, cores, kernel, node } = machine();
  console.log(
    `${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}: ${plan.members} members, ${plan.share * 100} % of them with the client, ttl ${plan.ttl} ms`,
  );
  const size = Math.floor(plan.members / 2);
  const behind = await start(processes, backend, { backendPort: 0, parent: dir, core: 'load', path: '/small' });
  const jobs = { kind: 'worker', worker: { ttl: plan.ttl, maxMembers: 2 * plan.members + 10 }, versions: { v1: { members: size } } };
  const subject = switchyardWith({ name: 'switchyard', bothCores: true, beside: { jobs } });
  const running = await start(processes, subject, { backendPort: behind.place.port, parent: dir, core: 'both', path: '/small' });
  const load = loadOf('autocannon', processes, dir);
  const trial = new Trial(plan, running, behind, load);
  await trial.requests();
  await trial.during('no members', () => trial.requests());
  // It has what the load leaves of its core: what the proxy does is measured, not what they do.
  const crowd = processes.start('nice', ['-n', '19', process.execPath, CROWD, String(running.place.sparePort), String(size), String(plan.share)], 'load');
  crowd.stderr?.pipe(process.stderr);
  await trial.during('all join at once', async () => void (await once(crowd.stdout!, 'data', { signal: AbortSignal.timeout(WITHIN_MS) })));
  await trial.during('they report', () => trial.requests());
  const took: number[] = [];
  await trial.during('and are swapped', async () => {
    const swaps = (async () => {
      for (let i = 0; i < plan.swaps; i++) took.push(await trial.swap());
    })();
    const found = await trial.requests();
    await swaps;
    return found;
  });
  crowd.kill('SIGSTOP');
  await trial.during('all vanish', () => trial.until('they are presumed dead', async () => (await trial.members()).length <= 1));
  crowd.kill('SIGCONT');
  await trial.during('and come back', () => trial.until('they are back', async () => (await trial.members()).length > 2 * size));
  await trial.during('they report again', () => trial.requests());
  const series = (await trial.ask('/metrics')).text.split('\n').filter((line) => line.includes('upstream="jobs"')).length;
  const bytes = Buffer.byteLength((await trial.ask('/v1/upstreams/jobs')).text);
  await trial.end();
  console.log(`\n${table(trial.figures)}`);
  if (took.length > 0)
    console.log(`\n${took.length} swaps, each from its start to the release: median ${median(took).toFixed(0)} ms, longest ${Math.max(...took).toFixed(0)} ms`);
  console.log(`${series} series of metrics for the workers; GET of the upstream: ${(bytes / 1024).toFixed(0)} KiB`);
  crowd.kill('SIGKILL');
  return 0;
}

process.exitCode = await tool(planOf, HELP, bench);
