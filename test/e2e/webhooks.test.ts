import t from 'tap';
import type { Test } from 'tap';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WebhookView } from '../../src/webhooks/webhooks.ts';
import { Backends } from '../helpers/backends.ts';
import { Events } from '../helpers/events.ts';
import { Proxy } from '../helpers/proxy.ts';
import { Receiver } from '../helpers/receiver.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

const HEALTH = { interval: '100ms', admitInterval: '30ms' };
/** An answer that is given is never too late, on however busy a machine. */
const QUICK = { timeout: '60s', backoff: { base: '20ms', max: '200ms' } };

interface World {
  readonly proxy: Proxy;
  readonly backends: Backends;
  readonly receiver: Receiver;
}

async function start(t: Test, webhook: Record<string, unknown> = {}): Promise<World> {
  const receiver = await Receiver.start(t);
  const backends = await Backends.start(t);
  const web = { routes: [{}], health: HEALTH, versions: { v1: { backends: await backends.listen('v1') } } };
  const webhooks = [{ name: 'ci', url: receiver.url, secret: receiver.secret, ...QUICK, ...webhook }];
  return { receiver, backends, proxy: await Proxy.start(t, { webhooks, upstreams: { web } }) };
}

async function swap({ proxy, backends }: World, to: string, ...more: readonly string[]): Promise<number | null> {
  const args = (await backends.listen(to)).flatMap((address) => ['--backend', address]);
  return (await verb(proxy, 'swap', 'web', '--to', to, ...args, ...more)).code;
}

async function view({ proxy }: World): Promise<WebhookView> {
  return ((await proxy.admin('/v1/webhooks')).json as WebhookView[])[0];
}

/** All that is told of the seed is taken, and will not be told again. */
async function seeded(world: World): Promise<void> {
  await world.receiver.wait('the seed', ({ taken }) => taken.some(({ event }) => event.type === 'live' && event.version === 'v1'));
  await eventually('nothing to wait', async () => (await view(world)).pending === 0);
}

const SWAP = ['admitted', 'step', 'live', 'drained', 'released'];

t.test('a swap is told step by step, signed, in order, through answers of 500 and redirects', async (t) => {
  const world = await start(t);
  const { receiver, proxy } = world;
  await seeded(world);
  const tried = new Map<string, number>();
  receiver.answer = ({ id }) => {
    const before = tried.get(id) ?? 0;
    tried.set(id, before + 1);
    return ([500, 302] as const)[before] ?? 204;
  };
  t.equal(await swap(world, 'v2', '--canary', '10', '--hold', '50ms'), 0);
  await receiver.wait('all of it', () => receiver.types().includes('released'), 30_000);
  const swapped = receiver.taken.filter(({ id }) => tried.has(id));
  t.strictSame(
    swapped.map(({ event }) => event.type).filter((type, i, all) => type !== all[i - 1]),
    SWAP,
  );
  const ids = receiver.all.filter(({ id }) => tried.has(id)).map(({ id }) => id);
  t.strictSame(
    ids,
    [...tried].flatMap(([id, times]) => Array.from({ length: times }, () => id)),
    'none is sent before the one before it was taken',
  );
  for (const received of receiver.all) t.equal(receiver.isSigned(received), true, received.body);
  for (const { id, event } of swapped) t.equal(tried.get(id), 3, `${event.type} was sent until it was taken, and not again`);
  const last = swapped.at(-1)!;
  t.match(last.event, { id: last.id, type: 'released', upstream: 'web', version: 'v1' });
  t.match(last.headers, { 'content-type': 'application/json', 'user-agent': 'switchyard' });
  await eventually('nothing to wait', async () => (await view(world)).pending === 0);
  t.match(await view(world), { name: 'ci', url: `http://127.0.0.1:${receiver.port}/…`, pending: 0, givenUp: 0, lastError: String });
  const shown = (await proxy.admin('/v1/webhooks')).text + (await verb(proxy, 'webhooks')).stdout + proxy.output;
  t.notMatch(shown, /the-secret-of|not-to-be-shown/);
  const metrics = (await proxy.admin('/metrics')).text;
  t.match(metrics, /switchyard_webhook_deliveries_total\{webhook="ci",outcome="failed"\} [1-9]/);
  t.match(metrics, /switchyard_webhook_pending\{webhook="ci"\} 0/);
});

t.test('a receiver that is silent is told again after the timeout, and what comes next waits for that', async (t) => {
  const world = await start(t, { timeout: '1s' });
  const { receiver } = world;
  receiver.answer = ({ id, type, version }) => (type === 'live' && version === 'v2' && !receiver.brokenOff.includes(id) ? 'hang' : 204);
  t.equal(await swap(world, 'v2'), 0);
  await receiver.wait('all of it', () => receiver.types().includes('released'), 60_000);
  t.strictSame(receiver.types(), ['admitted', 'live', 'admitted', 'live', 'drained', 'released'], 'of the seed, then of the swap');
  const { id } = receiver.taken.find(({ event }) => event.type === 'live' && event.version === 'v2')!;
  t.ok(receiver.brokenOff.includes(id), 'the silence was broken off');
});

t.test('killed at any moment of a swap, with the receiver away: every event arrives, in order, once it is back', async (t) => {
  // However long it is away.
  const world = await start(t, { attempts: 10_000 });
  const { receiver, proxy } = world;
  await seeded(world);
  await receiver.close();
  for (const [i, pause] of [20, 120, 250].entries()) {
    const backends = await world.backends.listen(`k${i}`);
    const to = `k${i}`;
    t.equal((await proxy.admin('/v1/upstreams/web/swap', { body: { to, backends, strategy: { canary: [{ weight: 50, hold: '60ms' }] } } })).status, 202);
    await new Promise((resolve) => setTimeout(resolve, pause));
    await proxy.kill();
    await proxy.restart();
    await eventually('the end of the swap', async () => {
      const { json } = await proxy.admin('/v1/upstreams/web/swap');
      return (json as { to: string; finished: boolean }).finished;
    });
  }
  await receiver.open();
  await receiver.wait('the last release', () => receiver.types().filter((type) => type === 'released').length === 3, 30_000);
  const types = receiver.taken.filter(({ event }) => event.version?.startsWith('k') === true || event.type === 'released' || event.type === 'drained');
  for (const i of [0, 1, 2]) {
    const own = types.filter(({ event }) => event.version === `k${i}`).map(({ event }) => event.type);
    for (const type of ['admitted', 'live']) t.ok(own.includes(type), `k${i}: ${own.join(' ')}`);
    if (i < 2) t.strictSame(own.slice(-2), ['drained', 'released']);
    t.ok(own.indexOf('admitted') < own.indexOf('live'));
  }
  const order = receiver.taken.map(({ event }) => event.at);
  t.strictSame(order, order.toSorted(), 'in the order in which it happened');
  for (const received of receiver.all) t.equal(receiver.isSigned(received), true);
});

t.test('killed after a decision was recorded and before it was told: it is told at the next start', async (t) => {
  const world = await start(t);
  const { receiver, proxy } = world;
  await seeded(world);
  await receiver.close();
  t.equal(await swap(world, 'v2'), 0);
  await proxy.kill();
  // The outbox as it was before the last event was put in.
  const file = join(proxy.stateDir, 'webhooks', 'ci.jsonl');
  t.equal((await stat(file)).mode & 0o777, 0o600);
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  // What comes after it are attempts that have failed.
  const last = lines.findLastIndex((line) => line.includes('"put"') && line.includes('\\"type\\":\\"released\\"'));
  t.ok(last > 0);
  await writeFile(file, `${lines.slice(0, last).join('\n')}\n${lines[last].slice(0, 40)}`);
  await receiver.open();
  await proxy.restart();
  await receiver.wait('the release', () => receiver.types().includes('released'));
  t.equal(receiver.types().filter((type) => type === 'released').length, 1);
  await eventually('nothing to wait', async () => (await view(world)).pending === 0);
  await proxy.stop();
  await proxy.restart();
  t.equal((await view(world)).pending, 0);
  // In order: what was sent once more would come before what happens now.
  t.equal(await swap(world, 'v3'), 0);
  await receiver.wait('the next release', () => receiver.types().filter((type) => type === 'released').length === 2);
  const ids = receiver.all.map(({ id }) => id);
  t.equal(new Set(ids).size, ids.length, 'and not again');
});

t.test('attempts of before a kill -9 count: an event is not tried more often than it may be, and has its age in the metrics', async (t) => {
  // Two attempts are seen, and the proxy is killed, long before the last one.
  const world = await start(t, { attempts: 4, events: ['live'], backoff: { base: '1s', max: '1m' } });
  const { receiver, proxy } = world;
  await seeded(world);
  receiver.answer = () => 503;
  const backends = await world.backends.listen('v2');
  t.equal((await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends } })).status, 202);
  await eventually('two attempts', async () => (await view(world)).failedAttempts >= 2, 20_000);
  const age = /switchyard_webhook_oldest_pending_seconds\{webhook="ci"\} (\S+)/.exec((await proxy.admin('/metrics')).text)?.[1];
  t.ok(Number(age) > 0, `${age} s`);
  await proxy.kill();
  await proxy.restart();
  await eventually('it to be given up', async () => (await view(world)).dead === 1, 20_000);
  const tried = receiver.all.filter(({ event }) => event.version === 'v2').length;
  // The one that the kill has met was not counted.
  t.ok(tried === 4 || tried === 5, `${tried} attempts`);
  t.match(proxy.output, /is given up: the receiver answered 503, after 4 attempts/);
  t.match((await proxy.admin('/metrics')).text, /switchyard_webhook_oldest_pending_seconds\{webhook="ci"\} 0\n/);
});

t.test('a receiver that names a time is not asked before it, unless somebody wants it at once', async (t) => {
  const world = await start(t);
  const { receiver, proxy } = world;
  await seeded(world);
  Object.assign(receiver, { answer: () => 503, retryAfter: 1_200 });
  t.equal(await swap(world, 'v2'), 0);
  const { nextAttemptAt, lastErrorAt } = await eventually('a failure', async () => {
    const now = await view(world);
    return now.nextAttemptAt === null ? null : now;
  });
  const pause = Date.parse(nextAttemptAt ?? '') - Date.parse(lastErrorAt ?? '');
  // The time of the attempt, and the wait from then on, are taken one after the other.
  t.ok(pause >= 1_199_000 && pause <= 1_260_000, `${pause} ms`);
  receiver.answer = () => 204;
  t.equal((await verb(proxy, 'webhooks', '--redeliver', 'ci')).code, 0);
  await receiver.wait('all of it', () => receiver.types().includes('released'));
});

t.test('what nobody takes is given up and counted, and can be sent once more; only what is asked for is told', async (t) => {
  const world = await start(t, { attempts: 2, events: ['live', 'released', 'config'], upstreams: ['web'] });
  const { receiver, proxy } = world;
  await seeded(world);
  const events = await Events.of(t, proxy.adminUrl);
  const api = { routes: [{ path: '/api' }], health: HEALTH, versions: { a1: { backends: await world.backends.listen('a1') } } };
  t.equal((await proxy.admin('/v1/upstreams/api', { method: 'PUT', body: api })).status, 201);
  await events.wait('live', 'a1');
  receiver.answer = () => 503;
  t.equal(await swap(world, 'v2'), 0);
  await eventually('the dead', async () => (await view(world)).dead === 2, 20_000);
  const { dead } = await view(world);
  t.match(proxy.output, /warn webhook ci: delivery evt_\S+ is given up: the receiver answered 503, after 2 attempts/);
  t.match((await proxy.admin('/metrics')).text, new RegExp(`switchyard_webhook_deliveries_total\\{webhook="ci",outcome="dead"\\} ${dead}`));
  t.match((await verb(proxy, 'webhooks')).stdout, /given up; send them once more with: switchyard webhooks --redeliver ci/);
  receiver.answer = () => 200;
  const again = await verb(proxy, 'webhooks', '--redeliver', 'ci');
  t.equal(again.code, 0, again.stderr);
  await receiver.wait('what was given up', () => receiver.taken.length === dead + 1);
  t.strictSame([...new Set(receiver.types())].sort(), ['live', 'released']);
  t.ok(
    receiver.all.every(({ event }) => event.upstream === 'web'),
    'nothing of another upstream, nor of none',
  );
  t.equal((await verb(proxy, 'webhooks', '--redeliver', 'cd')).code, 2);
  await proxy.editConfig((config) => ({ ...config, webhooks: [] }));
  await eventually('none', async () => ((await proxy.admin('/v1/webhooks')).json as unknown[]).length === 0);
});
