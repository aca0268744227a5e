/**
 * `npm run bench:guard`: whether a request has become dearer. Ours is measured against the bare relay and http-proxy
 * in one interleaved run; the ratios of CPU per request are compared with those in baseline.json. Ratios travel
 * between runs of one machine, and less well between machines: `--write` renews the baseline.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadOf } from './load.ts';
import { machine } from './machine.ts';
import type { Machine } from './machine.ts';
import type { Sample } from './measure.ts';
import type { Processes } from './processes.ts';
import { aligned, median } from './report.ts';
import { Stage, measure } from './rounds.ts';
import { SCENARIOS } from './scenarios.ts';
import { number, tool } from './session.ts';
import { httpProxy, relay } from './subjects/all.ts';
import { switchyard } from './subjects/switchyard.ts';

const HELP = `npm run bench:guard -- [options]
  --write            writes the baseline anew instead of comparing with it
  --baseline FILE    another file than bench/baseline.json
  --attempts N       a ratio fails only when it was too high in so many measurements, 1 to 9; default 3
  --rounds N         rounds of each subject, 1 to 50; default 5
  --seconds N        length of a round, 0.1 to 60; default 0.25`;

/** A ratio may be worse than the baseline's by so much. */
const TOLERANCE = 0.15;
/** The baseline is the median of so many. */
const WRITTEN = 5;
/** Length of a warm-up, in rounds. */
const WARM_UP = 2.4;
const GUARDED = SCENARIOS.filter(({ name }) => name === 'small' || name === 'browser');
const REFERENCES = [relay, httpProxy];

/** CPU per request of ours as a multiple of a reference subject's, by `scenario / subject`. */
type Ratios = Record<string, number>;

interface Baseline {
  readonly about: string;
  readonly at: string;
  readonly machine: Machine;
  readonly ratios: Ratios;
}

interface Options {
  readonly write: boolean;
  readonly file: string;
  readonly attempts: number;
  readonly rounds: number;
  readonly seconds: number;
}

/** The median of the ratios of the rounds: what disturbs a minute disturbs both sides of each. */
function pairedRatio(own: readonly Sample[], theirs: readonly Sample[]): number {
  return median(own.map((round, i) => round.cpuPerRequest / theirs[i].cpuPerRequest));
}

/**
 * Measures once, with processes of its own: what the compiler and the collector make of one differs from start to start.
 * Throws when a subject has no figures: then there is nothing to compare.
 */
async function ratiosOnce(processes: Processes, dir: string, options: Options): Promise<Ratios> {
  const stage = new Stage(processes, dir);
  const load = loadOf('autocannon', processes, dir);
  const ratios: Ratios = {};
  for (const scenario of GUARDED) {
    const pace = { rounds: options.rounds, seconds: options.seconds, warmUp: options.seconds * WARM_UP, warmRequests: 0 };
    const [samples, absent] = await measure(stage, scenario, [switchyard, ...REFERENCES], load, pace);
    for (const { subject, error } of absent) throw new Error(`${subject} could not be measured: ${error}`);
    for (const { name } of REFERENCES) ratios[`${scenario.name} / ${name}`] = pairedRatio(samples.get(switchyard.name) ?? [], samples.get(name) ?? []);
  }
  await stage.end();
  await load.end();
  return ratios;
}

function worseThan(baseline: Ratios, ratios: Ratios): string[] {
  return Object.keys(baseline).filter((key) => !(ratios[key] <= baseline[key] * (1 + TOLERANCE)));
}

/** Of two measurements the lower ratio: noise makes a ratio higher or lower, a dearer request makes all of them higher. */
function lower(one: Ratios | null, other: Ratios): Ratios {
  return one === null ? other : Object.fromEntries(Object.entries(other).map(([key, value]) => [key, Math.min(value, one[key])]));
}

function percent(ratio: number): string {
  return `${ratio > 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(0)} %`;
}

function verdict(baseline: Baseline, ratios: Ratios, attempts: string): string {
  const worse = worseThan(baseline.ratios, ratios);
  const body = Object.entries(baseline.ratios).map(([key, was]) => [
    key,
    was.toFixed(3),
    ratios[key].toFixed(3),
    percent(ratios[key] / was),
    worse.includes(key) ? 'WORSE' : 'ok',
  ]);
  const head = `CPU per request of ours as a multiple of a reference's (${attempts} measurements)`;
  const here = machine();
  const moved = here.cpu !== baseline.machine.cpu || here.cores !== baseline.machine.cores || here.node !== baseline.machine.node;
  const notes = moved
    ? [`the baseline is of another machine (${baseline.machine.cpu}, ${baseline.machine.cores} cores, Node ${baseline.machine.node}): expect differences`]
    : [];
  const end =
    worse.length === 0
      ? 'guard: no request has become dearer'
      : `guard: a request has become more than ${TOLERANCE * 100} % dearer (${worse.join(', ')}). Find out why with npm run bench:micro and --cpu-prof; if it is meant, npm run bench:guard -- --write`;
  return [head, aligned([['', 'baseline', 'now', 'change', ''], ...body]), ...notes, end].join('\n');
}

async function compare(options: Options, processes: Processes, dir: string): Promise<number> {
  if (!existsSync(options.file)) throw new Error(`there is no baseline ${options.file}: npm run bench:guard -- --write`);
  const baseline = JSON.parse(readFileSync(options.file, 'utf8')) as Baseline;
  let best: Ratios | null = null;
  for (let attempt = 1; ; attempt++) {
    best = lower(best, await ratiosOnce(processes, dir, options));
    const failed = worseThan(baseline.ratios, best).length > 0;
    if (failed && attempt < options.attempts) continue;
    console.log(verdict(baseline, best, `${attempt} of at most ${options.attempts}`));
    return failed ? 1 : 0;
  }
}

async function write(options: Options, processes: Processes, dir: string): Promise<number> {
  const runs: Ratios[] = [];
  for (let attempt = 1; attempt <= WRITTEN; attempt++) runs.push(await ratiosOnce(processes, dir, options));
  const ratios = Object.fromEntries(Object.keys(runs[0]).map((key) => [key, Number(median(runs.map((run) => run[key])).toFixed(3))]));
  const about =
    'CPU per request of ours as a multiple of a reference subject: what npm run bench:guard compares with, and npm run bench:guard -- --write renews.';
  const baseline: Baseline = { about, at: new Date().toISOString().slice(0, 10), machine: machine(), ratios };
  writeFileSync(options.file, `${JSON.stringify(baseline, null, 2)}\n`);
  console.log(JSON.stringify(baseline, null, 2));
  return 0;
}

/** Null when help was asked for. */
function optionsOf(args: string[]): Options | null {
  const { values } = parseArgs({
    args,
    options: {
      write: { type: 'boolean', default: false },
      baseline: { type: 'string', default: fileURLToPath(new URL('baseline.json', import.meta.url)) },
      attempts: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '0.25' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    write: values.write,
    file: values.baseline,
    attempts: number('attempts', values.attempts, 1, 9, true),
    rounds: number('rounds', values.rounds, 1, 50, true),
    seconds: number('seconds', values.seconds, 0.1, 60, false),
  };
}

function guard(options: Options, processes: Processes, dir: string): Promise<number> {
  return options.write ? write(options, processes, dir) : compare(options, processes, dir);
}

process.exitCode = await tool(optionsOf, HELP, guard);
