import t from 'tap';
import { DEFAULT_ANALYSIS } from '../../src/pool/analysis.ts';
import type { AnalysisPolicy } from '../../src/pool/analysis.ts';
import type { SwapRequest } from '../../src/swap/ports.ts';
import { OPERATOR, RISE } from './fixtures.ts';
import { steps, to, withLive } from './upstream.ts';
import type { SwapWorld } from './world.ts';

const HOLD = 30_000;

/** A canary of v2 at 50 %, held for 30 s, just published. */
async function judged(analysis: Partial<AnalysisPolicy> = {}, more: Partial<SwapRequest> = {}): Promise<SwapWorld> {
  const world = await withLive({ canary: { steps: [], analysis: { ...DEFAULT_ANALYSIS, ...analysis } } });
  await world.driver.swap(to('v2', { canary: [{ weight: 50, hold: HOLD }], ...more }), 's1', OPERATOR);
  await world.probe('v2', RISE);
  return world;
}

/** Lets seconds pass with so much traffic a second on each side. */
async function pass(world: SwapWorld, seconds: number, incoming: Traffic, stable: Traffic = { requests: 100 }): Promise<void> {
  for (let i = 0; i < seconds && world.state.swap?.state === 'cutting-over'; i++) {
    world.samples.answered(world.version('v1').slot, stable.requests, stable.errors, stable.ms);
    world.samples.answered(world.version('v2').slot, incoming.requests, incoming.errors, incoming.ms);
    await world.advance(1_000);
  }
}
interface Traffic {
  readonly requests: number;
  readonly errors?: number;
  readonly ms?: number;
}

const evidence = (world: SwapWorld, name: string): Readonly<Record<string, unknown>> | undefined =>
  world.state.swap?.steps.findLast((step) => step.name === name)?.evidence;

t.test('a canary that is no worse goes on when its hold is over, not before', async (t) => {
  const world = await judged();
  await pass(world, 29, { requests: 100, errors: 1 }, { requests: 100, errors: 1 });
  t.equal(world.state.swap?.state, 'cutting-over');
  t.match(world.driver.verdict(), { decision: 'pass', words: 'no worse: 29 of 2900 requests failed (1 %), of the versions before it 1 %', windowMs: 29_000 });
  t.match(
    world.driver
      .explain(null)
      ?.facts.map(({ fact }) => fact)
      .join('\n'),
    /judged so far: no worse: 29 of 2900/,
  );
  await world.advance(1_000);
  t.same(steps(world).slice(2, 5), ['weight 50', 'judged', 'live']);
  t.match(evidence(world, 'judged'), {
    version: 'v2',
    weight: 50,
    decision: 'pass',
    windowMs: HOLD,
    incoming: { requests: 2_900, errors: 29, errorRate: 0.01 },
    stable: { requests: 2_900, errors: 29 },
    errorTest: { threshold: Number },
    latency: [{ quantile: 0.5 }, { quantile: 0.95 }, { quantile: 0.99, incoming: Number, stable: Number, surely: Number, atMost: Number }],
  });
  t.equal(world.driver.verdict(), null);
});

t.test('one that fails more often goes back within its hold, with the numbers', async (t) => {
  const world = await judged();
  await pass(world, 30, { requests: 100, errors: 8 }, { requests: 100, errors: 1 });
  t.equal(world.state.swap?.state, 'rolled-back');
  t.match(
    world.state.swap?.reason,
    /^v2 did worse at weight 50: \d+ of \d+ requests failed \(8 %\), of the versions before it \d+ of \d+ requests failed \(1 %\)$/,
  );
  const found = evidence(world, 'judged') as { windowMs: number; errorTest: { worse: number; threshold: number } };
  t.ok(found.windowMs < 10_000, 'at once');
  t.ok(found.errorTest.worse >= found.errorTest.threshold);
  t.same(world.state.split, [{ version: 'v1', weight: 100 }]);
  t.ok(world.events.some(({ type, data }) => type === 'judged' && data.decision === 'fail'));
});

t.test('one that is significantly better passes: two-sided means both are told', async (t) => {
  const world = await judged();
  await pass(world, 30, { requests: 100, errors: 1 }, { requests: 100, errors: 8 });
  t.equal(world.phase('v2'), 'live');
  t.equal(world.state.swap?.state, 'done');
  t.match(evidence(world, 'judged')?.words, /significantly fewer/);
});

t.test('one that is slower goes back; what is slow in its warm-up does not count', async (t) => {
  const slow = await judged();
  await pass(slow, 30, { requests: 200, ms: 100 }, { requests: 200, ms: 30 });
  t.match(slow.state.swap, { state: 'rolled-back', reason: /v2 did worse at weight 50: the median is .* more than 1.5 times as long/ });
  const cold = await judged();
  await pass(cold, 4, { requests: 50, ms: 200 }, { requests: 200, ms: 30 });
  await cold.advance(1_000);
  await pass(cold, 26, { requests: 200, ms: 30 }, { requests: 200, ms: 30 });
  t.equal(cold.phase('v2'), 'live', cold.state.swap?.reason ?? '');
});

t.test('one that looks worse, which may be chance, is held longer, asked for or not: it goes on when it looks so no more, else it is paused', async (t) => {
  const world = await judged();
  await pass(world, 30, { requests: 20, errors: 1 }, { requests: 100, errors: 2 });
  t.equal(steps(world).at(-1), 'held longer');
  t.match(world.driver.verdict(), {
    decision: 'inconclusive',
    doubtful: true,
    words: /^looks worse, but that may be chance: 30 of 600 requests failed \(5 %\), of .* 2 %$/,
  });
  await pass(world, 20, { requests: 100, errors: 2 }, { requests: 100, errors: 2 });
  t.equal(world.phase('v2'), 'live', 'once it looks as good as before');
  const paused = await judged();
  await pass(paused, 30, { requests: 20, errors: 1 }, { requests: 100, errors: 2 });
  await paused.advance(60_000);
  t.match(paused.state.swap, { state: 'cutting-over', paused: true });
  t.match(evidence(paused, 'paused'), { by: 'switchyard', reason: /looks worse, but that may be chance/ });
  await paused.driver.steer('promote', OPERATOR);
  t.equal(paused.phase('v2'), 'live', 'a person may');
});

t.test('less than the slack is no failure, however many times as long it is', async (t) => {
  const world = await judged();
  await pass(world, 30, { requests: 500, ms: 4 }, { requests: 500, ms: 1 });
  t.equal(world.phase('v2'), 'live', world.state.swap?.reason ?? '');
});

t.test('limits hold on top: errors and p99, at the end of the hold as measured', async (t) => {
  const errors = await judged({ errorRateMax: 0.01 });
  await pass(errors, 30, { requests: 100, errors: 3 }, { requests: 100, errors: 3 });
  t.match(errors.state.swap, { state: 'rolled-back', reason: /more than errorRateMax allows \(1 %\)/ });
  const slow = await judged({ p99MsMax: 100 });
  await pass(slow, 30, { requests: 100, ms: 300 }, { requests: 100, ms: 300 });
  t.match(slow.state.swap, { state: 'rolled-back', reason: /p99 is [\d.]+ ms, more than p99MsMax allows \(100 ms\)/ });
  const near = await judged({ errorRateMax: 0.031 });
  await pass(near, 29, { requests: 100, errors: 3 }, { requests: 100, errors: 3 });
  t.equal(near.state.swap?.state, 'cutting-over');
  await pass(near, 1, { requests: 100, errors: 3 }, { requests: 100, errors: 3 });
  t.equal(near.phase('v2'), 'live');
});

t.test('explain says what a Prometheus server has said last', async (t) => {
  const prometheus = { url: 'http://127.0.0.1:1/', query: 'up', min: 1, max: 2, interval: 1_000, timeout: 1_000 };
  const world = await judged({ prometheus });
  const told = (): string => (world.driver.explain('v2')?.facts ?? []).map(({ fact }) => fact).join('\n');
  for (const [checked, words] of [
    [{ value: 1.5, problem: null }, /the Prometheus query gave 1\.5 last; it has to give at least 1 and at most 2/],
    [{ value: null, problem: 'no answer in 1 s' }, /the Prometheus query has no answer: no answer in 1 s/],
  ] as const) {
    world.outside.checked = checked;
    await pass(world, 2, { requests: 100 });
    t.match(told(), words);
  }
});

t.test('too few requests: nothing that was not asked for is held up; the evidence says that it was not judged', async (t) => {
  const world = await judged();
  await pass(world, 30, { requests: 1, errors: 1 });
  t.equal(world.phase('v2'), 'live');
  t.match(evidence(world, 'judged'), { decision: 'inconclusive', words: 'too few requests: 30 of the 50 needed' });
});

t.test('too few requests for a swap that has to be judged: held longer, then paused for a person, never failed', async (t) => {
  const world = await judged({}, { analysis: true });
  await pass(world, 30, { requests: 1 });
  t.match(steps(world).at(-1), 'held longer');
  t.match(
    world.driver
      .explain('v2')
      ?.facts.map(({ fact }) => fact)
      .join('\n'),
    /this step is held longer.*\njudged so far: too few requests/s,
  );
  await world.advance(59_000);
  t.equal(world.state.swap?.paused, false);
  await world.advance(1_000);
  t.match(world.state.swap, { state: 'cutting-over', paused: true });
  t.match(evidence(world, 'paused'), { by: 'switchyard', reason: 'too few requests: 30 of the 50 needed' });
  await world.advance(600_000);
  t.match(world.state.swap, { state: 'cutting-over', paused: true }, 'it waits for a person');
  t.equal(steps(world).filter((name) => name === 'held longer').length, 1);
  await world.driver.steer('resume', OPERATOR);
  await pass(world, 29, { requests: 50 });
  t.equal(world.state.swap?.state, 'cutting-over');
  await pass(world, 1, { requests: 50 });
  t.equal(world.phase('v2'), 'live', 'what was counted before the pause counts');
});

t.test('enough requests in the longer hold: it goes on at once', async (t) => {
  const world = await judged({ required: true });
  await pass(world, 30, { requests: 1 });
  await pass(world, 1, { requests: 50 });
  t.equal(world.phase('v2'), 'live');
});

t.test('requests that are sent and never answered are no lack of traffic', async (t) => {
  const world = await judged();
  world.samples.unanswered(world.version('v2').slot, 500);
  await pass(world, 30, { requests: 1 });
  t.equal(world.state.swap?.state, 'cutting-over');
  t.match(evidence(world, 'held longer'), { unanswered: true, words: 'only 30 of 530 requests were answered so far; 50 are needed' });
  await world.advance(60_000);
  t.equal(world.state.swap?.paused, true);
});

t.test('a paused canary, and one that is held until promoted, are judged all the same', async (t) => {
  for (const more of [{}, { canary: [{ weight: 50, hold: null }] }]) {
    const world = await judged({}, more);
    if (more.canary === undefined) await world.driver.steer('pause', OPERATOR);
    await pass(world, 100, { requests: 100 });
    t.equal(world.state.swap?.state, 'cutting-over');
    await pass(world, 200, { requests: 100, errors: 40 });
    t.equal(world.state.swap?.state, 'rolled-back');
  }
});

t.test('promote takes the next step whatever the verdict is; off means that nothing is judged', async (t) => {
  const world = await judged({ required: true });
  await world.driver.steer('promote', OPERATOR);
  t.equal(world.phase('v2'), 'live');
  const off = await judged({}, { analysis: false });
  await pass(off, 29, { requests: 100, errors: 100 });
  t.equal(off.state.swap?.state, 'cutting-over');
  t.equal(off.driver.verdict(), null);
  await off.advance(1_000);
  t.equal(off.phase('v2'), 'live');
});

t.test('each step is judged by itself, and after a crash the window begins anew', async (t) => {
  const world = await judged({}, { canary: [10, 50].map((weight) => ({ weight, hold: HOLD })) });
  await pass(world, 30, { requests: 100, errors: 1 }, { requests: 100, errors: 1 });
  t.same(steps(world).slice(2), ['weight 10', 'judged', 'weight 50']);
  t.match(world.driver.verdict(), { windowMs: 0, incoming: { requests: 0 } });
  await pass(world, 20, { requests: 100, errors: 1 }, { requests: 100, errors: 1 });
  world.crash();
  await world.restart();
  t.match(world.driver.verdict(), { windowMs: 0, incoming: { requests: 0 } });
  await world.probe('v2', RISE);
  await pass(world, 29, { requests: 100 });
  t.equal(world.state.swap?.state, 'cutting-over');
  await pass(world, 1, { requests: 100 });
  t.equal(world.phase('v2'), 'live');
  t.equal(world.violation, null);
});

t.test('steps of the upstream are taken by a swap that names none, not by a rollback', async (t) => {
  const world = await withLive({ rollback: { keep: 60_000 }, canary: { steps: [{ weight: 20, hold: 1_000 }], analysis: null } });
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.match(world.state.split, [
    { version: 'v2', weight: 20 },
    { version: 'v1', weight: 80 },
  ]);
  await world.advance(1_000);
  t.equal(world.state.swap?.state, 'done');
  await world.driver.rollback(null, 's2', OPERATOR);
  await world.probe('v1');
  t.equal(world.phase('v1'), 'live');
  await world.driver.swap(to('v3', { canary: [] }), 's3', OPERATOR);
  await world.probe('v3', RISE);
  t.equal(world.phase('v3'), 'live', 'an empty canary is atomic');
});
