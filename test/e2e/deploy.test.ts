import t from 'tap';
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { UpstreamView, VersionView } from '../../src/control/operations.ts';
import { COMMAND, launchedBy, restart, startLaunching } from '../helpers/launched.ts';
import { field } from '../helpers/message.ts';
import type { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { Verb, verb } from './verb.ts';

async function version(proxy: Proxy, id: string): Promise<VersionView> {
  return (await proxy.admin(`/v1/upstreams/web/versions/${id}`)).json as VersionView;
}

function running(proxy: Proxy): string[] {
  return launchedBy(proxy)
    .map((each) => each.version)
    .toSorted();
}

t.test('three versions in a row: the broken ones never get traffic, and nothing of them is left', async (t) => {
  const proxy = await startLaunching(t, { launch: { command: COMMAND, replicas: 2 } });
  const first = await verb(proxy, 'deploy', 'web', '--version', 'v1');
  t.equal(first.code, 0, first.stdout + first.stderr);
  t.strictSame(running(proxy), ['v1', 'v1']);
  const sick = await verb(proxy, 'deploy', 'web', '--version', 'v2', '--env', 'SICK=1', '--admission-timeout', '4s');
  t.equal(sick.code, 1);
  t.match(sick.stdout, /not admitted[^]*stopped[^]*status 500, expected 2xx/);
  t.strictSame(running(proxy), ['v1', 'v1'], 'nothing of it runs when the command returns');
  const dead = await verb(proxy, 'deploy', 'web', '--version', 'v3', '--env', 'BOOM=1');
  t.equal(dead.code, 1);
  t.match(dead.stdout, /process [12]: it exited with code 7 \(3 times\)[^]*Error: boom/, 'with what it has said last');
  t.match(dead.stderr, /nothing moved, and nothing of v3 runs/);
  t.strictSame(running(proxy), ['v1', 'v1']);
  t.equal(field(await proxy.send(), 'x-version'), 'v1');
  const good = await verb(proxy, 'deploy', 'web', '--version', 'v4', '--replicas', '1');
  t.equal(good.code, 0, good.stdout + good.stderr);
  t.match(good.stdout, /started[^]*admitted[^]*live[^]*drained[^]*released[^]*v1 may be destroyed[^]*stopped[^]*v1: 2 processes ended[^]*receipt/);
  t.strictSame(running(proxy), ['v4'], 'what it replaced has ended');
  t.equal(field(await proxy.send(), 'x-version'), 'v4');
});

t.test('the same again changes nothing; another under that name, and one meanwhile, are refused', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1', '--env', 'A=1')).code, 0);
  const again = await verb(proxy, 'deploy', 'web', '--version', 'v1', '--env', 'A=1');
  t.match(again, { code: 0, stdout: /v1 is live already; nothing was changed/ });
  t.equal(running(proxy).length, 1);
  t.match(await verb(proxy, 'deploy', 'web', '--version', 'v1', '--env', 'A=2'), { code: 5, stderr: /launched in another way/ });
  const slow = new Verb(proxy, ['deploy', 'web', '--version', 'v2', '--env', 'SICK=1', '--admission-timeout', '5m']);
  await eventually('the second', () => running(proxy).includes('v2'), 30_000);
  t.match(await verb(proxy, 'deploy', 'web', '--version', 'v3'), { code: 5, stderr: /asked for by/ });
  t.equal(running(proxy).includes('v3'), false);
  await eventually('its swap', async () => ((await proxy.admin('/v1/upstreams/web')).json as UpstreamView).swap?.to === 'v2');
  t.equal((await verb(proxy, 'abort', 'web')).code, 0);
  t.equal((await slow.wait()).code, 1);
  t.strictSame(running(proxy), ['v1'], 'an abort stops what was started for it');
});

t.test('a deploy whose processes do not listen yet is shown, and can be aborted', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const slow = new Verb(proxy, ['deploy', 'web', '--version', 'v2', '--', process.execPath, '-e', 'setInterval(() => {}, 1000)']);
  await eventually('the second', () => running(proxy).includes('v2'), 30_000);
  t.match(await verb(proxy, 'status', 'web'), { code: 0, stdout: /deploy of v2 by .*: starting, 0 of 1 process up/ });
  t.match(await verb(proxy, 'explain', 'web'), { code: 0, stdout: /a deploy of v2, asked for by .*, is starting its processes: 0 of 1 up/ });
  t.match(await verb(proxy, 'abort', 'web'), { code: 0, stdout: /v2  aborted at 0 %/ });
  t.strictSame(running(proxy), ['v1'], 'nothing of it runs when the command returns');
  t.match(await slow.wait(), { code: 1, stdout: /not started +aborted by/, stderr: /nothing moved, and nothing of v2 runs/ });
  t.equal(((await proxy.admin('/v1/upstreams/web')).json as UpstreamView).deploy, null);
  t.match(await verb(proxy, 'abort', 'web'), { code: 5, stderr: /No swap of web is running/ });
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v2')).code, 0, 'and the next may begin under that name');
});

t.test('a driver that fails at everything ends its deploy with the reason of the start', async (t) => {
  const proxy = await startLaunching(t);
  const args = ['--driver', 'exec', '--stop-timeout', '0ms', '--', '/bin/sh', '-c', 'echo "no quota for $0" >&2; exit 4'];
  const answer = await verb(proxy, 'deploy', 'web', '--version', 'v1', ...args);
  t.match(answer, { code: 1, stdout: /process 1: .*no quota for start/, stderr: /what was started could not be stopped yet, which is tried again/ });
  t.match(await verb(proxy, 'deploy', 'web', '--version', 'v2'), { code: 0 }, 'and is in the way of no other');
});

t.test('a kept version goes on running, a rollback needs no start, and its release is its end', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v2', '--rollback-keep', '10m')).code, 0);
  t.strictSame(running(proxy), ['v1', 'v2']);
  const [{ pid }] = (await version(proxy, 'v1')).processes;
  t.equal((await verb(proxy, 'rollback', 'web')).code, 0);
  t.strictSame(running(proxy), ['v1']);
  t.equal((await version(proxy, 'v1')).processes[0].pid, pid, 'it was never started anew');
});

t.test('a process that dies is started again on its port, and its output stays readable', async (t) => {
  const proxy = await startLaunching(t, { launch: { command: COMMAND, env: { SECRET: 'hunter2' } } });
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const { processes: before, launch } = await version(proxy, 'v1');
  t.strictSame(launch?.env, { SECRET: '***' });
  await proxy.send({ target: '/die' }).catch(() => undefined);
  const after = await eventually('another process', async () => {
    const [one] = (await version(proxy, 'v1')).processes;
    return one.restarts === 1 && one.state === 'running' ? one : null;
  });
  t.equal(after.port, before[0].port);
  t.not(after.pid, before[0].pid);
  t.match(after, { lastEnd: { code: 9 } });
  await eventually('traffic', async () => (await proxy.send()).status === 200);
  // What it prints goes its own way, and may come after the first answer.
  await eventually('the words of both', async () => /version v1 replica 1\nversion v1 replica 1\n/.test((await verb(proxy, 'logs', 'web', 'v1')).stdout));
  t.equal((await stat(join(proxy.stateDir, 'launches', 'web@v1.json'))).mode & 0o777, 0o600);
  t.notMatch((await proxy.admin('/v1/upstreams/web')).text + proxy.output, /hunter2/);
});

t.test('killed while it starts processes: the next life leaves none of them', async (t) => {
  const proxy = await startLaunching(t);
  t.equal((await verb(proxy, 'deploy', 'web', '--version', 'v1')).code, 0);
  const { status } = await proxy.admin('/v1/upstreams/web/deploy', {
    body: { version: 'v2', launch: { command: [process.execPath, '-e', 'setInterval(() => {}, 1e3)'] } },
  });
  t.equal(status, 202);
  await eventually('a process', () => running(proxy).includes('v2'));
  await proxy.kill();
  t.ok(running(proxy).includes('v2'), 'it outlives the proxy');
  await restart(proxy);
  await eventually('its end', () => !running(proxy).includes('v2'));
  t.strictSame(running(proxy), ['v1']);
  t.equal(field(await proxy.send(), 'x-version'), 'v1');
  await eventually('its record is gone', () => !existsSync(join(proxy.stateDir, 'launches', 'web@v2.json')));
});

t.test('a seed is launched, taken over by the next life, and ends with the proxy where that is wanted', async (t) => {
  const proxy = await startLaunching(t, { versions: { v1: { launch: {} } } });
  t.equal(field(await proxy.send(), 'x-version'), 'v1');
  const pids = launchedBy(proxy).map(({ pid }) => pid);
  t.equal((await proxy.stop()).code, 0);
  t.strictSame(
    launchedBy(proxy).map(({ pid }) => pid),
    pids,
    'kept',
  );
  await proxy.editConfig((config) => ({ ...config, launch: { ...(config.launch as object), onShutdown: 'stop' } }));
  await restart(proxy);
  t.equal((await version(proxy, 'v1')).processes[0].pid, pids[0]);
  t.equal((await proxy.stop()).code, 0);
  t.strictSame(launchedBy(proxy), []);
  await restart(proxy);
  await eventually('it serves again', async () => field(await proxy.send(), 'x-version') === 'v1');
});
