import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { ConfigPlan } from '../../src/control/config-views.ts';
import type { UpstreamView } from '../../src/control/operations.ts';
import { Journal } from '../../src/swap/journal.ts';
import { COMMAND, launchedBy, restart, startLaunching } from '../helpers/launched.ts';
import { field } from '../helpers/message.ts';
import { eventually } from '../helpers/wait.ts';
import { LATE } from './deploy-world.ts';
import { Verb, verb } from './verb.ts';

const REPORTER = `
import { joinWorkers } from '${new URL('../../src/worker/client.ts', import.meta.url).href}';
console.log('token', process.env.SWITCHYARD_TOKEN);
await joinWorkers();
`;

t.test('a worker upstream that is removed takes its processes with it', async (t) => {
  const command = [process.execPath, '--input-type=module', '-e', REPORTER];
  const proxy = await startLaunching(t);
  const jobs = { kind: 'worker', versions: {}, launch: { command, env: { SWITCHYARD_TOKEN: 'for-reports' } } };
  t.equal((await proxy.admin('/v1/upstreams/jobs', { method: 'PUT', body: jobs })).status, 201);
  const deployed = await verb(proxy, 'deploy', 'jobs', '--version', 'j1');
  t.equal(deployed.code, 0, deployed.stdout + deployed.stderr);
  // What it prints goes its own way, and may come after its first report.
  await eventually('its words', async () => (await verb(proxy, 'logs', 'jobs', 'j1')).stdout.includes('token for-reports'));
  t.equal(launchedBy(proxy).length, 1);
  t.equal((await proxy.admin('/v1/upstreams/jobs', { method: 'DELETE' })).status, 204);
  await eventually('the end of its process', () => launchedBy(proxy).length === 0);
});

t.test('an upstream that is declared anew lets the processes of its former self finish what they have in hand', async (t) => {
  const spec = { routes: [{}], health: { interval: '100ms', admitInterval: '30ms' }, launch: { command: COMMAND }, drain: { requests: '20s' } };
  const proxy = await startLaunching(t, {}, { upstreams: {} });
  t.equal((await proxy.admin('/v1/upstreams/web', { method: 'PUT', body: spec })).status, 201);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const slow = proxy.send({ target: '/slow' });
  await eventually('a request in flight', async () => (await proxy.admin('/v1/upstreams/web/versions/v1')).text.includes('"inFlight":1'));
  t.equal((await proxy.admin('/v1/upstreams/web', { method: 'DELETE' })).status, 204);
  t.equal((await proxy.admin('/v1/upstreams/web', { method: 'PUT', body: spec })).status, 201);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v2')).code, 0);
  t.equal(field(await proxy.send(), 'x-version'), 'v2');
  t.match(await slow, { status: 200 });
  await eventually('the end of v1', () => launchedBy(proxy).every(({ version }) => version === 'v2'));
});

t.test('how processes are launched is in force once it is applied, and a plan after that is empty', async (t) => {
  const proxy = await startLaunching(t, {}, { upstreams: {} });
  const document = (replicas: number) => ({ upstreams: { web: { routes: [{}], launch: { command: COMMAND, replicas } } } });
  for (const replicas of [1, 2]) t.equal((await proxy.admin('/v1/config', { method: 'PUT', body: document(replicas) })).status, 200);
  const plan = (await proxy.admin('/v1/config/plan', { method: 'POST', body: document(2) })).json as ConfigPlan;
  t.strictSame(plan.changes, []);
  t.match((await verb(proxy, 'deploy', 'web', '--version', 'v1', '--dry-run')).stdout, /start 2 processes/);
});

t.test('a proxy that ends its processes as it ends decides nothing by their end', async (t) => {
  const launch = { command: COMMAND, env: { STUBBORN: '1' }, stopTimeout: '3s' };
  const health = { interval: '50ms', admitInterval: '30ms' };
  const proxy = await startLaunching(t, { launch, health, canary: { analysis: false } });
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const body = { version: 'v2', launch: { env: { STUBBORN: '' } }, strategy: { canary: [{ weight: 10 }] } };
  t.equal((await proxy.admin('/v1/upstreams/web/deploy', { body })).status, 202);
  const web = async (): Promise<UpstreamView> => (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
  await eventually('the first step', async () => (await web()).split.v2 === 10);
  await proxy.editConfig((config) => ({ ...config, launch: { ...(config.launch as object), onShutdown: 'stop' } }));
  t.equal((await proxy.stop()).code, 0);
  await restart(proxy);
  await eventually('that it is probed', async () => (await web()).versions.every(({ backends }) => backends[0].health === 'healthy'));
  t.equal((await proxy.stop()).code, 0);
  t.strictSame(launchedBy(proxy), []);
  const { journal, states } = Journal.open(proxy.stateDir, { now: Date.now });
  journal.close();
  t.match(states.get('web')?.swap, { state: 'cutting-over', outcome: null }, 'the canary is where it was');
});

t.test('a seed that could not be launched yet is launched by the next life, whatever was decided meanwhile', async (t) => {
  const proxy = await startLaunching(t, { versions: { v1: { launch: { env: { BOOM: '1' } } } } });
  t.equal((await proxy.admin('/v1/upstreams/web/hold', { method: 'POST' })).status, 200);
  t.equal((await proxy.stop()).code, 0);
  await proxy.editConfig((config) => ({ ...config, upstreams: { web: { ...(config.upstreams as { web: object }).web, versions: { v1: { launch: {} } } } } }));
  await restart(proxy);
  t.equal((await proxy.admin('/v1/upstreams/web/unhold', { method: 'POST' })).status, 200);
  await eventually('v1', async () => field(await proxy.send(), 'x-version') === 'v1');
});

t.test('a swap, or a deploy, goes before the tries to launch the seed of its version', async (t) => {
  const broken = `if (!require('node:fs').existsSync('fixed')) { console.log('not fixed yet'); process.exit(3); } import('./service.mjs')`;
  const proxy = await startLaunching(t, { versions: { v1: { launch: {} }, v2: { launch: { command: [process.execPath, '-e', broken] } } }, live: 'v1' });
  t.match(await verb(proxy, 'swap', 'web', '--to', 'v2'), { code: 1, stderr: /v2 could not be launched, nothing moved: .*exited with code 3.*not fixed yet/ });
  await writeFile(join(proxy.dir, 'fixed'), '');
  const fixed = await verb(proxy, 'swap', 'web', '--to', 'v2');
  t.equal(fixed.code, 0, fixed.stderr);
  t.equal(field(await proxy.send(), 'x-version'), 'v2');
  // The try to launch it goes on for as long as it is let.
  const deaf = { command: [process.execPath, '-e', 'setInterval(() => {}, 1000)'], startTimeout: '10m' };
  const api = { routes: [{ path: '/api' }], health: { admitInterval: '30ms' }, launch: { command: COMMAND }, versions: { a1: { launch: deaf } }, live: 'a1' };
  t.equal((await proxy.admin('/v1/upstreams/api', { method: 'PUT', body: api })).status, 201);
  await eventually('its process', () => launchedBy(proxy).some(({ version }) => version === 'a1'), LATE);
  const deployed = await verb(proxy, 'deploy', 'api', '--version', 'a1', '--cwd', proxy.dir, '--', ...COMMAND);
  t.equal(deployed.code, 0, deployed.stdout + deployed.stderr);
  t.equal(field(await proxy.send({ target: '/api' }), 'x-version'), 'a1');
  t.strictSame(
    launchedBy(proxy)
      .map(({ version }) => version)
      .toSorted(),
    ['a1', 'v2'],
  );
});

t.test('what cannot be declared is found before anything is removed for it', async (t) => {
  const routes = [{ path: '/a' }];
  const proxy = await startLaunching(t, {}, { upstreams: { jobs: { routes, versions: { j1: { backends: ['127.0.0.1:1'] } } } } });
  await eventually('its state', async () => ((await proxy.admin('/v1/upstreams/jobs')).json as UpstreamView).versions.length === 1);
  t.equal((await proxy.stop()).code, 0);
  await proxy.editConfig((config) => ({ ...config, upstreams: {} }));
  await restart(proxy);
  const web = { routes: [{}], health: { admitInterval: '30ms' }, launch: { command: COMMAND } };
  t.equal((await proxy.admin('/v1/upstreams/web', { method: 'PUT', body: web })).status, 201);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const refused = await proxy.admin('/v1/config?prune=true', { method: 'PUT', body: { upstreams: { jobs: { kind: 'worker' } } } });
  t.match(refused, { status: 400, text: /version j1 has addresses/ });
  t.equal(field(await proxy.send(), 'x-version'), 'v1', 'and what was to go for it serves as before');
});

t.test('a deploy that is still starting its processes is taken back by abort', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const waits = [process.execPath, '-e', 'setInterval(() => {}, 1000)'];
  const deploy = new Verb(proxy, ['deploy', 'web', '--version', 'v2', '--start-timeout', '10m', '--', ...waits]);
  await eventually('a process of v2', () => launchedBy(proxy).some(({ version }) => version === 'v2'), 30_000);
  const aborted = await verb(proxy, 'abort', 'web');
  t.match(aborted, { code: 0, stdout: /aborted/ });
  t.strictSame(
    launchedBy(proxy).map(({ version }) => version),
    ['v1'],
  );
  t.match(await deploy.wait(), { code: 1, stderr: /aborted by .*nothing moved, and nothing of v2 runs/ });
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v2')).code, 0, 'and the way is free');
});
