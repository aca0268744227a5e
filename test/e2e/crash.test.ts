import t from 'tap';
import type { Test } from 'tap';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { Events } from '../helpers/events.ts';
import { field } from '../helpers/message.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';

interface World {
  readonly t: Test;
  readonly proxy: Proxy;
  readonly backends: Backends;
  readonly v2: readonly string[];
}

async function start(t: Test): Promise<World> {
  const backends = await Backends.start(t);
  const v1 = await backends.listen('v1');
  const proxy = await Proxy.start(t, {
    upstreams: { web: { routes: [{}], health: { interval: '200ms', admitInterval: '30ms' }, sticky: { header: 'x-key' }, versions: { v1: { backends: v1 } } } },
  });
  return { t, proxy, backends, v2: await backends.listen('v2') };
}

async function web(proxy: Proxy): Promise<UpstreamView> {
  return (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
}

async function swap({ proxy, v2 }: World, more: Record<string, unknown> = {}): Promise<SwapView> {
  const { json, status, text } = await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: v2, ...more } });
  if (status !== 202) throw new Error(text);
  return json as SwapView;
}

/** The version that answers each of 60 different clients. */
async function byClient({ t, proxy }: World): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => proxy.send({ fields: [['x-key', `client-${i}`]] })));
  t.ok(
    answers.every(({ status }) => status === 200),
    'everybody is served',
  );
  return answers.map((answer) => field(answer, 'x-version') ?? '');
}

/** The versions that answer anybody. */
async function answering(world: World): Promise<string[]> {
  return [...new Set(await byClient(world))].toSorted();
}

async function ended({ proxy }: World): Promise<SwapView> {
  return eventually('the end of the swap', async () => {
    const { swap: last } = await web(proxy);
    return last?.finished === true ? last : null;
  });
}

async function crash({ proxy }: World): Promise<void> {
  await proxy.kill();
  await proxy.restart();
}

/** Requests that stay at the backends of a version; they are lost with the proxy. */
async function hold({ proxy, backends }: World, version: string): Promise<void> {
  void proxy.send({ target: '/hold' }, 60_000).catch(() => undefined);
  await eventually('the request', async () => (await backends.record(version)).held === 1);
}

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

t.test('killed just after "live": the new version serves, the old one is let go', async (t) => {
  const world = await start(t);
  const events = await Events.of(t, world.proxy.adminUrl);
  await swap(world);
  await events.wait('live', 'v2');
  await crash(world);
  t.strictSame(await answering(world), ['v2']);
  t.match(await ended(world), { state: 'done' });
  const receipt = (await world.proxy.admin('/v1/upstreams/web/versions/v1/receipt')).json;
  t.match(receipt, { version: 'v1', counts: { killed: 0 } });
});

t.test('killed while draining: what was in flight died with it, and the release is by new acks', async (t) => {
  const world = await start(t);
  await hold(world, 'v1');
  const events = await Events.of(t, world.proxy.adminUrl);
  await swap(world);
  await events.wait('draining', 'v1');
  const started = Date.now();
  await crash(world);
  t.strictSame(await answering(world), ['v2']);
  t.match(await ended(world), { state: 'done' });
  const receipt = (await world.proxy.admin('/v1/upstreams/web/versions/v1/receipt')).json as {
    countedSince: string;
    generation: number;
    acks: Record<string, number>;
  };
  t.ok(Date.parse(receipt.countedSince) >= started, 'the receipt says that it counts from the restart only');
  t.ok(Object.values(receipt.acks).every((ack) => ack >= receipt.generation));
});

t.test('killed while a version is kept: it still is, and a rollback goes there', async (t) => {
  const world = await start(t);
  const events = await Events.of(t, world.proxy.adminUrl);
  await swap(world, { rollback: { keep: '10m' } });
  await events.wait('drained', 'v1');
  await ended(world);
  await crash(world);
  t.strictSame(await answering(world), ['v2']);
  t.match(
    (await web(world.proxy)).versions.find(({ id }) => id === 'v1'),
    { phase: 'drained', keepUntil: String },
  );
  t.equal((await world.proxy.cli(['rollback', 'web', '--until', 'live'])).code, 0);
  t.strictSame(await answering(world), ['v1']);
});

t.test('killed while going back: the old version has it all, the new one is rejected', async (t) => {
  const world = await start(t);
  const events = await Events.of(t, world.proxy.adminUrl);
  await swap(world, { strategy: { canary: [{ weight: 99, hold: null }] } });
  await events.wait('step', 'v2');
  for (let i = 0; (await world.backends.record('v2')).held === 0; i++) {
    void world.proxy.send({ target: '/hold', fields: [['x-key', `held-${i}`]] }, 60_000).catch(() => undefined);
    await eventually('the request', async () => (await world.backends.record('v2')).held + (await world.backends.record('v1')).held > i);
  }
  t.equal((await world.proxy.admin('/v1/upstreams/web/swap/abort', { method: 'POST' })).status, 200);
  t.match((await web(world.proxy)).swap, { state: 'rolling-back' });
  await crash(world);
  t.strictSame(await answering(world), ['v1']);
  t.match(await ended(world), { state: 'aborted' });
  t.match((await world.proxy.admin('/v1/upstreams/web/versions/v2')).json, { phase: 'rejected' });
});

t.test('killed while held: the requests of the next life wait at the door, too', async (t) => {
  const world = await start(t);
  t.equal((await world.proxy.cli(['hold', 'web'])).code, 0);
  await crash(world);
  const waiting = world.proxy.send();
  await eventually('it waits', async () => (await web(world.proxy)).waiting === 1);
  t.equal((await world.proxy.cli(['unhold', 'web'])).code, 0);
  t.equal((await waiting).status, 200);
});
