import t from 'tap';
import { input, OPERATOR, policy, RISE } from './fixtures.ts';
import { canary, receipt, refused, steps, to, withLive } from './upstream.ts';
import { SwapWorld } from './world.ts';

t.test('a seed is live as soon as its backends pass, however long that takes', async (t) => {
  const world = new SwapWorld();
  world.down.add('v1.test:2');
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.advance(600_000);
  await world.probe('v1', RISE);
  t.equal(world.phase('v1'), 'admitting');
  world.down.clear();
  await world.probe('v1', RISE);
  t.equal(world.phase('v1'), 'live');
  t.same(world.state.split, [{ version: 'v1', weight: 100 }]);
  t.match(world.state.swap, { kind: 'seed', state: 'done' });
  t.ok(world.request());
});

t.test('an atomic swap: admitted, live, drained, released with a receipt', async (t) => {
  const world = await withLive();
  world.request();
  world.request(1);
  const { started, swap } = await world.driver.swap(to('v2'), 's1', OPERATOR);
  t.ok(started);
  t.match(swap, { id: 's1', state: 'admitting', from: ['v1'], to: 'v2' });
  await world.probe('v2');
  t.same(world.state.split, [{ version: 'v1', weight: 100 }], 'one pass is not enough');
  await world.probe('v2');
  t.same(world.state.split, [{ version: 'v2', weight: 100 }]);
  t.equal(world.phase('v1'), 'draining');
  await world.advance(1_234);
  world.finish(world.requests[0]);
  await world.advance(100);
  t.equal(world.phase('v1'), 'draining', 'one request is still in flight');
  world.finish(world.requests[0], 'clientAborted');
  await world.advance(10);
  t.equal(world.phase('v1'), 'released');
  t.equal(world.state.swap?.state, 'done');
  t.same(steps(world), ['requested', 'admitted', 'live', 'draining', 'drained', 'released']);
  t.match(receipt(world, 'v1'), {
    upstream: 'web',
    generation: 4,
    admitted: { healthy: 2, of: 2 },
    counts: { started: 2, completed: 1, clientAborted: 1, upstreamFailed: 0, killed: 0 },
    mirrored: 0,
    peakInFlight: 2,
    drainMs: 1_334,
    acks: { 0: 4, 1: 4 },
  });
  t.same(world.events.map(({ type, version }) => `${type} ${version}`).slice(-7), [
    'registered v2',
    'swap-started v2',
    'admitted v2',
    'live v2',
    'draining v1',
    'drained v1',
    'released v1',
  ]);
  t.equal(world.violation, null);
});

t.test('a version that does not pass in time is rejected, nothing moves, and each backend is named', async (t) => {
  const world = await withLive();
  world.down.add('v2.test:2');
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', 3);
  await world.advance(29_999);
  t.equal(world.phase('v2'), 'admitting');
  await world.advance(1);
  t.equal(world.phase('v2'), 'rejected');
  t.match(world.state.swap, { state: 'rejected', reason: /1 of 2 backends passed.*v2\.test:2: unhealthy, status 503/ });
  t.match(world.state.swap?.steps.find(({ name }) => name === 'not admitted')?.evidence, { backends: { 'v2.test:2': { lastProbe: { status: 503 } } } });
  t.same(world.state.split, [{ version: 'v1', weight: 100 }]);
  t.equal(world.trusted.size, 1, 'no backend of v2 was ever trusted');
});

t.test('minReady: the version is admitted by some, and the others get traffic only once they pass', async (t) => {
  const world = await withLive({ admission: { timeout: 30_000, minReady: 1 } });
  world.down.add('v2.test:2');
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.equal(world.phase('v2'), 'live');
  t.same(world.version('v2').trusted, ['v2.test:1']);
  world.down.clear();
  await world.probe('v2', RISE);
  t.same(world.version('v2').trusted, ['v2.test:1', 'v2.test:2']);
  t.same([...(world.trusted.get(world.version('v2').slot) ?? [])], ['v2.test:1', 'v2.test:2']);
});

t.test('backends that are not probed are healthy at once', async (t) => {
  const world = new SwapWorld({ health: { ...policy().health, kind: 'none' } });
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.settle();
  t.equal(world.phase('v2'), 'live');
  t.equal(world.phase('v1'), 'released');
});

t.test('a registered version waits on standby, and a later swap to it needs no admission', async (t) => {
  const world = await withLive();
  t.match(await world.driver.register(input('v2'), OPERATOR), { created: true, version: { phase: 'admitting' } });
  await world.probe('v2', RISE);
  t.equal(world.phase('v2'), 'standby');
  t.same(
    world.committed?.versions.map(({ id }) => id),
    ['v1', 'v2'],
    'it is published, so that its sockets are warmed',
  );
  t.match(await world.driver.register(input('v2'), OPERATOR), { created: false });
  await refused(t, 'version-exists', world.driver.register(input('v2', 3), OPERATOR));
  await world.driver.swap({ to: 'v2' }, 's1', OPERATOR);
  t.equal(world.phase('v2'), 'live');

  await world.driver.register(input('v3'), OPERATOR);
  await world.probe('v3', RISE);
  world.down.add('v3.test:1');
  await world.probe('v3', 3);
  await world.driver.swap({ to: 'v3' }, 's2', OPERATOR);
  t.equal(world.state.swap?.state, 'admitting', 'it has fallen ill on standby: it is probed again first');
  world.down.clear();
  await world.probe('v3');
  t.equal(world.phase('v3'), 'live', 'one fresh round is enough');
});

t.test('a canary takes its steps, each held from the moment it is published', async (t) => {
  const world = await withLive();
  world.publishDelay = 300;
  void world.driver.swap(to('v2', { canary: canary(5, 25) }), 's1', OPERATOR);
  await world.settle();
  await world.probe('v2', RISE);
  await world.advance(599);
  t.equal(world.committed?.split.length, 1);
  await world.advance(1);
  t.same(
    world.committed?.split,
    [
      { version: 'v2', weight: 5 },
      { version: 'v1', weight: 95 },
    ],
    'incoming first',
  );
  await world.advance(1_299);
  t.equal(world.committed?.split[0].weight, 5);
  await world.advance(1);
  t.equal(world.committed?.split[0].weight, 25);
  await world.advance(1_300);
  t.same(world.committed?.split, [{ version: 'v2', weight: 100 }]);
  t.same(steps(world), ['requested', 'admitted', 'weight 5', 'weight 25', 'live', 'draining', 'drained', 'released']);
});

t.test('an incoming version that falls ill in a canary is taken back by itself', async (t) => {
  const world = await withLive();
  await world.driver.swap(to('v2', { canary: [{ weight: 10, hold: null }] }), 's1', OPERATOR);
  await world.probe('v2', RISE);
  world.down.add('v2.test:1');
  await world.probe('v2', 3);
  t.equal(world.state.swap?.state, 'cutting-over', 'one backend is left');
  world.down.add('v2.test:2');
  await world.probe('v2', 3);
  t.match(world.state.swap, { state: 'rolled-back', reason: /no backend of v2 was healthy at weight 10/ });
  t.same(world.committed?.split, [{ version: 'v1', weight: 100 }]);
});

t.test('release waits for the last ack, and for nothing else', async (t) => {
  const world = await withLive();
  world.lateAcks = true;
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  world.ack(0);
  await world.advance(60_000);
  t.equal(world.phase('v1'), 'draining', 'thread 1 has not acked');
  world.request(1, 'tunnel');
  t.equal(world.requests[0].id, 'v1', 'and starts work on the old version');
  world.ack(1);
  await world.advance(5);
  t.equal(world.phase('v1'), 'draining', 'acked, but work in flight');
  world.finish(world.requests[0]);
  await world.advance(10);
  t.equal(world.phase('v1'), 'released');
  t.equal(world.violation, null);
});

t.test('the drain deadlines cut requests, then tunnels spread over ten seconds', async (t) => {
  const world = await withLive();
  for (const kind of ['http', 'stream', 'tunnel'] as const) world.request(0, kind);
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  await world.advance(29_999);
  t.same(world.cuts, []);
  await world.advance(1);
  t.same(world.cuts, [{ id: 'v1', kind: 'requests', spreadMs: 0 }]);
  await world.advance(259_999);
  t.equal(world.cuts.length, 1);
  await world.advance(1);
  t.same(world.cuts[1], { id: 'v1', kind: 'tunnels', spreadMs: 10_000 });
  await world.advance(10_010);
  t.match(receipt(world, 'v1'), { counts: { killed: 3 }, killedByKind: { http: 1, stream: 1, tunnel: 1 } });
  t.match(world.state.swap?.steps.find(({ name }) => name === 'drained')?.evidence, { version: 'v1', killed: 3 });
});

t.test('a kept version is released when its time is over', async (t) => {
  const world = await withLive();
  await world.driver.swap(to('v2', { keep: 5_000 }), 's1', OPERATOR);
  await world.probe('v2', RISE);
  t.equal(world.phase('v1'), 'drained');
  t.equal(world.state.swap?.state, 'done');
  await world.advance(4_999);
  t.equal(world.phase('v1'), 'drained');
  await world.advance(1);
  t.equal(world.phase('v1'), 'released');
  t.equal(receipt(world, 'v1').drainMs, 0);
  await refused(t, 'nothing-kept', world.driver.rollback(null, 's2', OPERATOR));
  await refused(t, 'nothing-kept', world.driver.rollback('v1', 's2', OPERATOR));
  await refused(t, 'no-such-version', world.driver.rollback('v9', 's2', OPERATOR));
});

t.test('a released id can be registered anew; the old entry stays', async (t) => {
  const world = await withLive();
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  await refused(t, 'no-such-version', world.driver.swap({ to: 'v1' }, 's2', OPERATOR));
  await world.driver.swap(to('v1'), 's3', OPERATOR);
  await world.probe('v1', RISE);
  t.equal(world.phase('v1'), 'live');
  t.same(
    world.state.history.map(({ version }) => version.id),
    ['v1', 'v2'],
  );
});

t.test('the history holds the last ten', async (t) => {
  const world = await withLive();
  for (let n = 2; n <= 13; n++) {
    await world.driver.swap(to(`v${n}`), `s${n}`, OPERATOR);
    await world.probe(`v${n}`, RISE);
  }
  t.same(
    world.state.history.map(({ version }) => version.id),
    ['v3', 'v4', 'v5', 'v6', 'v7', 'v8', 'v9', 'v10', 'v11', 'v12'],
  );
});

t.test('what cannot be recorded is not done', async (t) => {
  const world = await withLive();
  const before = world.state;
  world.recordFails = 1;
  await refused(t, 'internal', world.driver.swap(to('v2'), 's1', OPERATOR));
  t.equal(world.state, before);
  t.equal(world.probed.size, 1, 'no probe was begun');
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  world.recordFails = 1;
  await world.probe('v2', RISE);
  await world.advance(1_000);
  t.equal(world.phase('v2'), 'live', 'what the world reported is decided a little later');
});

t.test('what cannot be published is tried again', async (t) => {
  const world = await withLive();
  world.publishFails = 2;
  await refused(t, 'internal', world.driver.hold(true, OPERATOR));
  t.equal(world.state.held, true);
  t.equal(world.committed?.held, false);
  await world.advance(2_000);
  t.equal(world.committed?.held, true);
  t.ok(world.events.some(({ type }) => type === 'error'));
});

t.test('listeners hear of each change until they leave', async (t) => {
  const world = await withLive();
  const heard: number[] = [];
  const leave = world.driver.changed(({ revision }) => heard.push(revision));
  await world.driver.hold(true, OPERATOR);
  leave();
  await world.driver.hold(false, OPERATOR);
  t.equal(heard.length, 1);
  // What a full disk does to a history.
  world.driver.changed(() => {
    throw new Error('no space left');
  });
  await world.driver.hold(true, OPERATOR);
  t.equal(world.committed?.held, true, 'one that throws keeps nothing back');
  t.ok(world.events.some(({ type, data }) => type === 'error' && data.error === 'no space left'));
  await world.driver.close();
  await refused(t, 'internal', world.driver.hold(true, OPERATOR));
});
