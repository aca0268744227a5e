import t from 'tap';
import { Events } from '../helpers/events.ts';
import { eventually } from '../helpers/wait.ts';
import { answering, crash, ended, hold, start, swap, web } from './crash-world.ts';
import { verb } from './verb.ts';

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
  t.equal((await verb(world.proxy, 'rollback', 'web', '--until', 'live')).code, 0);
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
