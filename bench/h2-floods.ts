/**
 * `npm run bench:floods [-- options]`: normal load over TLS beside hostile HTTP/2 clients, for each kind of flood: what it does to the
 * others' latencies, in rounds without and with it by turns; and what it costs by itself. Subject on core 0; load, backend and floods on core 1. `--help`
 * lists the options.
 */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FLOODS } from '../test/helpers/h2_floods.ts';
import { newCertificate } from './certificate.ts';
import { loadOf } from './load.ts';
import type { Load } from './load.ts';
import { machine } from './machine.ts';
import { sample, start } from './measure.ts';
import type { Running, Sample } from './measure.ts';
import { usage } from './processes.ts';
import type { Processes } from './processes.ts';
import { aligned, median } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import { number, tool } from './session.ts';
import { SUBJECTS } from './subjects/all.ts';
import { backend } from './subjects/backend.ts';
import type { Subject } from './subjects/subject.ts';

const NAMES = ['switchyard', 'nginx'];
const KINDS = [...Object.keys(FLOODS), 'slow readers'];
const FLOOD = fileURLToPath(new URL('servers/h2-flood.ts', import.meta.url));
const WARM_UP_SECONDS = 2;
const BEGIN_WITHIN_MS = 20_000;
/** Until the first of a flood have come. */
const SETTLE_MS = 500;
/** Of the normal load: so few that the subject is not at its limit. */
const CONNECTIONS = 8;

const HELP = `npm run bench:floods -- [options]
  --connections N  hostile clients at a time, 1 to 100; default 4
  --rate N         new ones a second at most, 1 to 100; default 20
  --rounds N       without and with each flood, 1 to 9; default 3
  --seconds N      length of a round, 0.1 to 10; default 1
  --kind NAME      only this flood; may be repeated: ${KINDS.join(', ')}
  --subject NAME   only this one; may be repeated: ${NAMES.join(', ')}`;

interface Plan {
  readonly connections: number;
  readonly rate: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly kinds: readonly string[];
  readonly subjects: readonly Subject[];
}

/** Null when help was asked for. Throws, in a line, when an option is wrong. */
function planOf(args: string[]): Plan | null {
  const { values } = parseArgs({
    args,
    options: {
      connections: { type: 'string', default: '4' },
      rate: { type: 'string', default: '20' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '1' },
      kind: { type: 'string', multiple: true, default: KINDS },
      subject: { type: 'string', multiple: true, default: NAMES },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  for (const [what, given, known] of [
    ['subject', values.subject, NAMES],
    ['kind', values.kind, KINDS],
  ] as const) {
    const unknown = given.find((name) => !known.includes(name));
    if (unknown !== undefined) throw new Error(`there is no ${what} ${unknown}`);
  }
  return {
    connections: number('connections', values.connections, 1, 100, true),
    rate: number('rate', values.rate, 1, 100, true),
    rounds: number('rounds', values.rounds, 1, 9, true),
    seconds: number('seconds', values.seconds, 0.1, 10, false),
    kinds: values.kind,
    subjects: SUBJECTS.filter(({ name, program }) => values.subject.includes(name) && program !== null),
  };
}

/** Of one subject beside one kind of flood; latencies in µs, medians of the rounds. */
interface Figures {
  readonly subject: string;
  readonly kind: string;
  readonly without: { readonly p50: number; readonly p99: number };
  readonly with: { readonly p50: number; readonly p99: number };
  readonly failed: number;
  readonly flooders: number;
  readonly megabytes: number;
  /** Time of the subject for each hostile client when there is no other load, in µs. */
  readonly cpu: number;
}

const NORMAL = { ...SCENARIOS.find(({ name }) => name === 'tls')!, connections: CONNECTIONS };
const latenciesOf = (rounds: readonly Sample[]): Figures['with'] => ({
  p50: median(rounds.map(({ p50 }) => p50)),
  p99: median(rounds.map(({ p99 }) => p99)),
});

class Trial {
  private readonly processes: Processes;
  private readonly behind: Running;
  private readonly load: Load;
  private readonly plan: Plan;

  constructor(processes: Processes, dir: string, behind: Running, plan: Plan) {
    this.processes = processes;
    this.behind = behind;
    this.load = loadOf('autocannon', processes, dir);
    this.plan = plan;
  }

  private round(running: Running, seconds: number): Promise<Sample> {
    return sample(running, this.behind, NORMAL, this.load, seconds);
  }

  async warmUp(running: Running): Promise<void> {
    await this.round(running, WARM_UP_SECONDS);
  }

  async beside(running: Running, kind: string): Promise<Figures> {
    const [without, beside]: Sample[][] = [[], []];
    let [flooders, sent] = [0, 0];
    for (let round = 0; round < this.plan.rounds; round++) {
      without.push(await this.round(running, this.plan.seconds));
      const flood = await this.flooded(running, kind, async () => void beside.push(await this.round(running, this.plan.seconds)));
      flooders += flood.connections;
      sent += flood.bytes;
    }
    const cpu = await this.costOf(running, kind);
    const failed = [...without, ...beside].reduce((sum, one) => sum + one.failed, 0);
    return { subject: running.subject.name, kind, without: latenciesOf(without), with: latenciesOf(beside), failed, flooders, megabytes: sent / 2 ** 20, cpu };
  }

  /** The flood by itself: latencies on a busy machine are noise, and this is not. */
  private async costOf(running: Running, kind: string): Promise<number> {
    const pid = running.child.pid ?? 0;
    const before = usage(pid).cpu;
    const { connections } = await this.flooded(running, kind, () => new Promise((resolve) => setTimeout(resolve, this.plan.seconds * 1000)));
    return (usage(pid).cpu - before) / Math.max(1, connections);
  }

  /** Does something while there is a flood. */
  private async flooded(running: Running, kind: string, work: () => Promise<void>): Promise<{ connections: number; bytes: number }> {
    const { connections, rate } = this.plan;
    const flood = this.processes.start(process.execPath, [FLOOD, String(running.place.port), kind, String(connections), String(rate)], 'load');
    let [said, complaint] = ['', ''];
    flood.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
    flood.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    const over = once(flood, 'close');
    try {
      const deadline = performance.now() + BEGIN_WITHIN_MS;
      while (said === '' && flood.exitCode === null && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
      if (said === '') throw new Error(`the flood has not begun: ${complaint.slice(0, 500)}`);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      await work();
    } finally {
      await this.processes.stop(flood);
    }
    await over;
    const last = said.trim().split('\n').at(-1) ?? '';
    if (last === 'begun') throw new Error(`the flood has ended: ${complaint.slice(0, 500)}`);
    return JSON.parse(last) as { connections: number; bytes: number };
  }
}

function table(all: readonly Figures[]): string {
  const ms = (micros: number): string => (micros / 1000).toFixed(2);
  return aligned([
    ['', 'flood', 'p50 ms', 'p99 ms', 'with: p50', 'p99', '× p99', 'failed', 'flooders', 'MB sent', 'CPU ms each'],
    ...all.map((one) => [
      one.subject,
      one.kind,
      ...[one.without.p50, one.without.p99, one.with.p50, one.with.p99].map(ms),
      (one.with.p99 / one.without.p99).toFixed(2),
      String(one.failed),
      String(one.flooders),
      one.megabytes.toFixed(0),
      ms(one.cpu),
    ]),
  ]);
}

async function bench(plan: Plan, processes: Processes, dir: string): Promise<number> {
  const { cpu, cores, kernel, node } = machine();
  console.log(`${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}: ${plan.connections} hostile clients at a time, ${plan.rate} new ones a second`);
  const behind = await start(processes, backend, { backendPort: 0, parent: dir, core: 'load', path: '/small' });
  const tls = await newCertificate(dir);
  const trial = new Trial(processes, dir, behind, plan);
  const all: Figures[] = [];
  let complete = true;
  for (const subject of plan.subjects) {
    try {
      const running = await start(processes, subject, { backendPort: behind.place.port, parent: dir, core: 'subject', path: '/small', tls });
      await trial.warmUp(running);
      for (const kind of plan.kinds) all.push(await trial.beside(running, kind));
      await processes.stop(running.child);
    } catch (error) {
      complete = false;
      console.log(`${subject.name}: ${(error as Error).message}`);
    }
  }
  if (all.length > 0) console.log(`\n${table(all)}`);
  return complete ? 0 : 1;
}

process.exitCode = await tool(planOf, HELP, bench);
