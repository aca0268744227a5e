import t from 'tap';
import type { SwapRequest } from '../../src/swap/ports.ts';
import { input, OPERATOR, policy, RISE } from './fixtures.ts';
import { canary, receipt, refused, to, withLive } from './upstream.ts';

t.test('pause freezes, resume begins the hold anew, promote goes on now', async (t) => {
  const world = await withLive();
  await world.driver.swap(to('v2', { canary: [...canary(5), { weight: 50, hold: null }] }), 's1', OPERATOR);
  await refused(t, 'not-now', world.driver.steer('promote', OPERATOR), { state: 'admitting' });
  await world.driver.steer('pause', OPERATOR);
  await world.probe('v2', RISE);
  t.match(world.state.swap, { state: 'standby', paused: true }, 'paused before the cutover: it waits on standby');
  await world.driver.steer('resume', OPERATOR);
  await world.advance(900);
  await world.driver.steer('pause', OPERATOR);
  await world.advance(10_000);
  t.equal(world.state.split[0].weight, 5);
  await world.driver.steer('resume', OPERATOR);
  await world.advance(999);
  t.equal(world.state.split[0].weight, 5);
  await world.advance(1);
  t.equal(world.state.split[0].weight, 50);
  await world.advance(1_000_000);
  t.equal(world.state.split[0].weight, 50, 'held until promoted');
  await world.driver.steer('pause', OPERATOR);
  await world.driver.steer('promote', OPERATOR);
  t.equal(world.phase('v2'), 'live');
  t.equal(world.state.swap?.state, 'done');
  await refused(t, 'no-running-swap', world.driver.steer('promote', OPERATOR));
});

t.test('abort: at once while admitting, by the split before during a canary, not at all once it drains', async (t) => {
  const world = await withLive();
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  t.match(await world.driver.steer('abort', OPERATOR), { state: 'aborted', reason: 'aborted by operator' });
  t.equal(world.phase('v2'), 'rejected');

  await world.driver.swap(to('v3', { canary: canary(40) }), 's2', OPERATOR);
  await world.probe('v3', RISE);
  t.ok(world.request(0, 'http', 0.1));
  t.equal(world.requests[0].id, 'v3');
  await world.driver.steer('abort', OPERATOR);
  t.same(world.committed?.split, [{ version: 'v1', weight: 100 }]);
  t.equal(world.state.swap?.state, 'rolling-back');
  await world.advance(50);
  t.equal(world.phase('v3'), 'draining');
  world.finish(world.requests[0]);
  await world.advance(10);
  t.equal(world.phase('v3'), 'rejected');
  t.equal(world.state.swap?.state, 'aborted');
  t.equal(receipt(world, 'v3').counts.completed, 1, 'it had traffic, so there is a receipt');

  world.request();
  await world.driver.swap(to('v4'), 's3', OPERATOR);
  await world.probe('v4', RISE);
  const refusal = await refused(t, 'not-now', world.driver.steer('abort', OPERATOR));
  t.match(refusal.message, /rollback/);
});

t.test('a rollback to a kept version needs one fresh round', async (t) => {
  const world = await withLive({ rollback: { keep: 60_000 } });
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.match(await world.driver.rollback(null, 's2', OPERATOR), { id: 's2', kind: 'rollback', from: ['v2'], to: 'v1', state: 'admitting' });
  await world.probe('v1');
  t.equal(world.phase('v1'), 'live');
  t.equal(world.phase('v2'), 'drained');
  t.equal(world.state.swap?.state, 'done');

  world.down.add('v2.test:1');
  await world.driver.rollback('v2', 's3', OPERATOR);
  await world.advance(30_000);
  t.equal(world.state.swap?.state, 'rejected');
  t.equal(world.phase('v2'), 'drained', 'it stays kept');
  t.same(world.state.split, [{ version: 'v1', weight: 100 }]);
});

t.test('a rollback while the old version drains takes it straight back', async (t) => {
  const world = await withLive();
  world.request();
  await world.driver.swap(to('v2', { canary: canary(50) }), 's1', OPERATOR);
  await refused(t, 'swap-running', world.driver.rollback(null, 's2', OPERATOR), { swap: 's1', from: 'v1', to: 'v2' });
  await world.probe('v2', RISE);
  await world.advance(1_000);
  t.equal(world.phase('v1'), 'draining');
  t.match(await world.driver.rollback(null, 's2', OPERATOR), { id: 's2', to: 'v1' });
  t.same(world.committed?.split, [{ version: 'v1', weight: 100 }]);
  t.equal(world.phase('v1'), 'live');
  await world.settle();
  t.equal(world.phase('v2'), 'released');
  t.equal(world.requests.length, 1, 'the request on v1 was left alone');
  t.ok(world.events.some(({ type, data }) => type === 'rolled-back' && data.swap === 's1'));
});

t.test('one swap at a time; repeats change nothing', async (t) => {
  const world = await withLive();
  t.match(await world.driver.swap(to('v1'), 's0', OPERATOR), { started: false });
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  const before = world.state;
  t.match(await world.driver.swap(to('v2'), 's2', OPERATOR), { started: false, swap: { id: 's1' } });
  await refused(t, 'version-exists', world.driver.swap({ to: 'v2', backends: input('v2', 1).backends }, 's3', OPERATOR));
  await refused(t, 'swap-running', world.driver.swap(to('v3'), 's4', OPERATOR), { swap: 's1', to: 'v2' });
  await refused(t, 'swap-running', world.driver.setSplit({ v1: 100 }, OPERATOR));
  await refused(t, 'swap-running', world.driver.remove('v2', OPERATOR));
  await refused(t, 'stale-revision', world.driver.hold(true, { by: 'x', ifMatch: before.revision - 1 }), { revision: before.revision });
  t.equal(world.state, before, 'nothing was changed');
});

t.test('the split by hand', async (t) => {
  const world = await withLive();
  await world.driver.register(input('v2'), OPERATOR);
  await refused(t, 'not-now', world.driver.setSplit({ v1: 90, v2: 10 }, OPERATOR), { phase: 'admitting' });
  await world.probe('v2', RISE);
  await refused(t, 'invalid', world.driver.setSplit({ v1: 90, v2: 9 }, OPERATOR));
  await refused(t, 'invalid', world.driver.setSplit({}, OPERATOR));
  await refused(t, 'no-such-version', world.driver.setSplit({ v1: 90, v9: 10 }, OPERATOR));
  await world.driver.setSplit({ v1: 90, v2: 10 }, OPERATOR);
  t.same(
    world.committed?.split,
    [
      { version: 'v2', weight: 10 },
      { version: 'v1', weight: 90 },
    ],
    'newest first',
  );

  await world.driver.swap(to('v3', { canary: canary(50) }), 's1', OPERATOR);
  await world.probe('v3', RISE);
  t.same(world.committed?.split, [
    { version: 'v3', weight: 50 },
    { version: 'v2', weight: 5 },
    { version: 'v1', weight: 45 },
  ]);
  await world.driver.steer('abort', OPERATOR);
  await world.settle();
  t.same(world.state.split, [
    { version: 'v2', weight: 10 },
    { version: 'v1', weight: 90 },
  ]);
  await world.driver.setSplit({ v2: 100, v1: 0 }, OPERATOR);
  await world.settle();
  t.equal(world.phase('v1'), 'released');
});

t.test('removing a version', async (t) => {
  const world = await withLive({ rollback: { keep: 60_000 } });
  await refused(t, 'not-now', world.driver.remove('v1', OPERATOR), { phase: 'live' });
  await refused(t, 'no-such-version', world.driver.remove('v9', OPERATOR));
  await world.driver.register(input('v2'), OPERATOR);
  await world.driver.remove('v2', OPERATOR);
  t.equal(world.phase('v2'), 'rejected', 'it was never admitted');
  await world.driver.register(input('v3'), OPERATOR);
  await world.probe('v3', RISE);
  await world.driver.remove('v3', OPERATOR);
  await world.settle();
  t.equal(world.phase('v3'), 'released');
  await world.driver.swap(to('v4'), 's1', OPERATOR);
  await world.probe('v4', RISE);
  await world.driver.remove('v1', OPERATOR);
  t.equal(world.phase('v1'), 'released', 'a kept version goes at once');
});

t.test('hold and unhold are published', async (t) => {
  const world = await withLive();
  await world.driver.hold(true, OPERATOR);
  t.equal(world.committed?.held, true);
  await world.driver.hold(false, OPERATOR);
  t.equal(world.committed?.held, false);
});

t.test('what is not valid is refused with the place that is wrong', async (t) => {
  const world = await withLive();
  const cases: [SwapRequest, RegExp][] = [
    [{ to: 'v2', backends: [] }, /^backends/],
    [{ to: 'v2', backends: [{ address: 'nowhere', weight: 1 }] }, /^backends\[0\]\.address/],
    [
      {
        to: 'v2',
        backends: [
          { address: 'a:1', weight: 1 },
          { address: 'a:1', weight: 1 },
        ],
      },
      /named twice/,
    ],
    [{ to: 'a b', backends: input('v2').backends }, /^id/],
    [to('v2', { canary: [{ weight: 100, hold: 0 }] }), /^canary\[0\]\.weight/],
    [to('v2', { canary: canary(25, 5) }), /^canary\[1\]\.weight/],
    [to('v2', { keep: -1 }), /^rollback\.keep/],
  ];
  for (const [request, message] of cases) t.match((await refused(t, 'invalid', world.driver.swap(request, 's1', OPERATOR))).message, message);
  world.freeRows = 2;
  await refused(t, 'slots-exhausted', world.driver.swap(to('v2'), 's1', OPERATOR));
  t.same(
    world.state.versions.map(({ id }) => id),
    ['v1'],
  );
});

t.test('a dry run tells the steps and changes nothing', async (t) => {
  const world = await withLive();
  const before = world.state;
  const plan = world.driver.plan(to('v2', { canary: canary(5) }));
  t.same([plan.from, plan.to], ['v1', 'v2']);
  t.match(plan.steps, [/register v2/, /admit v2: 2 of 2/, /weight 5 on v2, held for 1 s/, /all traffic to v2/, /drain v1/, /release v1/]);
  t.equal(world.state, before);
  t.throws(() => world.driver.plan({ to: 'v9' }), /has no version v9/);
});

t.test('another policy counts from the moment it is recorded', async (t) => {
  const world = await withLive();
  const quick = policy({ admission: { timeout: 1_000, minReady: null } });
  world.recordFails = 1;
  await refused(t, 'internal', world.driver.setPolicy(quick, OPERATOR));
  await world.driver.register(input('v2'), OPERATOR);
  t.equal(world.version('v2').admitBy, world.now + 30_000, 'what was refused has no effect');
  const generation = world.generation;
  t.match(await world.driver.setPolicy(quick, { by: 'file' }), { changedBy: 'file' });
  t.equal(world.generation, generation + 1, 'it is published');
  await world.driver.register(input('v3'), OPERATOR);
  t.equal(world.version('v3').admitBy, world.now + 1_000);
});
