/** kill -9 in each step of a deploy: start, ready, connect. */
import t from 'tap';
import { Events } from '../helpers/events.ts';
import { launchedBy } from '../helpers/launched.ts';
import { eventually } from '../helpers/wait.ts';
import { deploy, LATE, running, settles, start, swapOf } from './deploy-world.ts';

t.test('start: it is taken back', async (t) => {
  const proxy = await start(t);
  await deploy(proxy, { launch: { command: [process.execPath, '-e', 'setInterval(() => {}, 1e3)'] } });
  await eventually('a process', () => running(proxy).includes('v2'));
  await settles(t, proxy, 'v1');
});

t.test('ready: the admission goes on, and fails', async (t) => {
  const proxy = await start(t);
  await deploy(proxy, { launch: { env: { SICK: '1' } }, admission: { timeout: '1s' } });
  await eventually('the admission', async () => (await swapOf(proxy))?.to === 'v2', LATE);
  await settles(t, proxy, 'v1');
});

t.test('connect: a canary step goes on to the end, without another start', async (t) => {
  const proxy = await start(t);
  const events = await Events.of(t, proxy.adminUrl);
  await deploy(proxy, { strategy: { canary: [{ weight: 40, hold: '1s' }] } });
  await events.wait('step', 'v2');
  const before = launchedBy(proxy).find(({ version }) => version === 'v2')?.pid;
  await settles(t, proxy, 'v2');
  t.equal(launchedBy(proxy)[0].pid, before);
});
