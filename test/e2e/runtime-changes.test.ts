import t from 'tap';
import type { Test } from 'tap';
import type { UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { field } from '../helpers/message.ts';
import { Proxy } from '../helpers/proxy.ts';
import type { AdminAnswer } from '../helpers/proxy.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

const HEALTH = { interval: '100ms', admitInterval: '30ms' };

interface World {
  readonly proxy: Proxy;
  readonly backends: Backends;
  readonly v1: readonly string[];
}

async function start(t: Test, more: Record<string, unknown> = {}): Promise<World> {
  const backends = await Backends.start(t);
  const v1 = await backends.listen('v1');
  const proxy = await Proxy.start(t, { upstreams: { web: { routes: [{}], health: HEALTH, versions: { v1: { backends: v1 } }, ...more } } });
  return { proxy, backends, v1 };
}

async function put({ proxy }: World, name: string, body: Record<string, unknown>, headers: Record<string, string> = {}): Promise<AdminAnswer> {
  return proxy.admin(`/v1/upstreams/${name}`, { method: 'PUT', body: { health: HEALTH, ...body }, headers });
}

async function view({ proxy }: World, name: string): Promise<UpstreamView> {
  return (await proxy.admin(`/v1/upstreams/${name}`)).json as UpstreamView;
}

async function answeredBy({ proxy }: World, target: string): Promise<string | number> {
  const answer = await proxy.send({ target });
  return answer.status === 200 ? (field(answer, 'x-version') ?? '') : answer.status;
}

async function isServed(world: World, name: string, target: string, version: string): Promise<void> {
  await eventually(`${name} to serve ${version}`, async () => (await answeredBy(world, target)) === version);
}

t.test('the split can be set by hand, among versions that are admitted', async (t) => {
  const world = await start(t, { sticky: { header: 'x-key' } });
  const { proxy, backends } = world;
  const traffic = new Traffic({ port: proxy.port, clients: 8 });
  const split = (body: Record<string, number>): Promise<AdminAnswer> => proxy.admin('/v1/upstreams/web/split', { method: 'PUT', body });
  await proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v2', backends: await backends.listen('v2', 2, { health: 'fail' }) } });
  t.equal((await split({ v1: 50, v2: 50 })).status, 409, 'not one that is admitting');
  await backends.health('v2', 'ok');
  await proxy.admin('/v1/upstreams/web/versions/v2?wait=admitted&timeout=20s', { deadline: 30_000 });
  t.match((await split({ v1: 50, v2: 49 })).json, { code: 'invalid', detail: /expected percents that sum to 100, got/ });
  t.equal((await split({ v1: 50, v3: 50 })).status, 404);
  const set = await split({ v1: 75, v2: 25 });
  t.strictSame((set.json as UpstreamView).split, { v2: 25, v1: 75 });
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => proxy.send({ fields: [['x-key', `${i}`]] })));
  const share = answers.filter((answer) => field(answer, 'x-version') === 'v2').length;
  t.ok(share > 25 && share < 75, `${share} of 200 clients are with v2 at 25 %`);
  t.equal((await split({ v2: 100 })).status, 200);
  t.equal((await verb(proxy, 'wait', 'web', 'v1', '--for', 'released')).code, 0);
  await traffic.stop();
  t.strictSame(traffic.failed, []);
});

t.test('upstreams come, change and go while others serve', async (t) => {
  const world = await start(t);
  const { proxy, backends } = world;
  const traffic = new Traffic({ port: proxy.port, clients: 8 });
  const api = { routes: [{ path: '/api' }], versions: { a1: { backends: await backends.listen('a1') } } };
  t.equal(await answeredBy(world, '/api/x'), 'v1');
  const created = await put(world, 'api', api);
  t.equal(created.status, 201, created.text);
  await isServed(world, 'api', '/api/x', 'a1');
  t.equal(await answeredBy(world, '/apis'), 'v1', 'on segment boundaries only');
  const { revision } = await view(world, 'api');
  const stale = await put(world, 'api', { ...api, routes: [{ path: '/v2/api' }] }, { 'if-match': `"${revision + 5}"` });
  t.match(stale, { status: 412 });
  t.equal(await answeredBy(world, '/api/x'), 'a1');
  t.equal((await put(world, 'api', { ...api, routes: [{ path: '/v2/api' }] }, { 'if-match': `"${revision}"` })).status, 200);
  t.equal(await answeredBy(world, '/api/x'), 'v1');
  t.equal(await answeredBy(world, '/v2/api'), 'a1');
  const taken = await put(world, 'other', { routes: [{ path: '/v2/api' }], versions: {} });
  t.match(taken, { status: 400, json: { code: 'invalid', errors: [{ message: /upstream 'api' has/ }] } });
  await traffic.stop();
  t.strictSame(traffic.failed, [], 'web was not disturbed');
  await proxy.stop();
  await proxy.restart();
  t.equal(await answeredBy(world, '/v2/api'), 'a1', 'what was declared is known after a restart');
  t.equal((await proxy.admin('/v1/upstreams/api', { method: 'DELETE' })).status, 204);
  t.equal(await answeredBy(world, '/v2/api'), 'v1');
  t.equal((await proxy.admin('/v1/upstreams/api')).status, 404);
});

t.test('an upstream that is removed lets its requests finish, and can be declared anew meanwhile', async (t) => {
  const world = await start(t);
  const { proxy, backends } = world;
  const api = { routes: [{ path: '/hold' }, { path: '/api' }], versions: { a1: { backends: await backends.listen('a1', 1) } } };
  await put(world, 'api', api);
  await isServed(world, 'api', '/api', 'a1');
  const slow = proxy.send({ target: '/hold' }, 60_000);
  await eventually('the request', async () => (await backends.record('a1')).held === 1);
  t.equal((await proxy.admin('/v1/upstreams/api', { method: 'DELETE' })).status, 204);
  t.equal((await put(world, 'api', api)).status, 201);
  await isServed(world, 'api', '/api', 'a1');
  await backends.letGo('a1');
  t.equal((await slow).status, 200);
  await eventually('the end of the old one', async () => (await backends.record('a1')).held === 0);
  await backends.health('a1', 'fail');
  await eventually('the new one to be probed still', async () => (await view(world, 'api')).versions[0].backends[0].health === 'unhealthy');
  await backends.health('a1', 'ok');
  await eventually('and again', async () => (await view(world, 'api')).versions[0].backends[0].health === 'healthy');
  t.equal(await answeredBy(world, '/api'), 'a1');
});

t.test('who waits for a version of an upstream that is removed is told so', async (t) => {
  const world = await start(t);
  await put(world, 'api', { routes: [{ path: '/api' }], versions: { a1: { backends: await world.backends.listen('a1', 1, { health: 'fail' }) } } });
  // Longer than we wait for the answer: it has to come for another reason.
  const waiting = world.proxy.admin('/v1/upstreams/api/versions/a1?wait=live&timeout=10m', { deadline: 30_000 });
  t.equal((await world.proxy.admin('/v1/upstreams/api', { method: 'DELETE' })).status, 204);
  t.match(await waiting, { status: 404, json: { code: 'no-such-upstream' } });
  t.notMatch(world.proxy.output, /error/, world.proxy.output);
});

t.test('one backend can be taken out by hand', async (t) => {
  const world = await start(t);
  const { proxy, backends, v1 } = world;
  const traffic = new Traffic({ port: proxy.port, clients: 8, slow: 0 });
  await eventually('both in use', async () => Object.keys((await backends.record('v1')).byPort).length === 2);
  t.equal((await verb(proxy, 'drain', 'web', v1[0])).code, 0);
  const port = Number(v1[0].split(':')[1]);
  const before = (await backends.record('v1')).byPort[port];
  const seen = traffic.taken.length + 100;
  await eventually('traffic', () => traffic.taken.length > seen);
  await traffic.stop();
  t.strictSame(traffic.failed, []);
  t.ok((await backends.record('v1')).byPort[port] - before <= 8, 'at most what was on its way');
  const shown = async (): Promise<unknown> => (await view(world, 'web')).versions[0].backends.find(({ address }) => address === v1[0]);
  await eventually('nothing is in flight', async () => ((await shown()) as { inFlight: number }).inFlight === 0);
  t.match(await shown(), { available: false, health: 'healthy' });
  t.equal((await verb(proxy, 'drain', 'web', '127.0.0.1:1')).code, 2);
});

t.test('requests wait at the door while an upstream is held, and past the queue they are told to come back', async (t) => {
  const world = await start(t, { hold: { queue: 10, timeout: '60s' } });
  const { proxy, backends } = world;
  t.equal((await verb(proxy, 'hold', 'web')).code, 0);
  const { begun } = await backends.record('v1');
  let answered = 0;
  const all = Array.from({ length: 30 }, () => proxy.send().finally(() => answered++));
  const refused = await Promise.race(all);
  t.equal(refused.status, 503);
  t.match(refused.head, /\r\nRetry-After: \d+\r\n/i);
  t.equal((await backends.record('v1')).begun, begun, 'nothing passes');
  t.match((await verb(proxy, 'status', 'web')).stdout, /held/);
  // Who comes after the unhold is served at once, and would count as one who waited.
  await eventually('each is answered or waits', async () => answered + (await view(world, 'web')).waiting === all.length);
  t.equal((await verb(proxy, 'unhold', 'web')).code, 0);
  const statuses = (await Promise.all(all)).map(({ status }) => status);
  const waited = statuses.filter((status) => status === 200).length;
  t.ok(waited >= 1 && waited <= 10, `${waited} waited`);
  t.equal(statuses.filter((status) => status === 503).length, 30 - waited);
});

t.test('a swap while the upstream is held: who waited is served by the new version', async (t) => {
  const world = await start(t);
  const { proxy, backends } = world;
  await verb(proxy, 'hold', 'web');
  const waiting = Array.from({ length: 5 }, () => proxy.send());
  await eventually('all at the door', async () => (await view(world, 'web')).waiting === 5);
  const backendArgs = (await backends.listen('v2')).flatMap((address) => ['--backend', address]);
  t.equal((await verb(proxy, 'swap', 'web', '--to', 'v2', ...backendArgs)).code, 0);
  await verb(proxy, 'unhold', 'web');
  t.strictSame(new Set((await Promise.all(waiting)).map((answer) => field(answer, 'x-version'))), new Set(['v2']));
  t.equal((await backends.record('v1')).begun, 0);
});
