import t from 'tap';
import type { SeedVersion } from '../../src/config/config.ts';
import { resolveLaunch } from '../../src/config/launch.ts';
import type { LaunchSpec } from '../../src/config/launch.ts';
import type { Served } from '../../src/control/fleet.ts';
import { Seed } from '../../src/control/seeds.ts';
import { REFUSAL, Refusal } from '../../src/errors/catalogue.ts';
import type { Launches } from '../../src/launch/launches.ts';
import { eventually } from '../helpers/wait.ts';

const spec = resolveLaunch({ command: ['app'] }, null, []) as LaunchSpec;
const PAUSE_MS = 10;

interface Started {
  readonly up: () => void;
  readonly fails: (why: Error) => void;
}

/** An upstream whose `v1` is to be live first, and the launches of a seed: each comes up, or fails, when the test says so. */
function seedOf(id: string, refusals: Error[] = []) {
  const versions: { id: string }[] = [];
  const add = async (input: { id: string }): Promise<void> => void versions.push(input);
  const driver = { state: { swap: null, split: [], versions, history: [] }, seed: add, register: add };
  const served = { config: { name: 'web', live: 'v1', policy: { worker: null } }, driver } as unknown as Served;
  const starts: Started[] = [];
  const told: string[] = [];
  let ended = 0;
  const launches = {
    prepare: async () => {
      const refusal = refusals.pop();
      if (refusal !== undefined) throw refusal;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const start = (): Promise<void> => {
        starts.push({ up: resolve, fails: reject });
        return promise;
      };
      return { start, fails: reject, addresses: ['127.0.0.1:1'], claimed: false };
    },
    follow: () => undefined,
    end: async (launch: Started) => {
      ended++;
      launch.fails(new Error('it is being stopped'));
    },
  } as unknown as Launches;
  const seed: SeedVersion = { id, backends: [], launch: spec };
  const tried = new Seed({ launches, served, seed, stop: new AbortController().signal, tell: (_, message) => told.push(message) }, PAUSE_MS);
  return { seed: tried, versions, starts, told, ended: () => ended };
}

t.test('a seed for which no port is free is tried again: one may be free later', async (t) => {
  const { seed, versions, starts, told } = seedOf('v1', [new Refusal(REFUSAL.notNow, 'No port from 1 to 2 is free; see launch.ports.')]);
  const run = seed.run();
  await eventually('a second try', () => starts.length === 1);
  t.equal(seed.hasFailed, true);
  starts[0].up();
  await run;
  t.match(versions, [{ id: 'v1', backends: [{ address: '127.0.0.1:1' }] }]);
  t.match(told, [/v1 of web could not be launched, it is tried again: No port/]);
});

t.test('a seed that a deploy has brought up meanwhile is not launched', async (t) => {
  const { seed, versions, starts } = seedOf('v2');
  versions.push({ id: 'v2' });
  await seed.run();
  t.strictSame(starts, []);
});

t.test('a try that is under way makes way for a deploy of that version, and nothing is tried until that is over', async (t) => {
  const { seed, versions, starts, told, ended } = seedOf('v2');
  const run = seed.run();
  await eventually('a try', () => starts.length === 1);
  const deploy = Promise.withResolvers<void>();
  await seed.giveWay(deploy.promise);
  t.ok(ended() > 0, 'what it had started is ended when the deploy begins');
  t.strictSame(told, [], 'it has not failed');
  versions.push({ id: 'v2' });
  deploy.resolve();
  await run;
  t.equal(starts.length, 1);
});

t.test('a seed is tried again after a deploy of it that has failed', async (t) => {
  const { seed, versions, starts } = seedOf('v2');
  const run = seed.run();
  await eventually('a try', () => starts.length === 1);
  const deploy = Promise.withResolvers<void>();
  await seed.giveWay(deploy.promise);
  // More than enough for another try, were there one.
  await new Promise((resolve) => setTimeout(resolve, 5 * PAUSE_MS));
  t.equal(starts.length, 1, 'not while the deploy is going on');
  deploy.resolve();
  await eventually('another try', () => starts.length === 2);
  starts[1].up();
  await run;
  t.match(versions, [{ id: 'v2' }]);
});

t.test('a seed that comes up as a deploy begins is registered, and the deploy hears of it then', async (t) => {
  const { seed, versions, starts, ended } = seedOf('v2');
  const run = seed.run();
  await eventually('a try', () => starts.length === 1);
  starts[0].up();
  await seed.tried;
  await seed.giveWay(Promise.resolve());
  await run;
  t.equal(ended(), 0);
  t.match(versions, [{ id: 'v2' }]);
});
