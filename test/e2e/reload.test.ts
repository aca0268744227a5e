import t from 'tap';
import type { Test } from 'tap';
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import type { UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { field } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { MAIN, NodeProcess } from '../helpers/process.ts';
import { Proxy } from '../helpers/proxy.ts';
import { tempDir } from '../helpers/temp.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { verb } from './verb.ts';

const HEALTH = { interval: '100ms', admitInterval: '30ms' };

interface World {
  readonly proxy: Proxy;
  readonly backends: Backends;
  readonly web: Record<string, unknown>;
}

async function start(t: Test): Promise<World> {
  const backends = await Backends.start(t);
  const web = { routes: [{}], health: HEALTH, versions: { v1: { backends: await backends.listen('v1') } } };
  return { backends, web, proxy: await Proxy.start(t, { upstreams: { web } }) };
}

async function upstreams(world: World, change: (before: Record<string, unknown>) => Record<string, unknown>): Promise<void> {
  await world.proxy.editConfig((config) => ({ ...config, upstreams: change(config.upstreams as Record<string, unknown>) }));
}

async function answeredBy({ proxy }: World, target: string): Promise<string | number> {
  const answer = await proxy.send({ target });
  return answer.status === 200 ? (field(answer, 'x-version') ?? '') : answer.status;
}

async function said({ proxy }: World, what: RegExp): Promise<void> {
  await eventually(`${what} in the output`, () => what.test(proxy.output));
}

t.test('an edit is in force without a restart: upstreams come, change and go, and nobody notices', async (t) => {
  const world = await start(t);
  const { proxy, backends, web } = world;
  const traffic = new Traffic({ port: proxy.port, clients: 8 });
  const api = { routes: [{ path: '/api' }], health: HEALTH, versions: { a1: { backends: await backends.listen('a1') } } };
  await upstreams(world, () => ({ web, api }));
  await eventually('the new upstream', async () => (await answeredBy(world, '/api')) === 'a1');
  await said(world, /info configuration reloaded: api changed/);
  await upstreams(world, () => ({ web: { ...web, limits: { body: 50_000 } }, api: { ...api, routes: [{ path: '/api/v2' }] } }));
  await eventually('the other route', async () => (await answeredBy(world, '/api')) === 'v1');
  t.equal(await answeredBy(world, '/api/v2/x'), 'a1');
  t.equal((await proxy.send({ method: 'POST', body: 'x'.repeat(50_001) })).status, 413, 'the limit, too');
  await upstreams(world, () => ({ web }));
  await eventually('the upstream to go', async () => (await answeredBy(world, '/api/v2/x')) === 'v1');
  t.equal((await proxy.admin('/v1/upstreams/api')).status, 404);
  t.equal((await proxy.send({ method: 'POST', body: 'x'.repeat(50_001) })).status, 200);
  await traffic.stop();
  t.strictSame(traffic.failed, []);
});

t.test('SIGHUP reads the file again; what needs a restart is said', async (t) => {
  const world = await start(t);
  const { proxy, web } = world;
  await proxy.editConfig((config) => ({
    ...config,
    dataThreads: 1,
    limits: { target: 100 },
    upstreams: { web: { ...web, versions: { v9: { backends: ['127.0.0.1:9'] } } } },
  }));
  process.kill(proxy.process.pid, 'SIGHUP');
  await said(world, /warn The change of dataThreads takes effect after a restart\./);
  await said(world, /warn The change of upstreams\.web\.versions or live has no effect/);
  await eventually('the limit', async () => (await proxy.send({ target: `/${'x'.repeat(100)}` })).status === 414);
  t.equal(await answeredBy(world, '/'), 'v1', 'what is live is not for the file to say');
  await proxy.stop();
  await proxy.restart();
  t.equal(await answeredBy(world, '/'), 'v1', 'nor after a restart');
});

t.test('a reload puts in force what was removed by hand, and removes what is gone already', async (t) => {
  const world = await start(t);
  const { proxy, backends, web } = world;
  const api = { routes: [{ path: '/api' }], health: HEALTH, versions: { a1: { backends: await backends.listen('a1') } } };
  const other = { routes: [{ path: '/other' }], health: HEALTH, versions: { o1: { backends: await backends.listen('o1') } } };
  await upstreams(world, () => ({ web, api, other }));
  await eventually('the new upstreams', async () => (await answeredBy(world, '/other')) === 'o1');
  for (const name of ['api', 'other']) t.equal((await proxy.admin(`/v1/upstreams/${name}`, { method: 'DELETE' })).status, 204);
  t.equal(await answeredBy(world, '/api'), 'v1');
  await upstreams(world, () => ({ web, api: { ...api, retries: { attempts: 2 } } }));
  await eventually('api again', async () => (await answeredBy(world, '/api')) === 'a1');
  t.equal(await answeredBy(world, '/other'), 'v1');
  t.notMatch(proxy.output, /error/, proxy.output);
});

t.test('a route that moves to another upstream is never missing', async (t) => {
  const world = await start(t);
  const { proxy, backends } = world;
  const api = (...paths: string[]): Record<string, unknown> => ({ routes: paths.map((path) => ({ path })), health: HEALTH });
  const a1 = { versions: { a1: { backends: await backends.listen('a1') } } };
  const b1 = { versions: { b1: { backends: await backends.listen('b1') } } };
  await upstreams(world, () => ({ a: { ...api('/a', '/shared'), ...a1 }, b: { ...api('/b'), ...b1 } }));
  await eventually('both', async () => (await answeredBy(world, '/b')) === 'b1' && (await answeredBy(world, '/shared')) === 'a1');
  const seen: (string | number)[] = [];
  let running = true;
  const clients = Array.from({ length: 4 }, async () => {
    while (running) seen.push(await answeredBy(world, '/shared'));
  });
  for (const owner of ['b', 'a', 'b', 'a', 'b']) {
    const [ofA, ofB] = owner === 'b' ? [['/a'], ['/b', '/shared']] : [['/a', '/shared'], ['/b']];
    await upstreams(world, () => ({ a: { ...api(...ofA), ...a1 }, b: { ...api(...ofB), ...b1 } }));
    const enough = seen.length + 20;
    await eventually('the move', () => seen.length > enough && seen.at(-1) === `${owner}1`);
  }
  running = false;
  await Promise.all(clients);
  t.strictSame(new Set(seen), new Set(['a1', 'b1']));
  t.equal(await answeredBy(world, '/'), 404);
  t.equal(proxy.process.running, true);
});

t.test('an upstream that comes back to the file has the state it had', async (t) => {
  const world = await start(t);
  const { proxy, backends, web } = world;
  const backendArgs = (await backends.listen('v2')).flatMap((address) => ['--backend', address]);
  t.equal((await verb(proxy, 'swap', 'web', '--to', 'v2', ...backendArgs)).code, 0);
  await proxy.stop();
  await upstreams(world, () => ({}));
  await proxy.restart();
  await said(world, /warn upstream web has state but is not configured any more; its state is kept/);
  t.equal(await answeredBy(world, '/'), 404);
  await upstreams(world, () => ({ web }));
  await eventually('web again', async () => (await answeredBy(world, '/')) === 'v2');
  t.strictSame(((await proxy.admin('/v1/upstreams/web')).json as UpstreamView).split, { v2: 100 });
});

t.test('the deadline for shutting down can be changed', async (t) => {
  const world = await start(t);
  const { proxy, backends } = world;
  await proxy.editConfig((config) => ({ ...config, shutdown: { drain: '200ms' } }));
  await said(world, /configuration reloaded/);
  const slow = proxy.send({ target: '/hold' }, 60_000);
  await eventually('the request', async () => (await backends.record('v1')).held === 1);
  const began = performance.now();
  t.strictSame(await proxy.stop('SIGTERM', 60_000), { code: 0, signal: null });
  t.ok(performance.now() - began < 25_000, 'not the deadline of before, which is 30 s');
  t.equal((await slow).status, 503);
  t.match(proxy.output, /1 requests? (was|were) cut at the deadline/);
});

t.test('an address that is in use, and a state folder that is: 2 or 1, and who has it', async (t) => {
  const world = await start(t);
  const { proxy } = world;
  const dir = await tempDir(t);
  const file = join(dir, 'proxy.config.json');
  const second = async (config: Record<string, unknown>): Promise<{ code: number | null; stderr: string }> => {
    await writeFile(file, JSON.stringify({ dataThreads: 1, stateDir: join(dir, 'state'), admin: { port: await freePort() }, ...config }));
    const run = new NodeProcess([MAIN, 'run', '--config', file], { cwd: dir });
    const { code } = await run.wait();
    t.notMatch(run.stderr, /\n\s+at /, 'no stack trace');
    t.equal(run.stdout, '', 'nothing is said to be ready');
    return { code, stderr: run.stderr };
  };
  const listener = { host: '127.0.0.1', port: proxy.port };
  t.match(await second({ listeners: [listener] }), {
    code: 2,
    stderr: new RegExp(`cannot listen on 127\\.0\\.0\\.1:${proxy.port}: another process listens on it`),
  });
  const free = { host: '127.0.0.1', port: await freePort() };
  t.match(await second({ listeners: [free], admin: { port: proxy.adminPort } }), { code: 2, stderr: new RegExp(`127\\.0\\.0\\.1:${proxy.adminPort}`) });
  const inUse = await second({ listeners: [free], stateDir: proxy.stateDir });
  t.match(inUse.stderr, new RegExp(`state folder ${proxy.stateDir} is in use by process ${proxy.process.pid}`));
  t.not(inUse.code, 0);
  await sleep(50);
  t.equal(await answeredBy(world, '/'), 'v1', 'the first one is not disturbed');
});
