/**
 * What the judgement of a canary does on simulated ones: how many without a difference are failed, and how soon a difference is found.
 * Seeded. `npm run bench:canary [-- --runs 10000]`; prints Markdown.
 */
import { parseArgs } from 'node:util';
import { playPlans } from '../test/swap/plans.ts';
import type { Plan } from '../test/swap/plans.ts';
import { playMany } from '../test/swap/canaries.ts';
import type { Scene } from '../test/swap/canaries.ts';
import { randomFrom } from '../test/swap/random.ts';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '10000' } } });
const RUNS = Number(values.runs);
/** Latencies are drawn one by one: fewer of these. */
const SLOW_RUNS = Math.ceil(RUNS / 10);
const MINUTE = 60;
const SEED = 20_260_101;

const always = (share: number) => (): number => share;

function scene(rps: number, share: number, stable: number, incoming: number, more: Partial<Scene> = {}): Scene {
  return { rps, share, stableErrors: always(stable), incomingErrors: always(incoming), latency: null, seconds: MINUTE, steps: 1, ...more };
}

function percent(count: number, of: number): string {
  return `${((100 * count) / of).toFixed(2)} %`;
}

function found(failed: readonly number[], within: number): string {
  return percent(failed.filter((second) => second <= within).length, failed.length);
}

/** The second in which so large a share of the runs had been failed. */
function after(failed: readonly number[], share: number): string {
  const second = [...failed].sort((a, b) => a - b)[Math.ceil(failed.length * share) - 1];
  return Number.isFinite(second) ? `${second} s` : '—';
}

function row(...cells: readonly (string | number)[]): void {
  console.log(`| ${cells.join(' | ')} |`);
}

console.log(`| requests/s | share of the new version | errors of both | failed (${RUNS} runs each) |\n|---|---|---|---|`);
for (const [rps, errors] of [
  [40, 0.1],
  [500, 0.0005],
  [500, 0.01],
  [500, 0.3],
  [5_000, 0.01],
] as const) {
  for (const share of [0.05, 0.25, 0.5]) {
    const failed = playMany(scene(rps, share, errors, errors), RUNS, randomFrom(SEED));
    row(rps, `${share * 100} %`, `${errors * 100} %`, found(failed, MINUTE));
  }
}
const burst = (second: number): number => (second % 20 < 4 ? 0.2 : 0.002);
const bursts = playMany(scene(500, 0.25, 0, 0, { stableErrors: burst, incomingErrors: burst }), RUNS, randomFrom(SEED));
row(500, '25 %', '0.2 %, bursts of 20 %', found(bursts, MINUTE));

console.log('\n| errors, 500 requests/s | steps | share of the new version | found in 60 s | half of them after | 95 % after |\n|---|---|---|---|---|---|');
for (const [stable, incoming] of [
  [0.01, 0.02],
  [0.001, 0.01],
  [0.001, 0.05],
] as const) {
  for (const steps of [1, 3]) {
    for (const share of [0.05, 0.25, 0.5]) {
      const failed = playMany(scene(500, share, stable, incoming, { seconds: 5 * MINUTE, steps }), Math.ceil(RUNS / 4), randomFrom(SEED));
      row(`${stable * 100} % → ${incoming * 100} %`, steps, `${share * 100} %`, found(failed, MINUTE), after(failed, 0.5), after(failed, 0.95));
    }
  }
}

console.log('\n| latency (log-normal), 500 requests/s | share of the new version | failed in 60 s | half of them after | 95 % after |\n|---|---|---|---|---|');
for (const [name, incoming, sigma] of [
  ['the same, σ 0.6', 40, 0.6],
  ['twice as long, σ 0.6', 80, 0.6],
  ['twice as long, σ 1', 80, 1],
] as const) {
  for (const share of [0.05, 0.25, 0.5]) {
    const failed = playMany(scene(500, share, 0, 0, { latency: { stable: 40, incoming, sigma } }), SLOW_RUNS, randomFrom(SEED));
    row(name, `${share * 100} %`, found(failed, MINUTE), after(failed, 0.5), after(failed, 0.95));
  }
}

console.log(
  '\n| steps, requests/s | errors | rolled back | paused for a person | promoted | caught in 60 s | half of them after | the new version got |\n|---|---|---|---|---|---|---|---|',
);
const PLANS: readonly (readonly [string, Plan['steps'], number])[] = [
  [
    '`5,25,50 --hold 30s`',
    [
      [5, 30],
      [25, 30],
      [50, 30],
    ],
    500,
  ],
  [
    '`5,25,50 --hold 1m`',
    [
      [5, 60],
      [25, 60],
      [50, 60],
    ],
    500,
  ],
  [
    '`5:5s,25:1m,50:1m`',
    [
      [5, 5],
      [25, 60],
      [50, 60],
    ],
    500,
  ],
  ['`5 --hold 1m`', [[5, 60]], 500],
  [
    '`5,25,50 --hold 1m`',
    [
      [5, 60],
      [25, 60],
      [50, 60],
    ],
    100,
  ],
];
const PLAN_RUNS = Math.ceil(RUNS / 10);
for (const [name, steps, rps] of PLANS) {
  for (const incomingErrors of [0.02, 0.01]) {
    const played = await playPlans({ rps, steps, stableErrors: 0.01, incomingErrors }, PLAN_RUNS, randomFrom(SEED));
    const stopped = played.filter(({ end }) => end !== 'promoted');
    const middle = (values: readonly number[]): string => (values.length === 0 ? '—' : String(values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]));
    const share = (end: string): string => percent(played.filter((one) => one.end === end).length, played.length);
    const seconds = middle(stopped.map((one) => one.seconds));
    row(
      `${name}, ${rps}`,
      incomingErrors === 0.01 ? '1 %, the same' : '1 % → 2 %',
      share('rolled back'),
      share('paused'),
      share('promoted'),
      incomingErrors === 0.01 ? '—' : percent(stopped.filter((one) => one.seconds <= MINUTE).length, played.length),
      incomingErrors === 0.01 ? '—' : `${seconds} s`,
      incomingErrors === 0.01 ? '—' : `${middle(stopped.map((one) => one.got))} requests`,
    );
  }
}
