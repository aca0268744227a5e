import t from 'tap';
import { emptyCounts } from '../../src/ledger/control.ts';
import { splitProblem } from '../../src/pool/split.ts';
import type { Split } from '../../src/pool/split.ts';
import { emptyUpstream } from '../../src/pool/upstream.ts';
import { sharesFor } from '../../src/swap/_shares.ts';
import { decide, nextDeadline } from '../../src/swap/machine.ts';
import type { World } from '../../src/swap/events.ts';
import { receiptFor } from '../../src/swap/receipt.ts';
import { input, OPERATOR, policy, RISE } from './fixtures.ts';
import { emptySample } from './samples.ts';
import { SwapWorld } from './world.ts';

function still(now: number): World {
  return {
    now,
    policy: policy(),
    startedAt: 0,
    health: () => new Map(),
    counts: () => emptyCounts(),
    peak: () => 0,
    idle: () => true,
    sample: () => emptySample(),
  };
}

t.test('decide is pure: the same input gives the same answer, and the state it is given is left alone', async (t) => {
  const state = emptyUpstream('web', 0);
  const event = { type: 'swap', request: { to: 'v1', backends: input('v1').backends }, slots: [1, 2, 3], id: 's1', by: 'me' } as const;
  const before = structuredClone(state);
  const first = decide(state, event, still(5));
  t.same(state, before);
  t.same(decide(state, event, still(5)), first);
  t.match(first.state, { revision: 1, changedBy: 'me', changedAt: 5 });
  t.same(
    first.effects.map(({ type }) => type),
    ['probe', 'emit', 'emit'],
  );
  t.same(
    first.state.versions[0].backends.map(({ slot }) => slot),
    [1, 2],
  );
  t.equal(first.state.versions[0].slot, 3, 'the last row is that of the version');
  t.equal(nextDeadline(first.state, 5), 30_005);
});

t.test('an event that decides nothing gives the very same state back', async (t) => {
  const state = emptyUpstream('web', 0);
  for (const event of [
    { type: 'tick' },
    { type: 'health', version: 'v9' },
    { type: 'idle', version: 'v9' },
    { type: 'published', generation: 1 },
    { type: 'acked', generation: 1, acks: {} },
  ] as const) {
    t.equal(decide(state, event, still(9)).state, state, event.type);
  }
  t.equal(nextDeadline(state, 9), null);
});

t.test('shares: whole percents that sum to 100, proportional, never gaining while the incoming one grows', async (t) => {
  const befores: Split[] = [
    [{ version: 'a', weight: 100 }],
    [
      { version: 'b', weight: 10 },
      { version: 'a', weight: 90 },
    ],
    [
      { version: 'c', weight: 1 },
      { version: 'b', weight: 33 },
      { version: 'a', weight: 66 },
    ],
  ];
  for (const before of befores) {
    let last = new Map(before.map(({ version, weight }) => [version, weight]));
    for (let weight = 1; weight <= 100; weight++) {
      const split = sharesFor(before, 'new', weight);
      const now = new Map(split.map((share) => [share.version, share.weight]));
      if (splitProblem(split) !== null) t.fail(`${weight}: ${splitProblem(split)}`);
      if (split[0].version !== 'new' || split[0].weight !== weight) t.fail(`${weight}: the incoming version is not first`);
      for (const { version } of before) {
        if ((now.get(version) ?? 0) > (last.get(version) ?? 0)) t.fail(`${weight}: ${version} gains`);
        if (100 - weight >= before.length && !now.has(version)) t.fail(`${weight}: ${version} has nothing`);
      }
      last = now;
    }
  }
  t.same(sharesFor([], 'new', 5), [{ version: 'new', weight: 100 }], 'nothing else is live');
  t.same(
    sharesFor(befores[1], 'a', 95),
    [
      { version: 'a', weight: 95 },
      { version: 'b', weight: 5 },
    ],
    'the incoming one may have a share already',
  );
});

t.test('no receipt for a version whose counts do not add up, or that is not drained', async (t) => {
  const world = new SwapWorld({ rollback: { keep: 60_000 } });
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.probe('v1', RISE);
  t.throws(() => receiptFor(world.state, world.version('v1'), still(0)), /not drained/);
  await world.driver.swap({ to: 'v2', backends: input('v2').backends }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.match(receiptFor(world.state, world.version('v1'), still(0)), { version: 'v1' });
  t.throws(
    () => receiptFor(world.state, world.version('v1'), { ...still(0), counts: () => ({ ...emptyCounts(), started: 2, completed: 1 }) }),
    /2 requests started, 1 ended/,
  );
});

t.test('explain names what is waited for', async (t) => {
  const world = new SwapWorld();
  const facts = (id: string | null): string =>
    world.driver
      .explain(id)
      ?.facts.map(({ fact, blocks }) => `${blocks}: ${fact}`)
      .join('\n') ?? 'null';
  t.match(facts(null), /live: no version has weight/);
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.probe('v1', RISE);
  world.down.add('v2.test:2');
  await world.driver.swap({ to: 'v2', backends: input('v2').backends, canary: [{ weight: 5, hold: null }] }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.match(facts('v2'), /admitted: v2\.test:2: unhealthy, status 503/);
  t.match(facts(null), /30\.0 s left/);
  world.down.clear();
  await world.probe('v2', RISE);
  t.match(facts('v2'), /live: this step is held until promoted/);
  t.match(world.driver.explain('v1')?.summary, 'v1 is live with 95 % of the traffic.');
  world.request(0, 'tunnel', 0.99);
  world.request(1, 'http', 0.99);
  world.lateAcks = true;
  await world.driver.steer('promote', OPERATOR);
  t.match(facts('v1'), /released: not every data thread has acked generation \d+/);
  t.match(facts('v1'), /released: 1 requests in flight, cut in 30\.0 s\nreleased: 0 streams and 1 tunnels open, cut in 300\.0 s/);
  for (const thread of [0, 1]) world.ack(thread);
  while (world.requests.length > 0) world.finish(world.requests[0]);
  await world.advance(20);
  t.equal(world.driver.explain('v1')?.summary, 'v1 is released: it may be destroyed.');
  t.equal(world.driver.explain('v9'), null);
});
