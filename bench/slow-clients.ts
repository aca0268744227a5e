/**
 * `npm run bench:slow [-- options]`: normal load beside thousands of clients that send their request heads a byte at a time.
 * What it does to the others' latencies, what each of them costs in memory, and when the proxy has got rid of them; and what a
 * client costs that is merely idle. Subject on core 0; load, backend and slow clients on core 1. `--help` lists the options.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LATENCIES, latenciesOf, latencyCells, measureBeside, subjectsOf } from './beside.ts';
import type { Beside, Latencies, Trial } from './beside.ts';
import { idle } from './idle.ts';
import { loadOf } from './load.ts';
import type { Load } from './load.ts';
import { sample, start } from './measure.ts';
import type { Running, Sample } from './measure.ts';
import { usage } from './processes.ts';
import type { Processes } from './processes.ts';
import { SCENARIOS } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { number, tool } from './session.ts';
import type { Subject } from './subjects/subject.ts';

const NAMES = ['switchyard', 'nginx', 'undici'];
const SLOW = fileURLToPath(new URL('servers/slow.ts', import.meta.url));
const ROUNDS = 3;
const WARM_UP_SECONDS = 2;
const OPEN_WITHIN_MS = 30_000;
const SETTLE_MS = 500;
/** For what is collected or given back once they are gone. */
const AFTERWARDS_MS = 3_000;

const HELP = `npm run bench:slow -- [options]
  --clients N     slow ones, and idle ones, 1 to 10000; default 10000
  --every MS      between two bytes of a slow client, 50 to 60000; default 5000
  --seconds N     length of each of the ${ROUNDS} rounds of load without and with them, 0.1 to 10; default 2
  --wait N        seconds to wait until the last of them is gone, 1 to 300; default 120
  --subject NAME  only this one; may be repeated: ${NAMES.join(', ')}`;

interface Plan {
  readonly clients: number;
  readonly every: number;
  readonly seconds: number;
  readonly wait: number;
  readonly subjects: readonly Subject[];
}

/** Null when help was asked for. Throws, in a line, when an option is wrong. */
function planOf(args: string[]): Plan | null {
  const { values } = parseArgs({
    args,
    options: {
      clients: { type: 'string', default: '10000' },
      every: { type: 'string', default: '5000' },
      seconds: { type: 'string', default: '2' },
      wait: { type: 'string', default: '120' },
      subject: { type: 'string', multiple: true, default: NAMES },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    clients: number('clients', values.clients, 1, 10_000, true),
    every: number('every', values.every, 50, 60_000, true),
    seconds: number('seconds', values.seconds, 0.1, 10, false),
    wait: number('wait', values.wait, 1, 300, true),
    subjects: subjectsOf(values.subject, NAMES),
  };
}

interface Gone {
  readonly seconds: number;
  readonly answered: number;
}

interface Figures extends Beside {
  readonly rss: { readonly before: number; readonly during: number; readonly after: number };
  readonly bytesPerSlow: number;
  readonly bytesPerIdle: number;
  /** Null = not all were gone in time. */
  readonly gone: Gone | null;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The next line that a process prints, or null when there is none in time. */
async function nextLine(lines: AsyncIterator<string>, ms: number): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  const line = await Promise.race([lines.next().then(({ value, done }) => (done === true ? null : value)), late]);
  clearTimeout(timer);
  return line;
}

class SlowTrial implements Trial<Figures> {
  private readonly processes: Processes;
  private readonly dir: string;
  private readonly behind: Running;
  private readonly load: Load;
  private readonly plan: Plan;
  private readonly normal: Scenario;

  constructor(processes: Processes, dir: string, behind: Running, plan: Plan) {
    this.processes = processes;
    this.dir = dir;
    this.behind = behind;
    this.load = loadOf('autocannon', processes, dir);
    this.plan = plan;
    this.normal = SCENARIOS.find(({ name }) => name === 'small')!;
  }

  async of(subject: Subject, found: Figures[]): Promise<void> {
    const running = await start(this.processes, subject, { backendPort: this.behind.place.port, parent: this.dir, core: 'subject', path: this.normal.path });
    try {
      found.push({ ...(await this.beside(running)), bytesPerIdle: await this.idle(subject) });
    } finally {
      await this.processes.stop(running.child);
    }
  }

  private async rounds(running: Running): Promise<Latencies> {
    const rounds: Sample[] = [];
    for (let round = 0; round < ROUNDS; round++) rounds.push(await sample(running, this.behind, this.normal, this.load, this.plan.seconds));
    const failed = rounds.reduce((sum, one) => sum + one.failed, 0);
    if (failed > 0) throw new Error(`${failed} requests of the normal load failed`);
    return latenciesOf(rounds);
  }

  private async beside(running: Running): Promise<Omit<Figures, 'bytesPerIdle'>> {
    const { clients, every, wait } = this.plan;
    const rss = (): number => usage(running.child.pid ?? 0).rss;
    await sample(running, this.behind, this.normal, this.load, WARM_UP_SECONDS);
    const without = await this.rounds(running);
    await pause(SETTLE_MS);
    const before = rss();
    const slow = this.processes.start(process.execPath, [SLOW, String(running.place.port), String(clients), String(every)], 'load');
    slow.stderr?.resume();
    const lines = createInterface({ input: slow.stdout! })[Symbol.asyncIterator]();
    try {
      const opened = JSON.parse((await nextLine(lines, OPEN_WITHIN_MS)) ?? '{"open":0}') as { open: number };
      if (opened.open !== clients) throw new Error(`only ${opened.open} of ${clients} slow clients were let in`);
      await pause(SETTLE_MS);
      const during = rss();
      const beside = await this.rounds(running);
      const line = await nextLine(lines, wait * 1000);
      if (line !== null) await pause(AFTERWARDS_MS);
      return {
        subject: running.subject.name,
        without,
        with: beside,
        rss: { before, during, after: rss() },
        bytesPerSlow: Math.max(0, during - before) / clients,
        gone: line === null ? null : (JSON.parse(line) as Gone),
      };
    } finally {
      const over = slow.exitCode !== null ? Promise.resolve() : once(slow, 'exit');
      slow.kill('SIGKILL');
      await over;
    }
  }

  private async idle(subject: Subject): Promise<number> {
    const scenario = { ...SCENARIOS.find(({ kind }) => kind === 'idle')!, connections: this.plan.clients };
    return (await idle(this.processes, subject, this.behind, this.dir, scenario, this.load, this.plan.seconds)).bytesPerConnection;
  }
}

function table(all: readonly Figures[]): string[][] {
  const mb = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  const kb = (bytes: number): string => (bytes / 1024).toFixed(1);
  return [
    ['', ...LATENCIES, 'RSS MB', 'with', 'after', 'KB/slow', 'KB/idle', 'gone after s', 'told why'],
    ...all.map((one) => [
      one.subject,
      ...latencyCells(one),
      ...[one.rss.before, one.rss.during, one.rss.after].map(mb),
      kb(one.bytesPerSlow),
      kb(one.bytesPerIdle),
      one.gone === null ? 'not in time' : one.gone.seconds.toFixed(1),
      one.gone === null ? '-' : String(one.gone.answered),
    ]),
  ];
}

function bench(plan: Plan, processes: Processes, dir: string): Promise<number> {
  const about = `${plan.clients} clients that send a byte each ${plan.every} ms`;
  return measureBeside<Figures>({ about, subjects: plan.subjects, processes, dir }, (behind) => new SlowTrial(processes, dir, behind, plan), table);
}

process.exitCode = await tool(planOf, HELP, bench);
