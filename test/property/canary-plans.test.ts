import t from 'tap';
import { playPlans } from '../swap/plans.ts';
import type { Plan, Played } from '../swap/plans.ts';
import { randomFrom } from '../swap/random.ts';

const RUNS = 60;
const EXAMPLE: Plan['steps'] = [
  [5, 30],
  [25, 30],
  [50, 30],
];
const count = (played: readonly Played[], end: Played['end']): number => played.filter((one) => one.end === end).length;

t.test('a canary of 5, 25 and 50 % whose errors double is not promoted, one that is the same is', async (t) => {
  const plan = { rps: 500, steps: EXAMPLE, stableErrors: 0.01 };
  const bad = await playPlans({ ...plan, incomingErrors: 0.02 }, RUNS, randomFrom(11));
  t.ok(count(bad, 'promoted') <= 1, `${count(bad, 'promoted')} of ${RUNS} promoted`);
  t.ok(count(bad, 'rolled back') >= 0.9 * RUNS, `${count(bad, 'rolled back')} of ${RUNS} rolled back`);
  const good = await playPlans({ ...plan, incomingErrors: 0.01 }, RUNS, randomFrom(12));
  t.ok(count(good, 'promoted') >= RUNS - 1, `${count(good, 'promoted')} of ${RUNS} promoted`);
});

t.test('where there is little traffic a doubled error rate is not promoted in most of the runs either', async (t) => {
  const plan: Plan = { rps: 500, steps: [[5, 60]], stableErrors: 0.01, incomingErrors: 0.02 };
  const bad = await playPlans(plan, RUNS, randomFrom(13));
  t.ok(count(bad, 'promoted') < 0.5 * RUNS, `${count(bad, 'promoted')} of ${RUNS} promoted`);
  const good = await playPlans({ ...plan, incomingErrors: 0.01 }, RUNS, randomFrom(14));
  t.ok(count(good, 'promoted') >= RUNS - 1, `${count(good, 'promoted')} of ${RUNS} promoted`);
});

t.test('a first step of some seconds, then a quarter of the traffic: errors that double are caught within 60 s', async (t) => {
  const plan: Plan = {
    rps: 500,
    steps: [
      [5, 5],
      [25, 60],
      [50, 60],
    ],
    stableErrors: 0.01,
    incomingErrors: 0.02,
  };
  const bad = await playPlans(plan, RUNS, randomFrom(15));
  const caught = bad.filter(({ end, seconds }) => end !== 'promoted' && seconds <= 60).length;
  t.ok(caught >= 0.9 * RUNS, `${caught} of ${RUNS}`);
  t.equal(count(bad, 'promoted'), 0);
});
