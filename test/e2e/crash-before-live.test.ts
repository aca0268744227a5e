import t from 'tap';
import { Events } from '../helpers/events.ts';
import { eventually } from '../helpers/wait.ts';
import { answering, byClient, crash, ended, start, swap, web } from './crash-world.ts';
import { verb } from './verb.ts';

t.test('killed while admitting: the old version serves, and the swap goes on by itself', async (t) => {
  const world = await start(t);
  await world.backends.health('v2', 'fail');
  await swap(world);
  await eventually('probes', async () => ((await web(world.proxy)).versions[1]?.backends[0].probes.length ?? 0) > 0);
  await crash(world);
  t.strictSame(await answering(world), ['v1'], 'nothing moved');
  t.match((await web(world.proxy)).swap, { state: 'admitting', to: 'v2' });
  await world.backends.health('v2', 'ok');
  t.match(await ended(world), { state: 'done', to: 'v2' });
  t.strictSame(await answering(world), ['v2']);
  t.match((await world.proxy.admin('/v1/upstreams/web/versions/v1/receipt')).status, 200);
});

t.test('killed while admitting a version that stays unhealthy: rejected at its deadline', async (t) => {
  const world = await start(t);
  await world.backends.health('v2', 'fail');
  await swap(world, { admission: { timeout: '700ms' } });
  await crash(world);
  t.match(await ended(world), { state: 'rejected' });
  t.strictSame(await answering(world), ['v1']);
});

t.test('killed at a canary step: both versions serve as they did, and the swap can be promoted or aborted', async (t) => {
  const world = await start(t);
  const events = await Events.of(t, world.proxy.adminUrl);
  const running = await swap(world, { strategy: { canary: [{ weight: 40, hold: null }] } });
  await events.wait('step', 'v2');
  const before = await byClient(world);
  t.equal(new Set(before).size, 2);
  await crash(world);
  t.strictSame((await web(world.proxy)).split, { v2: 40, v1: 60 });
  t.strictSame(await byClient(world), before, 'each client stays where it was');
  t.match((await web(world.proxy)).swap, { id: running.id, state: 'cutting-over', weight: 40 });
  t.equal((await world.proxy.admin('/v1/upstreams/web/swap/promote', { method: 'POST' })).status, 200);
  t.match(await ended(world), { id: running.id, state: 'done' });
  t.strictSame(await answering(world), ['v2']);
});

t.test('killed at a canary step whose version is gone afterwards: it goes back by itself', async (t) => {
  const world = await start(t);
  const events = await Events.of(t, world.proxy.adminUrl);
  await swap(world, { strategy: { canary: [{ weight: 40, hold: '1h' }] } });
  await events.wait('step', 'v2');
  await world.proxy.kill();
  await world.backends.close('v2');
  await world.proxy.restart();
  t.match(await ended(world), { state: 'rolled-back' });
  t.strictSame(await answering(world), ['v1']);
  t.strictSame((await web(world.proxy)).split, { v1: 100 });
});

t.test('killed while held: the requests of the next life wait at the door, too', async (t) => {
  const world = await start(t);
  t.equal((await verb(world.proxy, 'hold', 'web')).code, 0);
  await crash(world);
  const waiting = world.proxy.send();
  await eventually('it waits', async () => (await web(world.proxy)).waiting === 1);
  t.equal((await verb(world.proxy, 'unhold', 'web')).code, 0);
  t.equal((await waiting).status, 200);
});
