/** The machine is restarted in the middle of a canary of processes that were launched: they are started again. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { restart } from '../helpers/launched.ts';
import { eventually } from '../helpers/wait.ts';
import { deploy, LATE, running, start } from './deploy-world.ts';
import { HELD, powerCut, reached, swapNow } from './reboot-world.ts';

t.test('what was launched is started again, and the canary goes on', { timeout: 150_000 }, async (t) => {
  const proxy = await start(t);
  await deploy(proxy, { strategy: HELD, admission: { timeout: '2m' } });
  await reached(proxy, 'weight 50');
  await powerCut(proxy);
  await restart(proxy);
  t.match(await reached(proxy, 'healthy again'), ['requested', 'started', 'admitted', 'weight 50', 'machine restarted', 'weight 50', 'healthy again']);
  t.strictSame(running(proxy), ['v1', 'v2']);
  t.match(await proxy.cli(['promote', 'web'], { deadline: LATE }), { code: 0 });
  await eventually('only v2 runs', () => running(proxy).join() === 'v2', LATE);
});

t.test('what cannot be launched again is rolled back, and the reason says why', { timeout: 150_000 }, async (t) => {
  const proxy = await start(t);
  await writeFile(join(proxy.dir, 'v2.mjs'), "import './service.mjs';\n");
  await deploy(proxy, { launch: { command: [process.execPath, 'v2.mjs'] }, strategy: HELD, admission: { timeout: '12s' } });
  await reached(proxy, 'weight 50');
  await powerCut(proxy);
  // It has ended once when the time is up, and has been started again.
  await writeFile(join(proxy.dir, 'v2.mjs'), "setTimeout(() => { throw new Error('no disk'); }, 6_000);\n");
  await restart(proxy);
  await eventually('it is taken back', async () => (await swapNow(proxy)).finished, LATE, 50);
  t.match(await swapNow(proxy), { state: 'rolled-back', reason: /the machine was restarted, and no backend of v2 was healthy again within 12 s: .*no disk/ });
  await eventually('only v1 runs', () => running(proxy).join() === 'v1', LATE);
  await eventually('traffic', async () => (await proxy.send()).status === 200, LATE);
});
