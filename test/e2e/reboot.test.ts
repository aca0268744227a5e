/** The machine is restarted in the middle of a canary: another boot, and nothing that ran before runs. */
import t from 'tap';
import type { UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { LATE } from './deploy-world.ts';
import { HELD, powerCut, reached, swapNow } from './reboot-world.ts';

t.test('backends that somebody else starts again are waited for', { timeout: 150_000 }, async (t) => {
  const before = await Backends.start(t);
  const [one, two] = [await before.listen('v1', 1), await before.listen('v2', 1)];
  const web = catchAll({ v1: one }, 'v1', { health: { path: '/healthz', interval: '100ms', admitInterval: '50ms' }, admission: { timeout: '2m' } });
  const proxy = await Proxy.start(t, { dataThreads: 1, upstreams: { web } }, { readyWithin: LATE });
  await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: two, strategy: HELD } });
  await reached(proxy, 'weight 50');
  await powerCut(proxy);
  await before.stop();
  await proxy.restart();
  const isDown = async (): Promise<boolean> => {
    const { versions } = (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
    return versions.every(({ backends }) => backends.every(({ health }) => health === 'unhealthy'));
  };
  await eventually('all is seen to be down', isDown, LATE, 50);
  t.match(await swapNow(proxy), { state: 'cutting-over', weight: 50, finished: false });
  t.match((await proxy.cli(['explain', 'web', 'v2'], { deadline: LATE })).stdout, /the machine was restarted; v2 has another .* to be healthy again/);
  const after = await Backends.start(t);
  for (const [version, [address]] of [
    ['v1', one],
    ['v2', two],
  ] as const)
    await after.listen(version, 1, { port: Number(address.split(':')[1]) });
  await reached(proxy, 'healthy again');
  t.match(await proxy.cli(['promote', 'web'], { deadline: LATE }), { code: 0 });
  await eventually('it is done', async () => (await swapNow(proxy)).state === 'done', LATE);
});
