/** One at a time: while a deploy starts its processes, nothing else moves its upstream; and what the history tells of deploys. */
import t from 'tap';
import type { UpstreamView } from '../../src/control/operations.ts';
import type { HistoryEntry } from '../../src/history/history.ts';
import { launchedBy, restart, startLaunching } from '../helpers/launched.ts';
import type { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { deploy, LATE, running } from './deploy-world.ts';
import { Verb, verb } from './verb.ts';

/** Never listens. */
const MUTE = [process.execPath, '-e', 'setInterval(() => {}, 1e3)', '--', '--api-token', 'hunter2', '--db-password=hunter2'];

async function history(proxy: Proxy): Promise<HistoryEntry[]> {
  const entries = (await proxy.admin('/v1/history?upstream=web')).json as HistoryEntry[];
  return entries.filter(({ kind }) => kind === 'deploy' || kind === 'swap');
}

async function split(proxy: Proxy): Promise<Record<string, number>> {
  return ((await proxy.admin('/v1/upstreams/web')).json as UpstreamView).split;
}

t.test('while a deploy starts its processes all that would move the upstream is refused, with the name of who asked for it', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v2', '--rollback-keep', '10m')).code, 0);
  const [{ id: first }] = await history(proxy);
  const slow = new Verb(proxy, ['deploy', 'web', '--version', 'v3', '--', ...MUTE]);
  await eventually('its process', () => running(proxy).includes('v3'), LATE);
  const before = await split(proxy);
  const refused = { code: 5, stderr: /A deploy of web to v3, asked for by .+, is starting its processes/ };
  t.match(await verb(proxy, 'swap', 'web', '--to', 'v4', '--backend', '127.0.0.1:1'), refused);
  t.match(await verb(proxy, 'swap', 'web', '--to', 'v1', '--dry-run'), refused);
  t.match(await verb(proxy, 'swap', 'web', '--to', 'v3', '--backend', '127.0.0.1:1'), refused, 'under its own name, too');
  t.match(await verb(proxy, 'rollback', 'web'), refused);
  t.match(await verb(proxy, 'deploy', 'web', '--version', 'v4'), refused);
  t.match(await verb(proxy, 'drain', 'web', 'v1'), refused);
  t.match(await verb(proxy, 'undo', '--of', String(first)), refused);
  const problem = { status: 409, json: { code: 'swap-running', to: 'v3', state: 'starting' } };
  t.match(await proxy.admin('/v1/upstreams/web/split', { method: 'PUT', body: { v2: 100 } }), problem);
  t.match(await proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v3', backends: ['127.0.0.1:1'] } }), problem);
  t.match(await proxy.admin('/v1/upstreams/web', { method: 'DELETE' }), problem);
  t.match(await proxy.admin('/v1/config?prune=true', { method: 'PUT', body: { upstreams: {} } }), problem);
  // What holds them up can be known beforehand, from the document of the API.
  const { paths } = (await proxy.admin('/v1/openapi.json')).json as { paths: Record<string, Record<string, unknown>> };
  const known = [
    ['put', '/v1/upstreams/{upstream}/split'],
    ['post', '/v1/upstreams/{upstream}/versions'],
    ['post', '/v1/upstreams/{upstream}/swap'],
    ['post', '/v1/upstreams/{upstream}/rollback'],
    ['post', '/v1/upstreams/{upstream}/deploy'],
    ['delete', '/v1/upstreams/{upstream}/versions/{version}'],
    ['delete', '/v1/upstreams/{upstream}'],
    ['put', '/v1/config'],
    ['post', '/v1/undo'],
  ];
  for (const [method, path] of known) t.match(JSON.stringify(paths[path][method]), 'swap-running', `${method} ${path}`);
  t.strictSame(await split(proxy), before);
  t.equal((await verb(proxy, 'abort', 'web')).code, 0);
  t.equal((await slow.wait()).code, 1);
  const [aborted] = await history(proxy);
  t.match(aborted, { kind: 'deploy', summary: /deploy v2 → v3: aborted/, facts: { outcome: 'aborted', from: 'v2', to: 'v3', replicas: 1, driver: 'process' } });
  t.match(aborted.facts.command, /--api-token \*\*\* --db-password=\*\*\*$/);
  t.equal((await verb(proxy, 'rollback', 'web')).code, 0, 'the way is free');
});

t.test('a crash ends the hold with the deploy, and the history tells that it was taken back, once', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v2', '--rollback-keep', '10m')).code, 0);
  await deploy(proxy, { version: 'v3', launch: { command: MUTE, env: { SECRET: 'hunter3' } } });
  await eventually('a process', () => running(proxy).includes('v3'), LATE);
  for (let life = 1; life <= 2; life++) {
    await proxy.kill();
    await restart(proxy);
  }
  const back = (await history(proxy)).filter(({ facts }) => facts.to === 'v3');
  t.match(back, [{ kind: 'deploy', summary: /v2 → v3: taken back \(the proxy ended/, facts: { from: 'v2', env: ['SECRET'], swap: null } }]);
  t.equal((await verb(proxy, 'rollback', 'web')).code, 0);
  t.strictSame(await split(proxy), { v1: 100 });
  await eventually('the end of v3', () => !running(proxy).includes('v3'), LATE);
  t.notMatch(JSON.stringify(await history(proxy)), /hunter/);
});

t.test('a deploy is one change; undo takes it back for as long as the version before is kept', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v2', '--rollback-keep', '10m', '--env', 'LOUD=hunter2')).code, 0);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v3', '--env', 'BOOM=1')).code, 1);
  const [failed, second, first] = await history(proxy);
  t.match(failed, { kind: 'deploy', summary: /deploy v2 → v3: failed \(process 1: it exited with code 7/, facts: { outcome: 'failed', swap: null } });
  t.match(second, { kind: 'deploy', by: /./, facts: { outcome: 'done', from: 'v1', to: 'v2', replicas: 1, driver: 'process', env: ['LOUD'], processes: 1 } });
  t.equal(second.facts.deploy, second.facts.swap);
  t.match(first, { kind: 'deploy', facts: { from: null, to: 'v1' } });
  t.match(await verb(proxy, 'history', '--show', String(second.id)), { code: 0, stdout: /driver +process\n +command +.*service\.mjs\n[^]*env +LOUD\n/ });
  t.notMatch((await verb(proxy, 'history', 'web', '--json')).stdout, /hunter2/);
  t.match(await verb(proxy, 'undo', '--of', String(failed.id)), { code: 5, stderr: /cannot be taken back: it has moved nothing/ });
  t.match(await verb(proxy, 'undo', '--of', String(first.id)), { code: 5, stderr: /nothing was live before it/ });
  t.match(await verb(proxy, 'undo', '--of', String(second.id)), { code: 0, stdout: /a rollback of web to v1 was started/ });
  await eventually('v1', async () => (await split(proxy)).v1 === 100, LATE);
  await eventually('no process of v2', () => launchedBy(proxy).every(({ version }) => version === 'v1'), LATE);
  t.match(await verb(proxy, 'undo', '--of', String(second.id)), { code: 5, stderr: /by now v1 is live, and not v2 alone/ });
  const gone = { code: 1, stderr: /Version v2 is gone: it was released\. Its processes were stopped with it\. Deploy it again \(.*service\.mjs\)/ };
  t.match(await verb(proxy, 'undo', '--to', String(second.id)), gone);
});
