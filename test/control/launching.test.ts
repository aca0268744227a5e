import t from 'tap';
import type { SeedVersion } from '../../src/config/config.ts';
import { resolveLaunch } from '../../src/config/launch.ts';
import type { LaunchSpec } from '../../src/config/launch.ts';
import { launchAndSwap } from '../../src/control/_declared-launch.ts';
import type { Deploys } from '../../src/control/deploys.ts';
import type { Served } from '../../src/control/fleet.ts';
import { launchView } from '../../src/control/launch-views.ts';
import { launchSeed } from '../../src/control/launching.ts';
import { REFUSAL, Refusal } from '../../src/errors/catalogue.ts';
import type { Launches } from '../../src/launch/launches.ts';

const spec = resolveLaunch({ command: ['app', '--token', 'hunter2'], env: { KEY: 'hunter2' } }, null, []) as LaunchSpec;
const seed = (id: string): SeedVersion => ({ id, backends: [], launch: spec });

/** An upstream whose `v1` is to be live first. */
function upstream(versions: { id: string }[] = []) {
  const seeded: string[] = [];
  const driver = {
    state: { swap: null, split: [], versions, history: [] },
    seed: async ({ id }: { id: string }) => void seeded.push(id),
    register: async ({ id }: { id: string }) => void seeded.push(id),
  };
  return { seeded, served: { config: { name: 'web', live: 'v1', policy: { worker: null } }, driver } as unknown as Served };
}

t.test('a seed for which no port is free is tried again: one may be free later', async (t) => {
  const { seeded, served } = upstream();
  const refusals = [new Refusal(REFUSAL.notNow, 'No port from 1 to 2 is free; see launch.ports.')];
  const launches = {
    prepare: async () => {
      const refusal = refusals.pop();
      if (refusal !== undefined) throw refusal;
      return { start: async () => undefined, addresses: ['127.0.0.1:1'], claimed: false };
    },
    follow: () => undefined,
    end: async () => t.fail('nothing was prepared, and nothing is to be ended'),
  } as unknown as Launches;
  const told: string[] = [];
  let failed = 0;
  await launchSeed(launches, served, seed('v1'), new AbortController().signal, { tell: (_, message) => told.push(message), failed: () => failed++ });
  t.strictSame(seeded, ['v1']);
  t.match(told, [/v1 of web could not be launched, it is tried again: No port/]);
  t.equal(failed, 1);
});

t.test('a seed that a deploy has brought up meanwhile is not launched', async (t) => {
  const { served } = upstream([{ id: 'v2' }]);
  const launches = { prepare: async () => t.fail('it was launched') } as unknown as Launches;
  const ears = { tell: (_: string, message: string) => t.fail(message), failed: () => undefined };
  await launchSeed(launches, served, seed('v2'), new AbortController().signal, ears);
});

t.test('a swap that is waited for no longer is not said to have moved nothing: it goes on', async (t) => {
  const view = { id: 'd1', state: 'starting', swap: null, reason: null, failed: [], code: null };
  const deploys = { start: async () => ({ started: true, view }), settled: async () => view } as unknown as Deploys;
  const asked = launchAndSwap(deploys, 'web', { version: 'v2', launch: {}, spec, swap: {} }, { by: 'somebody' }, 2_000);
  await t.rejects(asked, {
    fault: REFUSAL.swapRunning,
    message: 'Processes of v2 are still being started after 2 s. That goes on, and the swap of web follows; it can be aborted.',
  });
});

t.test('how a version is launched is shown without secrets', async (t) => {
  t.match(launchView(spec), { command: ['app', '--token', '***'], env: { KEY: '***' } });
});
