import t from 'tap';
import { DEFAULT_ANALYSIS } from '../../src/pool/analysis.ts';
import { FALL, input, OPERATOR, RISE } from './fixtures.ts';
import { steps } from './upstream.ts';
import { SwapWorld } from './world.ts';

const CANARY = [{ weight: 20, hold: 1_000 }];

async function withLive(): Promise<SwapWorld> {
  const world = new SwapWorld();
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.probe('v1', RISE);
  return world;
}

async function killAndStart(world: SwapWorld, rebooted = false): Promise<void> {
  world.crash();
  await world.restart(rebooted);
}

t.test('killed while admitting: the old version is served at once, the admission begins anew with its whole time', async (t) => {
  const world = await withLive();
  await world.driver.swap({ to: 'v2', backends: input('v2').backends }, 's1', OPERATOR);
  await world.probe('v2');
  await world.advance(29_000);
  await killAndStart(world);
  t.same(world.committed?.split, [{ version: 'v1', weight: 100 }]);
  t.ok(world.request(), 'before any probe has ended');
  await world.probe('v2');
  await world.advance(29_999);
  t.match(world.state.swap, { id: 's1', state: 'admitting' }, 'the pass from before does not count');
  await world.probe('v2');
  t.equal(world.phase('v2'), 'live');
  t.equal(world.violation, null);
});

t.test('killed on standby: the version is probed afresh before the swap goes on', async (t) => {
  const world = await withLive();
  await world.driver.swap({ to: 'v2', backends: input('v2').backends, canary: CANARY }, 's1', OPERATOR);
  world.publishDelay = 100;
  await world.probe('v2', RISE);
  t.equal(world.state.swap?.state, 'standby');
  world.publishDelay = 0;
  await killAndStart(world);
  t.equal(world.state.swap?.state, 'admitting');
  t.same(world.committed?.split, [{ version: 'v1', weight: 100 }]);
  await world.probe('v2', RISE);
  t.equal(world.state.split[0].weight, 20);
});

t.test('killed in a canary: the recorded split is served, and its hold begins anew', async (t) => {
  const world = await withLive();
  await world.driver.swap({ to: 'v2', backends: input('v2').backends, canary: CANARY }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  await world.advance(900);
  await killAndStart(world);
  t.same(world.committed?.split, [
    { version: 'v2', weight: 20 },
    { version: 'v1', weight: 80 },
  ]);
  for (const point of [0, 0.5]) t.ok(world.request(0, 'http', point));
  t.same(
    world.requests.map(({ id }) => id),
    ['v2', 'v1'],
  );
  for (const id of ['v1', 'v2']) await world.probe(id, RISE);
  await world.advance(999);
  t.equal(world.state.split[0].weight, 20);
  await world.advance(1);
  t.equal(world.state.split[0].weight, 100);
});

/** None of its backends answers its probes; the next ones are answered again. */
async function fails(world: SwapWorld, id: string): Promise<void> {
  const addresses = world.version(id).backends.map(({ address }) => address);
  for (const address of addresses) world.down.add(address);
  await world.probe(id, FALL);
  for (const address of addresses) world.down.delete(address);
}

/** A canary of v2 at 20 %, in the middle of whose hold the machine is restarted; nothing of either version runs then. */
async function rebooted(more: Partial<Parameters<SwapWorld['driver']['swap']>[0]> = {}): Promise<SwapWorld> {
  const world = await withLive();
  await world.driver.swap({ to: 'v2', backends: input('v2').backends, canary: CANARY, ...more }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  await world.advance(900);
  await killAndStart(world, true);
  for (const id of ['v1', 'v2']) await fails(world, id);
  return world;
}

t.test('the machine is restarted in a canary: it waits for its version, and the step begins anew when that is back', async (t) => {
  const world = await rebooted({ analysis: { ...DEFAULT_ANALYSIS, minRequests: 1 } });
  t.match(world.state.swap, { state: 'cutting-over', at: 1 }, 'it is not blamed for being away');
  t.same(world.state.split[0], { version: 'v2', weight: 20 });
  t.match(world.driver.explain('v2')?.facts[0].fact, /the machine was restarted; v2 has another 30\.0 s to be healthy again/);
  world.samples.answered(world.version('v2').slot, 500, 500);
  await world.advance(20_000);
  t.match(world.state.swap, { state: 'cutting-over', window: null }, 'what it could not answer is not held against it, and its hold does not run');
  await world.probe('v2', RISE);
  t.equal(steps(world).at(-1), 'weight 20', 'nothing to compare it with');
  await world.probe('v1', RISE);
  t.equal(steps(world).at(-1), 'healthy again');
  world.samples.answered(world.version('v1').slot, 100);
  world.samples.answered(world.version('v2').slot, 100);
  await world.advance(999);
  t.equal(world.state.split[0].weight, 20);
  await world.advance(1);
  t.equal(world.state.split[0].weight, 100);
  t.equal(world.violation, null);
});

t.test('the machine is restarted in a canary whose version does not come back: rolled back, and the reason says so', async (t) => {
  const world = await rebooted({ admission: { timeout: 10_000 } });
  await world.probe('v1', RISE);
  await world.advance(9_999);
  t.equal(world.state.swap?.state, 'cutting-over');
  await killAndStart(world);
  await fails(world, 'v2');
  t.equal(world.state.swap?.state, 'cutting-over', 'a restart of the proxy does not give it away, nor longer');
  await world.advance(1);
  t.match(world.state.swap?.reason, /the machine was restarted, and no backend of v2 was healthy again within 10 s: .*unhealthy/);
  t.equal(world.phase('v2'), 'rejected');
  t.match(world.state.swap, { state: 'rolled-back' });
  t.same(world.state.split, [{ version: 'v1', weight: 100 }]);
});

t.test('without a restart of the machine a version that is down goes back at once', async (t) => {
  const world = await withLive();
  await world.driver.swap({ to: 'v2', backends: input('v2').backends, canary: CANARY }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  await killAndStart(world);
  await fails(world, 'v2');
  t.match(world.state.swap, { state: 'rolled-back', reason: /no backend of v2 was healthy at weight 20/ });
});

t.test('who promotes, pauses or aborts does so after a restart of the machine, too', async (t) => {
  const promoted = await rebooted();
  await promoted.driver.steer('promote', OPERATOR);
  t.equal(promoted.state.split[0].weight, 100);
  const aborted = await rebooted();
  await aborted.driver.steer('abort', OPERATOR);
  t.match(aborted.state.swap, { state: 'aborted' });
  const paused = await rebooted();
  await paused.driver.steer('pause', OPERATOR);
  for (const id of ['v1', 'v2']) await paused.probe(id, RISE);
  await paused.advance(60_000);
  t.match(paused.state.swap, { state: 'cutting-over', paused: true, recoverBy: null });
  await paused.driver.steer('resume', OPERATOR);
  await paused.advance(1_000);
  t.equal(paused.state.split[0].weight, 100);
});

t.test('killed at each call to the world: what was recorded is served, never a mixture, and the swap is done', async (t) => {
  let between = 0;
  let calls = 0;
  for (let survived = false; !survived; calls++) {
    const world = await withLive();
    await world.driver.swap({ to: 'v2', backends: input('v2').backends }, 's1', OPERATOR);
    await world.probe('v2');
    world.crashIn = calls;
    await world.probe('v2');
    survived = world.alive;
    if (survived) break;
    const recorded = world.disk.split;
    if (recorded[0].version === 'v2' && world.committed?.split[0].version === 'v1') between++;
    await world.restart();
    t.same(world.committed?.split, recorded, `killed at call ${calls}: ${recorded[0].version} is served`);
    await world.probe('v2', RISE);
    t.equal(world.state.swap?.state, 'done');
    t.equal(world.phase('v1'), 'released');
    t.equal(world.violation, null);
  }
  t.ok(calls > 15, `${calls} calls`);
  t.ok(between > 0, 'also between the record of the cutover and its publish');
});

t.test('killed while draining: nothing is in flight any more, and the receipt says since when it counts', async (t) => {
  const world = await withLive();
  world.request();
  await world.driver.swap({ to: 'v2', backends: input('v2').backends }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  await world.advance(5_000);
  t.equal(world.phase('v1'), 'draining');
  const restart = new Date(world.now).toISOString();
  world.lateAcks = true;
  await killAndStart(world);
  t.equal(world.phase('v1'), 'draining', 'the acks of the old process prove nothing');
  world.ack(0);
  world.ack(1);
  await world.settle();
  t.equal(world.phase('v1'), 'released');
  t.match(world.state.history.at(-1)?.receipt, { countedSince: restart, counts: { started: 0 } });
});

t.test('killed while going back: the split before is served, and the incoming version is rejected', async (t) => {
  const world = await withLive();
  await world.driver.swap({ to: 'v2', backends: input('v2').backends, canary: CANARY }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  world.request();
  await world.driver.steer('abort', OPERATOR);
  t.equal(world.state.swap?.state, 'rolling-back');
  await killAndStart(world);
  t.same(world.committed?.split, [{ version: 'v1', weight: 100 }]);
  t.equal(world.phase('v2'), 'rejected');
  t.equal(world.state.swap?.state, 'aborted');
});

t.test('a paused swap stays paused, and a kept version stays kept', async (t) => {
  const world = await withLive();
  await world.driver.swap({ to: 'v2', backends: input('v2').backends, keep: 60_000 }, 's1', OPERATOR);
  await world.probe('v2', RISE);
  await world.driver.swap({ to: 'v3', backends: input('v3').backends, canary: CANARY }, 's2', OPERATOR);
  await world.driver.steer('pause', OPERATOR);
  await world.probe('v3', RISE);
  await killAndStart(world);
  await world.advance(10_000);
  t.match(world.state.swap, { state: 'standby', paused: true });
  t.equal(world.phase('v1'), 'drained');
  await world.advance(50_000);
  t.equal(world.phase('v1'), 'released');
  t.equal(world.violation, null);
});

t.test('rows of the old ledger are void: each version gets new ones', async (t) => {
  const world = await withLive();
  const before = world.version('v1');
  await killAndStart(world);
  const after = world.version('v1');
  const rows = [after.slot, ...after.backends.map(({ slot }) => slot)];
  t.equal(new Set(rows).size, 3);
  t.notOk(rows.includes(before.slot));
  t.same(after.trusted, before.trusted);
});
