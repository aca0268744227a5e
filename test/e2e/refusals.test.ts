import t from 'tap';
import type { Test } from 'tap';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { freePort } from '../helpers/ports.ts';
import { cli, Proxy } from '../helpers/proxy.ts';
import { tempDir } from '../helpers/temp.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

const HEALTH = { interval: '100ms', admitInterval: '30ms', timeout: '1s' };

async function start(t: Test): Promise<{ backends: Backends; proxy: Proxy }> {
  const backends = await Backends.start(t);
  const v1 = await backends.listen('v1');
  const proxy = await Proxy.start(t, {
    upstreams: { web: { routes: [{}], health: HEALTH, drain: { requests: '400ms' }, versions: { v1: { backends: v1 } } } },
  });
  return { backends, proxy };
}

async function web(proxy: Proxy): Promise<UpstreamView> {
  return (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
}

function backendArgs(addresses: readonly string[]): string[] {
  return addresses.flatMap((address) => ['--backend', address]);
}

t.test('a version that never gets healthy: 1, nothing moved, and each backend is named', async (t) => {
  const { backends, proxy } = await start(t);
  const traffic = new Traffic({ port: proxy.port, clients: 4 });
  const good = await backends.listen('v2', 1);
  const failing = await backends.listen('v2', 1, { health: 'fail' });
  const silent = await backends.listen('v2', 1, { health: 'silent' });
  const closed = `127.0.0.1:${await freePort()}`;
  const before = await web(proxy);
  const { code, stdout, stderr } = await proxy.cli([
    'swap',
    'web',
    '--to',
    'v2',
    ...backendArgs([...good, ...failing, ...silent, closed]),
    '--admission-timeout',
    '4s',
  ]);
  t.equal(code, 1, stdout + stderr);
  const told = stdout + stderr;
  t.match(told, new RegExp(`${failing[0]} .*(answered|status) 500`), 'what the failing one answered');
  t.match(told, new RegExp(`${silent[0]} .*no answer within 1000 ms`), 'that the silent one did not');
  t.match(told, new RegExp(`${closed} .*connection refused`), 'why the closed one could not be reached');
  const after = await web(proxy);
  t.strictSame(after.split, { v1: 100 });
  t.strictSame(after.split, before.split);
  t.match(after.swap, { state: 'rejected', finished: true });
  await traffic.stop();
  t.strictSame(traffic.failed, []);
  t.strictSame([...new Set(traffic.taken.map(({ version }) => version))], ['v1'], 'the old version served everybody');
  t.equal((await backends.record('v2')).begun, 0, 'the rejected version got no request, its healthy backend included');
  const past = (await proxy.admin('/v1/upstreams/web/versions/v2')).json;
  t.match(past, { phase: 'rejected', reason: /1 of 4 backends passed in time, 4 needed/ });
  t.equal((await proxy.cli(['swap', 'web', '--to', 'v2', ...backendArgs(good)])).code, 0, 'the id can be used again');
});

t.test('what cannot be done is refused with its own exit code and one sentence', async (t) => {
  const { backends, proxy } = await start(t);
  const v2 = backendArgs(await backends.listen('v2'));
  const refused = async (args: readonly string[], code: number, told: RegExp, env: Record<string, string> = {}): Promise<void> => {
    const run = env.SWITCHYARD_ADMIN_URL === undefined ? await verb(proxy, ...args) : await proxy.cli(args, { env });
    t.equal(run.code, code, `${args.join(' ')}: ${run.stdout}${run.stderr}`);
    t.match(run.stderr, told);
    t.ok(run.stderr.trim().split('\n').length <= 2, 'a sentence, and perhaps a hint');
    t.notMatch(run.stderr, /\n\s+at /, 'no stack trace');
  };
  const before = await web(proxy);
  await refused(['swap', 'wev', '--to', 'v2', ...v2], 2, /no upstream wev; there is web/);
  await refused(['swap', 'web', '--to', 'v2'], 2, /no version v2/);
  await refused(['swap', 'web', '--to', 'v2', ...v2, '--drain-timeout', '10 minutes'], 2, /--drain-timeout.*10 minutes/);
  await refused(['swap', 'web', '--to', 'v2', ...v2, '--canary', '50,25'], 2, /canary/);
  await refused(['swap', 'web', '--to', 'v2', '--backend', 'nowhere'], 2, /nowhere/);
  await refused(['rollback', 'web'], 1, /No earlier version of web is kept/);
  await refused(['abort', 'web'], 5, /No swap of web is running/);
  await refused(['receipt', 'web', 'v1'], 2, /no receipt/);
  await refused(['status', 'web'], 6, /cannot be reached|refused/i, { SWITCHYARD_ADMIN_URL: `http://127.0.0.1:${await freePort()}` });
  const after = await web(proxy);
  t.strictSame({ ...after, versions: [] }, { ...before, versions: [] }, 'nothing was disturbed');
});

t.test('a second swap is refused and told of the first; a stale revision is, too', async (t) => {
  const { backends, proxy } = await start(t);
  const v2 = await backends.listen('v2', 2, { health: 'fail' });
  const v3 = await backends.listen('v3');
  const first = (await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: v2 } })).json as SwapView;
  const second = await proxy.cli(['swap', 'web', '--to', 'v3', ...backendArgs(v3)]);
  t.equal(second.code, 5, second.stderr);
  t.match(second.stderr, /swap of web from v1 to v2, asked for by admin@127\.0\.0\.1, is running/);
  const { status, json } = await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v3', backends: v3 } });
  t.equal(status, 409);
  t.match(json, { code: 'swap-running', swap: first.id });
  t.equal((await backends.record('v3')).passedAtFirst, null);
  t.equal((await proxy.cli(['abort', 'web'])).code, 0);
  const { revision } = await web(proxy);
  const stale = await proxy.admin('/v1/upstreams/web/split', { method: 'PUT', body: { v1: 100 }, headers: { 'if-match': `"${revision - 1}"` } });
  t.equal(stale.status, 412);
  t.match(stale.json, { code: 'stale-revision', revision, changedBy: String });
  const fresh = await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v3', backends: v3 }, headers: { 'if-match': `"${revision}"` } });
  t.equal(fresh.status, 202, fresh.text);
});

t.test('two deployers at the same moment: one wins, the other is told who did', async (t) => {
  const { backends, proxy } = await start(t);
  const deployers = await Promise.all(['ann', 'bob'].map(async (name) => ({ name, args: backendArgs(await backends.listen(`of-${name}`)) })));
  // The winner's waits at its first step until somebody lets it go on: the other cannot come too late.
  const runs = deployers.map(({ name, args }) => proxy.cliProcess(['swap', 'web', '--to', `of-${name}`, ...args, '--canary', '50'], { USER: name }));
  await eventually('one that has lost', () => runs.some(({ running }) => !running), 60_000);
  const lost = runs.findIndex(({ running }) => !running);
  t.equal((await runs[lost].wait()).code, 5, runs[lost].stdout + runs[lost].stderr);
  await eventually('its first step', async () => (await web(proxy)).swap?.weight === 50);
  t.equal((await verb(proxy, 'promote', 'web')).code, 0);
  t.equal((await runs[1 - lost].wait(60_000)).code, 0, runs[1 - lost].stderr);
  const winner = deployers[1 - lost].name;
  t.match(runs[lost].stderr, new RegExp(`to of-${winner}, asked for by admin@127\\.0\\.0\\.1/${winner}, is running`));
});

t.test('what is not reached in time is 4 and goes on; what is cut at the deadline is 3', async (t) => {
  const { backends, proxy } = await start(t);
  const slow = proxy.send({ target: '/hold' }, 60_000).then(({ status }) => status);
  await eventually('the request', async () => (await backends.record('v1')).held === 1);
  const v2 = backendArgs(await backends.listen('v2'));
  const late = await proxy.cli(['swap', 'web', '--to', 'v2', ...v2, '--drain-timeout', '60s', '--timeout', '3s']);
  t.equal(late.code, 4, late.stdout + late.stderr);
  t.match(late.stderr, /goes on/);
  t.match((await web(proxy)).swap, { state: 'draining', finished: false });
  await backends.letGo('v1');
  t.equal(await slow, 200, 'the request was not harmed');
  t.equal((await proxy.cli(['wait', 'web', 'v1', '--for', 'released'])).code, 0);
  const cut = proxy.send({ target: '/hold' }, 60_000).then(({ status }) => status);
  await eventually('the request', async () => (await backends.record('v2')).held === 1);
  const v3 = backendArgs(await backends.listen('v3'));
  const killed = await proxy.cli(['swap', 'web', '--to', 'v3', ...v3]);
  t.equal(killed.code, 3, killed.stdout + killed.stderr);
  t.equal(await cut, 503, 'it is told so, not hung up on');
  t.match((await proxy.admin('/v1/upstreams/web/versions/v2/receipt')).json, {
    counts: { started: 1, killed: 1 },
    killedByKind: { http: 1, stream: 0, tunnel: 0 },
  });
  await eventually('the backend to be told, too', async () => (await backends.record('v2')).held === 0);
});

t.test('a configuration that is wrong: 2 at the start, the running one stays on reload', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'proxy.config.json');
  await writeFile(file, JSON.stringify({ upstreams: { web: { routes: [{ path: '/' }], health: { interval: 'often' }, versions: {} } } }));
  for (const verb of ['run', 'check']) {
    const { code, stderr } = await cli([verb, '--config', file]);
    t.equal(code, 2);
    t.match(stderr, /upstreams\.web\.health\.interval/, 'the path');
    t.match(stderr, /'often'/, 'the value');
    t.match(stderr, /expected a duration/, 'what was expected');
    t.notMatch(stderr, /\n\s+at /);
  }
  const { proxy } = await start(t);
  const good = await readFile(proxy.configFile, 'utf8');
  await writeFile(proxy.configFile, good.replace('"100ms"', '"often"'));
  await eventually('the complaint', () => /error the configuration was not reloaded.*upstreams\.web\.health\.interval.*'often'/.test(proxy.output));
  t.match(await proxy.send(), { status: 200 });
  t.strictSame((await web(proxy)).split, { v1: 100 });
});
