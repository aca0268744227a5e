import t from 'tap';
import { Backends } from '../helpers/backends.ts';
import { CALLER, InProcess } from '../helpers/control.ts';
import { send } from '../helpers/raw_client.ts';
import { eventually } from '../helpers/wait.ts';

const ROUNDS = 6;
/** Of what would never come, if a probe could put a deadline off. */
const LATE = 20_000;

function named(addresses: readonly string[]): { address: string; weight: number }[] {
  return addresses.map((address) => ({ address, weight: 1 }));
}

t.test('deadlines are kept however many probes report in between', async (t) => {
  const backends = await Backends.start(t);
  const versions = { v0: { backends: await backends.listen('v0', 4) } };
  const health = { interval: '10ms', admitInterval: '10ms', timeout: '1s' };
  const proxy = await InProcess.start(t, { upstreams: { web: { routes: [{}], health, versions } } });
  const { operator } = proxy.control;
  const swap = async (to: string, more: Record<string, unknown>): Promise<void> => {
    const addresses = await backends.listen(to, 4, { health: to.startsWith('bad') ? 'fail' : 'ok' });
    await operator.swap('web', { to, backends: named(addresses), ...more }, CALLER);
  };
  for (let n = 1; n <= ROUNDS; n++) {
    await swap(`bad${n}`, { admission: { timeout: 100 } });
    await proxy.event('rejected', `bad${n}`, LATE);
    const { steps } = operator.lastSwap('web');
    const took = Date.parse(steps.at(-1)?.at ?? '') - Date.parse(steps[0].at);
    t.ok(took >= 100, `bad${n} is rejected at its deadline, not before: after ${took} ms`);
  }
  for (let n = 1; n <= ROUNDS; n++) {
    await swap(`v${n}`, { canary: [{ weight: 50, hold: 50 }], drain: { requests: 100, tunnels: 100 } });
    await proxy.event('step', `v${n}`, LATE);
    let answered = 0;
    const held = Array.from({ length: 4 }, () => send(proxy.port, { target: '/hold' }, LATE).finally(() => answered++));
    await proxy.event('live', `v${n}`, LATE);
    await proxy.event('released', `v${n - 1}`, LATE);
    t.pass(`v${n}: the hold of a canary step and the deadline of the drain`);
    // Again and again: one of them may come late.
    const all = async (): Promise<boolean> => {
      await backends.letGo(`v${n}`);
      return answered === held.length;
    };
    await eventually('all to be answered', all, LATE);
    const statuses = (await Promise.all(held)).map(({ status }) => status);
    t.ok(statuses.every((status) => status === 200 || status === 503));
    await eventually('nothing in flight', () => operator.version('web', `v${n}`).inFlight === 0);
  }
});
