import t from 'tap';
import { pick } from '../../src/balance/pick.ts';
import { randomFrom } from '../swap/random.ts';
import { benchOf, slotOf } from './gauges.ts';
import type { Bench } from './gauges.ts';

const PICKS = 20_000;
const BY_CHANCE = ['least-in-flight', 'random'] as const;

function close(found: readonly number[], expected: readonly number[], by = 0.02): boolean {
  return found.length === expected.length && found.every((share, i) => Math.abs(share - expected[i]) <= by);
}

const shown = (shares: readonly number[]): string => shares.map((share) => share.toFixed(3)).join(' ');

/** Shares when `clients` always have a request in flight each, and requests end in random order. */
function sharesUnderLoad(bench: Bench, clients: number): number[] {
  const { gauges, rotation } = bench;
  const random = randomFrom(7);
  const counts = Array.from(rotation.slots, () => 0);
  const running: number[] = [];
  for (let i = 0; i < PICKS; i++) {
    const index = pick(rotation, gauges, [], 0, random);
    counts[index]++;
    running.push(index);
    gauges.load.set(slotOf(index), (gauges.load.get(slotOf(index)) ?? 0) + 1);
    if (running.length < clients) continue;
    const [over] = running.splice(Math.floor(random() * running.length), 1);
    gauges.load.set(slotOf(over), (gauges.load.get(slotOf(over)) ?? 0) - 1);
  }
  return counts.map((count) => count / PICKS);
}

for (const balance of BY_CHANCE) {
  t.test(`${balance}: weights hold`, async (t) => {
    const even = benchOf(balance, [1, 1, 1, 1]).shares(PICKS);
    t.ok(close(even, [0.25, 0.25, 0.25, 0.25]), shown(even));
    const uneven = benchOf(balance, [5, 3, 2]).shares(PICKS);
    t.ok(close(uneven, [0.5, 0.3, 0.2]), shown(uneven));
    const extreme = benchOf(balance, [1000, 1]).shares(PICKS);
    t.ok(extreme[1] < 0.01 && extreme[1] > 0, shown(extreme));
  });

  t.test(`${balance}: what one cannot take, the others share by weight`, async (t) => {
    const bench = benchOf(balance, [2, 1, 1, 1]);
    bench.gauges.down.add(slotOf(1));
    const shares = bench.shares(PICKS);
    t.ok(close(shares, [0.5, 0, 0.25, 0.25]), `not its neighbour alone: ${shown(shares)}`);
    bench.gauges.down.add(slotOf(2));
    const fewer = bench.shares(PICKS);
    t.ok(close(fewer, [2 / 3, 0, 0, 1 / 3]), shown(fewer));
  });

  t.test(`${balance}: a backend that starts slowly gets its effective share`, async (t) => {
    const bench = benchOf(balance, [1, 1]);
    bench.gauges.eased.set(slotOf(1), 100);
    const tenth = bench.shares(PICKS);
    t.ok(close(tenth, [1 / 1.1, 0.1 / 1.1]), `a tenth of its weight: ${shown(tenth)}`);
    bench.gauges.eased.set(slotOf(1), 500);
    const half = bench.shares(PICKS);
    t.ok(close(half, [1 / 1.5, 0.5 / 1.5]), `half of its weight: ${shown(half)}`);
    bench.gauges.eased.set(slotOf(0), 500);
    const both = bench.shares(PICKS);
    t.ok(close(both, [0.5, 0.5]), `both alike: ${shown(both)}`);
    bench.gauges.down.add(slotOf(0));
    t.strictSame(bench.shares(100), [0, 1], 'alone it gets all');
    bench.gauges.eased.set(slotOf(1), 0);
    t.strictSame(bench.shares(100), [0, 1], 'even with no weight at all');
  });
}

t.test('under load the weights hold too', async (t) => {
  const uneven = sharesUnderLoad(benchOf('least-in-flight', [3, 1, 1]), 50);
  t.ok(close(uneven, [0.6, 0.2, 0.2], 0.03), shown(uneven));
  const slow = benchOf('least-in-flight', [1, 1]);
  slow.gauges.eased.set(slotOf(1), 100);
  const eased = sharesUnderLoad(slow, 50);
  t.ok(eased[1] < 0.13 && eased[1] > 0.03, `a backend that starts slowly is not filled up for being idle: ${shown(eased)}`);
});

t.test('round robin under slow start', async (t) => {
  const bench = benchOf('round-robin', [1, 1, 1]);
  bench.gauges.eased.set(slotOf(2), 100);
  t.ok(close(bench.shares(2100), [1 / 2.1, 1 / 2.1, 0.1 / 2.1], 0.001), 'exactly');
});

t.test('a draw falls between the running sums', async (t) => {
  const { rotation, gauges } = benchOf('random', [1, 3]);
  for (const [drawn, index] of [
    [0, 0],
    [0.249, 0],
    [0.25, 1],
    [0.999, 1],
  ])
    t.equal(
      pick(rotation, gauges, [], 0, () => drawn),
      index,
      String(drawn),
    );
});

t.test('the same seed makes the same picks', async (t) => {
  for (const balance of BY_CHANCE) {
    const picks = (seed: number): number[] => {
      const bench = benchOf(balance, [1, 1, 1], null, seed);
      return Array.from({ length: 50 }, () => bench.pick());
    };
    t.strictSame(picks(5), picks(5), balance);
    t.notSame(picks(5), picks(6), balance);
  }
});
