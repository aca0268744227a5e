import t from 'tap';
import { resolveLaunch } from '../../src/config/launch.ts';
import type { LaunchSpec } from '../../src/config/launch.ts';
import type { Driver, Order } from '../../src/launch/driver.ts';
import { Replica } from '../../src/launch/replica.ts';
import type { ReplicaRecord } from '../../src/launch/records.ts';
import { eventually } from '../helpers/wait.ts';

t.test('what ends again and again is started less and less often, and that is said', async (t) => {
  const did: string[] = [];
  let up = true;
  const driver: Driver = {
    start: async () => {
      did.push('start');
      return { handle: { id: String(did.length) }, address: null };
    },
    ended: () => (up ? new Promise((resolve) => setTimeout(() => resolve({ code: 1, signal: null }), 1)) : new Promise(() => undefined)),
    stop: async () => void did.push('stop'),
    output: async () => ['some words', '---'],
  };
  const records: ReplicaRecord[] = [];
  const events: { type: string; data: Record<string, unknown> }[] = [];
  const order: Order = {
    upstream: 'web',
    version: 'v1',
    replica: 1,
    mark: 'm.1',
    spec: resolveLaunch({ command: ['x'] }, null, []) as LaunchSpec,
    port: null,
    told: {},
    output: '/nowhere',
  };
  const replica = new Replica(order, null, {
    driver,
    record: (change) => void records.push(change),
    emit: (type, data) => void events.push({ type, data }),
    random: () => 0.5,
  });
  replica.adopt({ state: 'intended', port: null, address: null, handle: null });
  await eventually('a loop', () => replica.standing === 'looping', 60_000);
  up = false;
  t.strictSame(
    events
      .filter(({ type }) => type === 'process-exited')
      .map(({ data }) => data.againInMs)
      .slice(0, 5),
    [250, 500, 1_000, 2_000, 4_000],
  );
  t.equal(events.filter(({ type }) => type === 'crash-loop').length, 1);
  t.equal(replica.complaint(), 'its process exited with code 1 and said: some words');
  t.strictSame(did.slice(0, 4), ['stop', 'start', 'stop', 'start'], 'nothing is started beside what may be left');
  t.strictSame(
    records.slice(0, 3).map(({ state }) => state),
    ['intended', 'running', 'intended'],
  );
  await replica.stop();
  t.match(records.at(-1), { state: 'ended', handle: null });
});

function orderOf(fields: Parameters<typeof resolveLaunch>[0]): Order {
  const spec = resolveLaunch({ command: ['x'], ...fields }, null, []) as LaunchSpec;
  return { upstream: 'web', version: 'v1', replica: 1, mark: 'm.1', spec, port: null, told: {}, output: '/nowhere' };
}

const quiet = { record: () => undefined, emit: () => undefined, random: () => 0.5 };

t.test('a driver that does not come to an end with its start is told to give up at the deadline', async (t) => {
  const driver: Driver = {
    start: (_, signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true })),
    ended: () => new Promise(() => undefined),
    stop: async () => undefined,
    output: async () => [],
  };
  const replica = new Replica(orderOf({}), null, { driver, ...quiet });
  await t.rejects(replica.launch(performance.now() + 200), { name: 'StartError', message: 'it was not started within 0.2 s', again: false });
  await replica.stop();
});

t.test('of what a program has printed before it ended, the error is told and not what stands below it', async (t) => {
  let ended = false;
  const output = ["Error: Cannot find module './x'", '    at Function.executeUserEntryPoint (node:internal/x:1:2)', '', 'Node.js v26.10.0'];
  const driver: Driver = {
    start: async () => ({ handle: { id: '1' }, address: null }),
    ended: (_order, _handle, signal) => {
      if (ended) return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }));
      ended = true;
      return Promise.resolve({ code: 1, signal: null });
    },
    stop: async () => undefined,
    output: async (_order, _handle, lines) => output.slice(-lines),
  };
  const replica = new Replica(orderOf({}), null, { driver, ...quiet });
  replica.adopt({ state: 'running', port: null, address: null, handle: { id: '0' } });
  await eventually('its end is known', () => replica.complaint() !== null, 20_000);
  t.equal(replica.complaint(), "its process exited with code 1 and said: Error: Cannot find module './x'");
  await eventually('its next life', () => replica.standing === 'running', 20_000);
  t.equal(replica.complaint(), null, 'requests can be served by it');
  t.equal(replica.lately(), "its process exited with code 1 and said: Error: Cannot find module './x'", 'but why it could not is known still');
  await replica.stop();
});
