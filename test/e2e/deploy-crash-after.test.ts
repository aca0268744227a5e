/** kill -9 in each step of a deploy: disconnect, drain, detect, destroy. */
import t from 'tap';
import { Events } from '../helpers/events.ts';
import { COMMAND, launchedBy, restart } from '../helpers/launched.ts';
import { eventually } from '../helpers/wait.ts';
import { deploy, LATE, running, settles, start } from './deploy-world.ts';

t.test('disconnect and drain: the old version is let go, and stopped', async (t) => {
  for (const step of ['live', 'draining'] as const) {
    const proxy = await start(t);
    const events = await Events.of(t, proxy.adminUrl);
    await deploy(proxy);
    await events.wait(step, step === 'live' ? 'v2' : 'v1');
    await settles(t, proxy, 'v2');
    await proxy.kill();
  }
});

t.test('detect: a version that is kept is kept on, and stopped at its release', async (t) => {
  const proxy = await start(t);
  const events = await Events.of(t, proxy.adminUrl);
  await deploy(proxy, { rollback: { keep: '10m' } });
  await events.wait('drained', 'v1');
  await proxy.kill();
  await restart(proxy);
  t.strictSame(running(proxy), ['v1', 'v2']);
  t.equal((await proxy.admin('/v1/upstreams/web/versions/v1', { method: 'DELETE' })).status, 200);
  await eventually('its end', () => running(proxy).join() === 'v2', LATE);
});

t.test('destroy: what was being stopped is stopped by the next life', async (t) => {
  const proxy = await start(t, ['--env', 'STUBBORN=1', '--env', 'CHILD=1', '--stop-timeout', '2s']);
  const events = await Events.of(t, proxy.adminUrl);
  await eventually('its children', () => running(proxy).length === 3);
  await deploy(proxy, { launch: { command: COMMAND } });
  await events.wait('released', 'v1');
  await settles(t, proxy, 'v2');
});

t.test('a process that dies with the proxy is started again on its port', async (t) => {
  const proxy = await start(t);
  const [before] = launchedBy(proxy);
  await proxy.kill();
  process.kill(before.pid, 'SIGKILL');
  await restart(proxy);
  await eventually('traffic', async () => (await proxy.send()).status === 200, LATE);
  const [after] = launchedBy(proxy);
  t.equal(after.port, before.port);
  t.not(after.pid, before.pid);
});
