import t from 'tap';
import { resolveLaunch } from '../../src/config/launch.ts';
import type { LaunchSpec } from '../../src/config/launch.ts';
import { launchAndSwap } from '../../src/control/_declared-launch.ts';
import type { Deploys } from '../../src/control/deploys.ts';
import { launchView } from '../../src/control/launch-views.ts';
import { REFUSAL } from '../../src/errors/catalogue.ts';

const spec = resolveLaunch({ command: ['app', '--token', 'hunter2'], env: { KEY: 'hunter2' } }, null, []) as LaunchSpec;

t.test('a swap that is waited for no longer is not said to have moved nothing: it goes on', async (t) => {
  const view = { id: 'd1', state: 'starting', swap: null, reason: null, failed: [], code: null };
  const deploys = { start: async () => ({ started: true, view }), settled: async () => view } as unknown as Deploys;
  const asked = launchAndSwap(deploys, 'web', { version: 'v2', launch: {}, spec, swap: {} }, { by: 'somebody' }, 2_000);
  await t.rejects(asked, {
    fault: REFUSAL.swapRunning,
    facts: { deploy: 'd1' },
    message: 'Processes of v2 are still being started after 2 s. That goes on, and the swap of web follows; it can be aborted.',
  });
});

t.test('how a version is launched is shown without secrets', async (t) => {
  t.match(launchView(spec), { command: ['app', '--token', '***'], env: { KEY: '***' } });
});
