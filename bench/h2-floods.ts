/**
 * `npm run bench:floods [-- options]`: normal load over TLS beside hostile HTTP/2 clients, for each kind of flood: what it does to the
 * others' latencies, in rounds without and with it by turns; and what it costs by itself. Subject on core 0; load, backend and floods on core 1. `--help`
 * lists the options.
 */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FLOODS } from '../test/helpers/h2_floods.ts';
import { LATENCIES, allKnown, latenciesOf, latencyCells, measureBeside, subjectsOf } from './beside.ts';
import type { Beside, Trial } from './beside.ts';
import { newCertificate } from './certificate.ts';
import type { Pair } from './certificate.ts';
import { loadOf } from './load.ts';
import type { Load } from './load.ts';
import { sample, start } from './measure.ts';
import type { Running, Sample } from './measure.ts';
import { usage } from './processes.ts';
import type { Processes } from './processes.ts';
import { SCENARIOS } from './scenarios.ts';
import { number, tool } from './session.ts';
import type { Subject } from './subjects/subject.ts';

const NAMES = ['switchyard', 'nginx'];
const KINDS = [...Object.keys(FLOODS), 'slow readers'];
const FLOOD = fileURLToPath(new URL('servers/h2-flood.ts', import.meta.url));
const WARM_UP_SECONDS = 2;
const BEGIN_WITHIN_MS = 20_000;
/** Until it has said what it was: on a busy machine its low priority keeps it waiting. */
const END_WITHIN_MS = 30_000;
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
  allKnown('kind', values.kind, KINDS);
  return {
    connections: number('connections', values.connections, 1, 100, true),
    rate: number('rate', values.rate, 1, 100, true),
    rounds: number('rounds', values.rounds, 1, 9, true),
    seconds: number('seconds', values.seconds, 0.1, 10, false),
    kinds: values.kind,
    subjects: subjectsOf(values.subject, NAMES),
  };
}

/** Of one subject beside one kind of flood; latencies in µs, medians of the rounds. */
interface Figures extends Beside {
  readonly kind: string;
  readonly failed: number;
  readonly flooders: number;
  readonly megabytes: number;
  /** Time of the subject for each hostile client when there is no other load, in µs. */
  readonly cpu: number;
}

const NORMAL = { ...SCENARIOS.find(({ name }) => name === 'tls')!, connections: CONNECTIONS };

class FloodTrial implements Trial<Figures> {
  private readonly processes: Processes;
  private readonly dir: string;
  private readonly behind: Running;
  private readonly tls: Pair;
  private readonly load: Load;
  private readonly plan: Plan;

  constructor(processes: Processes, dir: string, behind: Running, tls: Pair, plan: Plan) {
    this.processes = processes;
    this.dir = dir;
    this.behind = behind;
    this.tls = tls;
    this.load = loadOf('autocannon', processes, dir);
    this.plan = plan;
  }

  private round(running: Running, seconds: number): Promise<Sample> {
    return sample(running, this.behind, NORMAL, this.load, seconds);
  }

  async of(subject: Subject, found: Figures[]): Promise<void> {
    const { dir, behind, tls } = this;
    const running = await start(this.processes, subject, { backendPort: behind.place.port, parent: dir, core: 'subject', path: '/small', tls });
    await this.round(running, WARM_UP_SECONDS);
    for (const kind of this.plan.kinds) found.push(await this.beside(running, kind));
    await this.processes.stop(running.child);
  }

  private async beside(running: Running, kind: string): Promise<Figures> {
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
      await this.processes.stop(flood, END_WITHIN_MS);
    }
    await over;
    const last = said.trim().split('\n').at(-1) ?? '';
    if (last === 'begun') throw new Error(`the flood has ended: ${complaint.slice(0, 500)}`);
    return JSON.parse(last) as { connections: number; bytes: number };
  }
}

function table(all: readonly Figures[]): string[][] {
  return [
    ['', 'flood', ...LATENCIES, 'failed', 'flooders', 'MB sent', 'CPU ms each'],
    ...all.map((one) => [
      one.subject,
      one.kind,
      ...latencyCells(one),
      String(one.failed),
      String(one.flooders),
      one.megabytes.toFixed(0),
      (one.cpu / 1000).toFixed(2),
    ]),
  ];
}

async function bench(plan: Plan, processes: Processes, dir: string): Promise<number> {
  const about = `${plan.connections} hostile clients at a time, ${plan.rate} new ones a second`;
  const tls = await newCertificate(dir);
  return measureBeside<Figures>({ about, subjects: plan.subjects, processes, dir }, (behind) => new FloodTrial(processes, dir, behind, tls, plan), table);
}

process.exitCode = await tool(planOf, HELP, bench);
