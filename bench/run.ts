/**
 * `npm run bench [-- options]`: what a request costs in each proxy that is installed here. Every subject runs in one
 * process on core 0, the load and the backend on core 1; the rounds of the subjects take turns, so that a noisy minute
 * hits all of them. The figure to compare is the CPU time per request: unlike requests/s it does not depend on how
 * fast the load is. `--help` lists the options.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { autocannonLoad, wrkLoad } from './load.ts';
import type { Load } from './load.ts';
import { ask, sample, start } from './measure.ts';
import type { Running, Sample } from './measure.ts';
import { Processes } from './processes.ts';
import { rowsOf, table } from './report.ts';
import type { Absent, Row } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { SUBJECTS } from './subjects/all.ts';
import { backend } from './subjects/backend.ts';

const HELP = `npm run bench -- [options]
  --quick            2 rounds of 1 s instead of 5 of 3 s; under two minutes
  --rounds N         rounds of each subject in each scenario, 1 to 50
  --seconds N        length of a round, 1 to 60
  --scenario NAME    only this one; may be repeated: ${SCENARIOS.map(({ name }) => name).join(', ')}
  --subject NAME     only this one; may be repeated: ${SUBJECTS.map(({ name }) => name).join(', ')}
  --load wrk         wrk instead of autocannon
  --json FILE        writes the figures there too`;

interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly scenarios: readonly Scenario[];
  readonly subjects: typeof SUBJECTS;
  readonly wrk: boolean;
  readonly json: string | null;
}

function chosen<T extends { readonly name: string }>(what: string, all: readonly T[], names: readonly string[] | undefined): readonly T[] {
  const unknown = names?.find((name) => !all.some((one) => one.name === name));
  if (unknown !== undefined) throw new Error(`there is no ${what} ${unknown}`);
  return names === undefined ? all : all.filter(({ name }) => names.includes(name));
}

function whole(name: string, text: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`--${name} takes a whole number from 1 to ${most}`);
  return value;
}

/** Null when help was asked for. */
function planOf(args: string[]): Plan | null {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      scenario: { type: 'string', multiple: true },
      subject: { type: 'string', multiple: true },
      load: { type: 'string', default: 'autocannon' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  if (values.load !== 'wrk' && values.load !== 'autocannon') throw new Error('--load takes autocannon or wrk');
  return {
    rounds: whole('rounds', values.rounds ?? (values.quick ? '2' : '5'), 50),
    seconds: whole('seconds', values.seconds ?? (values.quick ? '1' : '3'), 60),
    warmUp: values.quick ? 1 : 2,
    scenarios: chosen('scenario', SCENARIOS, values.scenario),
    subjects: chosen('subject', SUBJECTS, values.subject),
    wrk: values.load === 'wrk',
    json: values.json ?? null,
  };
}

/** Warm-up of each subject, then the rounds in turns. A subject that fails drops out of this scenario. */
async function measure(scenario: Scenario, running: readonly Running[], load: Load, plan: Plan): Promise<{ rows: Row[]; absent: Absent[] }> {
  const samples = new Map<string, Sample[]>();
  const absent: Absent[] = [];
  for (let round = 0; round <= plan.rounds; round++) {
    for (const one of running) {
      const subject = one.subject.name;
      if (absent.some((other) => other.subject === subject)) continue;
      try {
        if (round === 0) {
          const answer = await ask(one.port, scenario);
          if (answer.status !== 200 || answer.bytes !== scenario.answerBytes) throw new Error(`answered ${answer.status} with ${answer.bytes} bytes`);
          await sample(one, scenario, load, plan.warmUp);
        } else samples.set(subject, [...(samples.get(subject) ?? []), await sample(one, scenario, load, plan.seconds)]);
      } catch (error) {
        samples.delete(subject);
        absent.push({ scenario: scenario.name, subject, error: `${(error as Error).message} ${one.complaint().slice(-200)}`.trim() });
      }
    }
  }
  return { rows: rowsOf(scenario, samples), absent };
}

async function bench(plan: Plan, processes: Processes, dir: string): Promise<boolean> {
  const load = plan.wrk ? wrkLoad(processes, dir) : autocannonLoad(processes);
  if (load === null) throw new Error('wrk is not installed');
  const setUp = {
    at: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
    load: plan.wrk ? 'wrk' : 'autocannon',
    backend: backend.name,
    pinned: processes.pinned,
    rounds: plan.rounds,
    seconds: plan.seconds,
  };
  console.log(`${setUp.cpu}, ${setUp.cores} cores, Node ${setUp.node}, load ${setUp.load}, ${setUp.backend}, ${plan.rounds} rounds of ${plan.seconds} s`);
  if (!processes.pinned) console.log('taskset is not installed: nothing is pinned to a core, so expect more noise');

  const behind = await start(processes, backend, 0, dir, 'load', plan.scenarios[0]);
  const running: Running[] = [];
  const missing: Omit<Absent, 'scenario'>[] = [];
  for (const subject of plan.subjects) {
    try {
      running.push(await start(processes, subject, behind.port, dir, 'subject', plan.scenarios[0]));
    } catch (error) {
      missing.push({ subject: subject.name, error: (error as Error).message });
    }
  }
  const all: { rows: Row[]; absent: Absent[] } = { rows: [], absent: [] };
  for (const scenario of plan.scenarios) {
    const { rows, absent } = await measure(scenario, running, load, plan);
    for (const { subject, error } of missing) absent.push({ scenario: scenario.name, subject, error });
    console.log(`\n${table(scenario, rows, absent)}`);
    all.rows.push(...rows);
    all.absent.push(...absent);
  }
  if (plan.json !== null) writeFileSync(plan.json, `${JSON.stringify({ setUp, ...all }, null, 2)}\n`);
  return all.absent.every(({ error }) => error === 'not installed');
}

async function main(): Promise<number> {
  let plan: Plan | null;
  try {
    plan = planOf(process.argv.slice(2));
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
  if (plan === null) {
    console.log(HELP);
    return 0;
  }
  const processes = new Processes();
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-bench-'));
  const cleanUp = async (): Promise<void> => {
    await processes.stopAll();
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  try {
    mkdirSync(dir, { recursive: true });
    return (await bench(plan, processes, dir)) ? 0 : 1;
  } catch (error) {
    console.error(error);
    return 1;
  } finally {
    await cleanUp();
  }
}

process.exitCode = await main();
