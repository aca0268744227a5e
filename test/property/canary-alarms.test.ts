import t from 'tap';
import { playMany } from '../swap/canaries.ts';
import type { Scene } from '../swap/canaries.ts';
import { randomFrom } from '../swap/random.ts';

const always = (share: number) => (): number => share;
const same = (share: number): Pick<Scene, 'stableErrors' | 'incomingErrors'> => ({ stableErrors: always(share), incomingErrors: always(share) });
const BASE = { rps: 500, share: 0.5, latency: null, seconds: 60, steps: 1, ...same(0.01) } satisfies Scene;

/** Share of the runs that were failed within so many seconds. */
function within(failed: readonly number[], seconds: number): number {
  return failed.filter((second) => second <= seconds).length / failed.length;
}

t.test('10 000 canaries without a difference, looked at each second: at most 1 % are failed', async (t) => {
  const burst = (second: number): number => (second % 20 < 4 ? 0.2 : 0.002);
  const scenes: [string, Scene][] = [
    ['1 % of errors, half of the traffic', BASE],
    ['1 %, 5 % of the traffic', { ...BASE, share: 0.05 }],
    ['0.05 %, a quarter', { ...BASE, share: 0.25, ...same(0.0005) }],
    ['10 % at 40 requests a second', { ...BASE, rps: 40, share: 0.25, ...same(0.1) }],
    ['bursts that hit both sides at the same time', { ...BASE, share: 0.25, stableErrors: burst, incomingErrors: burst }],
  ];
  for (const [i, [name, scene]] of scenes.entries()) {
    const failed = within(playMany(scene, 2_000, randomFrom(1_000 + i)), BASE.seconds);
    t.ok(failed <= 0.01, `${name}: ${failed * 100} %`);
  }
});

t.test('errors that double, from 1 % to 2 % at 500 requests a second, are caught within 60 s', async (t) => {
  const doubled = { ...BASE, incomingErrors: always(0.02) };
  for (const [share, steps, least] of [
    [0.5, 1, 0.95],
    [0.5, 3, 0.95],
    [0.25, 3, 0.95],
    // 25 requests a second: half of them are not caught in that time, whatever the test.
    [0.05, 1, 0.2],
  ]) {
    const caught = within(playMany({ ...doubled, share, steps }, 400, randomFrom(7)), 60);
    t.ok(caught >= least, `${share * 100} % of the traffic, ${steps} steps: ${caught * 100} %`);
  }
});

t.test('latencies: the same ones raise no alarm, and twice as long ones are caught', async (t) => {
  const equal: Scene = { ...BASE, ...same(0), latency: { stable: 40, incoming: 40, sigma: 0.6 } };
  const alarms = within(playMany(equal, 200, randomFrom(3)), BASE.seconds);
  t.ok(alarms <= 0.01, `${alarms * 100} % of alarms`);
  const slow = within(playMany({ ...equal, latency: { stable: 40, incoming: 80, sigma: 0.6 } }, 100, randomFrom(4)), 60);
  t.ok(slow >= 0.95, `${slow * 100} % caught`);
  const quick = within(playMany({ ...equal, latency: { stable: 80, incoming: 40, sigma: 0.6 } }, 100, randomFrom(5)), BASE.seconds);
  t.equal(quick, 0, 'faster is no failure');
});
