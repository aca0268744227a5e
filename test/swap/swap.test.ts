import t from 'tap';
import type { Test } from 'tap';
import { Refusal } from '../../src/errors/catalogue.ts';
import type { CanaryStep, Receipt } from '../../src/pool/upstream.ts';
import type { SwapRequest } from '../../src/swap/ports.ts';
import { input, OPERATOR, policy, RISE, SwapWorld } from './world.ts';

/** An upstream whose v1 is live. */
async function withLive(options: ConstructorParameters<typeof SwapWorld>[0] = {}): Promise<SwapWorld> {
  const world = new SwapWorld(options);
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.probe('v1', RISE);
  return world;
}

function to(id: string, more: Partial<SwapRequest> = {}): SwapRequest {
  return { to: id, backends: input(id).backends, ...more };
}

function canary(...weights: number[]): CanaryStep[] {
  return weights.map((weight) => ({ weight, hold: 1_000 }));
}

function steps(world: SwapWorld): string[] {
  return world.state.swap?.steps.map(({ name }) => name) ?? [];
}

function receipt(world: SwapWorld, id: string): Receipt {
  const found = world.state.history.findLast((past) => past.version.id === id)?.receipt;
  if (found == null) throw new Error(`${id} has no receipt`);
  return found;
}

async function refused(t: Test, code: string, asked: Promise<unknown>, facts: Record<string, unknown> = {}): Promise<Refusal> {
  const error: unknown = await asked.then(() => null, (why: unknown) => why);
  t.ok(error instanceof Refusal, `refused with ${code}`);
  const refusal = error as Refusal;
  t.equal(refusal.fault.code, code, refusal.message);
  t.match(refusal.facts, facts);
  return refusal;
}

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
    upstream: 'web', generation: 4, admitted: { healthy: 2, of: 2 }, counts: { started: 2, completed: 1, clientAborted: 1, upstreamFailed: 0, killed: 0 },
    peakInFlight: 2, drainMs: 1_334, acks: { 0: 4, 1: 4 },
  });
  t.same(world.events.map(({ type, version }) => `${type} ${version}`).slice(-7), [
    'registered v2', 'swap-started v2', 'admitted v2', 'live v2', 'draining v1', 'drained v1', 'released v1',
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
  t.same([...world.trusted.get(world.version('v2').slot) ?? []], ['v2.test:1', 'v2.test:2']);
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
  t.same(world.committed?.versions.map(({ id }) => id), ['v1', 'v2'], 'it is published, so that its sockets are warmed');
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
  t.same(world.committed?.split, [{ version: 'v2', weight: 5 }, { version: 'v1', weight: 95 }], 'incoming first');
  await world.advance(1_299);
  t.equal(world.committed?.split[0].weight, 5);
  await world.advance(1);
  t.equal(world.committed?.split[0].weight, 25);
  await world.advance(1_300);
  t.same(world.committed?.split, [{ version: 'v2', weight: 100 }]);
  t.same(steps(world), ['requested', 'admitted', 'weight 5', 'weight 25', 'live', 'draining', 'drained', 'released']);
});

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

t.test('a released id can be registered anew; the old entry stays', async (t) => {
  const world = await withLive();
  await world.driver.swap(to('v2'), 's1', OPERATOR);
  await world.probe('v2', RISE);
  await refused(t, 'no-such-version', world.driver.swap({ to: 'v1' }, 's2', OPERATOR));
  await world.driver.swap(to('v1'), 's3', OPERATOR);
  await world.probe('v1', RISE);
  t.equal(world.phase('v1'), 'live');
  t.same(world.state.history.map(({ version }) => version.id), ['v1', 'v2']);
});

t.test('the history holds the last ten', async (t) => {
  const world = await withLive();
  for (let n = 2; n <= 13; n++) {
    await world.driver.swap(to(`v${n}`), `s${n}`, OPERATOR);
    await world.probe(`v${n}`, RISE);
  }
  t.same(world.state.history.map(({ version }) => version.id), ['v3', 'v4', 'v5', 'v6', 'v7', 'v8', 'v9', 'v10', 'v11', 'v12']);
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
  t.same(world.committed?.split, [{ version: 'v2', weight: 10 }, { version: 'v1', weight: 90 }], 'newest first');

  await world.driver.swap(to('v3', { canary: canary(50) }), 's1', OPERATOR);
  await world.probe('v3', RISE);
  t.same(world.committed?.split, [{ version: 'v3', weight: 50 }, { version: 'v2', weight: 5 }, { version: 'v1', weight: 45 }]);
  await world.driver.steer('abort', OPERATOR);
  await world.settle();
  t.same(world.state.split, [{ version: 'v2', weight: 10 }, { version: 'v1', weight: 90 }]);
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
    [{ to: 'v2', backends: [{ address: 'a:1', weight: 1 }, { address: 'a:1', weight: 1 }] }, /named twice/],
    [{ to: 'a b', backends: input('v2').backends }, /^id/],
    [to('v2', { canary: [{ weight: 100, hold: 0 }] }), /^canary\[0\]\.weight/],
    [to('v2', { canary: canary(25, 5) }), /^canary\[1\]\.weight/],
    [to('v2', { keep: -1 }), /^rollback\.keep/],
  ];
  for (const [request, message] of cases) t.match((await refused(t, 'invalid', world.driver.swap(request, 's1', OPERATOR))).message, message);
  world.freeRows = 2;
  await refused(t, 'slots-exhausted', world.driver.swap(to('v2'), 's1', OPERATOR));
  t.same(world.state.versions.map(({ id }) => id), ['v1']);
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
  await world.driver.close();
  await refused(t, 'internal', world.driver.hold(true, OPERATOR));
});
