import { parseArgs } from 'node:util';
import { LOADS } from './load.ts';
import type { LoadName } from './load.ts';
import type { Pace } from './rounds.ts';
import { SCENARIOS } from './scenarios.ts';
import { number } from './session.ts';
import type { Scenario } from './scenarios.ts';
import { SUBJECTS, VARIANTS } from './subjects/all.ts';
import type { Subject } from './subjects/subject.ts';

export const HELP = `npm run bench -- [options]
  --quick            everything in some two minutes: one short round, for a first look; no figure to quote
  --rounds N         rounds of each subject in each scenario, 1 to 50; default 5
  --seconds N        length of a round, 0.1 to 60; default 1
  --scenario NAME    only this one; may be repeated: ${SCENARIOS.map(({ name }) => name).join(', ')}
  --subject NAME     only this one and its variants; may be repeated: ${SUBJECTS.map(({ name }) => name).join(', ')}
  --load NAME        ${LOADS.join(', ')}; wrk and h2load take whole seconds, and what they cannot do the bench does itself
  --connections N    of the scenario idle, 1 to 20000; default 10000, or 1000 with --quick
  --json FILE        writes the figures there too
  --svg FILE         draws them`;

export interface Plan {
  readonly pace: Pace;
  readonly scenarios: readonly Scenario[];
  /** Names of the proxies, variants of which come with them. */
  readonly bases: readonly string[];
  readonly load: LoadName;
  readonly json: string | null;
  readonly svg: string | null;
}

function chosen<T extends { readonly name: string }>(what: string, all: readonly T[], names: readonly string[] | undefined): readonly T[] {
  const unknown = names?.find((name) => !all.some((one) => one.name === name));
  if (unknown !== undefined) throw new Error(`there is no ${what} ${unknown}`);
  return names === undefined ? all : all.filter(({ name }) => names.includes(name));
}

/** The subjects of a scenario among these proxies, in the order of the list. */
export function subjectsOf(scenario: Scenario, bases: readonly string[]): readonly Subject[] {
  const { only, except } = scenario;
  const named = only === undefined ? SUBJECTS : only.subjects.flatMap((name) => [...SUBJECTS, ...VARIANTS].filter((subject) => subject.name === name));
  return named.filter(({ name, base }) => bases.includes(base) && except?.subjects.includes(name) !== true);
}

const QUICK_SECONDS = 85;
/** What a round costs besides its length: starting the load, opening connections, reading the counts, ending. */
const ROUND_OVERHEAD = 0.08;
/** Of a subject in the scenario idle. */
const IDLE_SECONDS = 2;
/** Of a subject that is started for one scenario only. */
const START_SECONDS = 0.4;
const LEAST_SECONDS = 0.1;
/** What programs count that are not the bench's own. */
const WHOLE_SECOND = 1;

/** Seconds that a scenario takes with a warm-up and a round that are so long. */
function takes(scenario: Scenario, bases: readonly string[], seconds: number): number {
  const subjects = subjectsOf(scenario, bases).filter(({ program }) => program !== null).length;
  if (scenario.kind === 'idle') return subjects * IDLE_SECONDS;
  const starting = scenario.kind === 'tunnel' || scenario.only !== undefined ? START_SECONDS : 0;
  const outside = scenario.by !== 'any' && scenario.by !== 'raw';
  return subjects * (starting + Math.max(seconds, outside ? WHOLE_SECOND : 0) + Math.max(seconds, scenario.leastSeconds ?? 0) + 2 * ROUND_OVERHEAD);
}

/** By then the compiler has done what it will do. */
const WARM_REQUESTS = 20_000;

/** One round, as long as all of them fit into the time. */
function quickPace(scenarios: readonly Scenario[], bases: readonly string[]): Pace {
  let seconds = 1;
  while (seconds > LEAST_SECONDS && scenarios.reduce((sum, one) => sum + takes(one, bases, seconds), 0) > QUICK_SECONDS) seconds -= 0.01;
  return { rounds: 1, seconds, warmUp: seconds, warmRequests: 0 };
}

function withConnections(scenario: Scenario, connections: number): Scenario {
  return { ...scenario, connections };
}

/** Null when help was asked for. Throws, in a line, when an option is wrong. */
export function planOf(args: string[]): Plan | null {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      scenario: { type: 'string', multiple: true },
      subject: { type: 'string', multiple: true },
      load: { type: 'string', default: 'autocannon' },
      connections: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const load = LOADS.find((name) => name === values.load);
  if (load === undefined) throw new Error(`--load takes ${LOADS.join(', ')}`);
  const idleConnections = number('connections', values.connections ?? (values.quick ? '1000' : '10000'), 1, 20_000, true);
  const scenarios = chosen('scenario', SCENARIOS, values.scenario).map((one) => (one.kind === 'idle' ? withConnections(one, idleConnections) : one));
  const bases = chosen('subject', SUBJECTS, values.subject).map(({ name }) => name);
  const base: Pace = values.quick ? quickPace(scenarios, bases) : { rounds: 5, seconds: 1, warmUp: 1, warmRequests: WARM_REQUESTS };
  const pace = {
    rounds: values.rounds === undefined ? base.rounds : number('rounds', values.rounds, 1, 50, true),
    seconds: values.seconds === undefined ? base.seconds : number('seconds', values.seconds, 0.1, 60, false),
    warmUp: base.warmUp,
    warmRequests: base.warmRequests,
  };
  return { pace, scenarios, bases, load, json: values.json ?? null, svg: values.svg ?? null };
}
