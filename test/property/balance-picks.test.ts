import * as fc from 'fast-check';
import t from 'tap';
import { FULL, NONE } from '../../src/balance/pick.ts';
import { benchOf, slotOf } from '../balance/gauges.ts';

const OPTIONS = { seed: Number(process.env.BALANCE_SEED ?? 20_260_101), numRuns: 3000 };

interface Backend {
  readonly weight: number;
  readonly down: boolean;
  readonly load: number;
  readonly eased: number;
  readonly tried: boolean;
}

const backend: fc.Arbitrary<Backend> = fc.record({
  weight: fc.integer({ min: 1, max: 1000 }),
  down: fc.boolean(),
  load: fc.nat(6),
  eased: fc.oneof(fc.constant(1000), fc.nat(1000)),
  tried: fc.boolean(),
});

/** What may come of a pick, by the words of its description. */
function allowed(backends: readonly Backend[], limit: number): number[] {
  const usable = [...backends.keys()].filter((i) => !backends[i].down && !backends[i].tried && backends[i].load < limit);
  if (usable.length > 0) return usable;
  return [backends.some(({ down, load }) => !down && load >= limit) ? FULL : NONE];
}

t.test('a pick is one that may be picked, or says why there is none', async (t) => {
  const outcomes = { picked: 0, full: 0, none: 0 };
  fc.assert(
    fc.property(
      fc.array(backend, { maxLength: 8 }),
      fc.constantFrom('least-in-flight' as const, 'round-robin' as const, 'random' as const, 'maglev' as const),
      fc.option(fc.integer({ min: 1, max: 6 })),
      fc.integer(),
      (backends, balance, limit, seed) => {
        const bench = benchOf(
          balance,
          backends.map(({ weight }) => weight),
          limit,
          seed,
        );
        const tried: number[] = [];
        for (const [i, one] of backends.entries()) {
          if (one.down) bench.gauges.down.add(slotOf(i));
          if (one.tried) tried.push(i);
          bench.gauges.load.set(slotOf(i), one.load);
          bench.gauges.eased.set(slotOf(i), one.eased);
        }
        const may = allowed(backends, limit ?? Infinity);
        for (let i = 0; i < 5; i++) {
          const found = bench.pick(tried);
          if (!may.includes(found)) throw new Error(`${balance} picked ${found}, allowed are ${may.join()}`);
          outcomes[found === FULL ? 'full' : found === NONE ? 'none' : 'picked']++;
        }
      },
    ),
    OPTIONS,
  );
  t.ok(outcomes.picked > 100 && outcomes.full > 100 && outcomes.none > 100, JSON.stringify(outcomes));
});

t.test('smooth round robin gives each its weight, exactly, in every round', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 6 }), fc.nat(3), (weights, rounds) => {
      const bench = benchOf('round-robin', weights);
      const round = weights.reduce((sum, weight) => sum + weight, 0);
      for (let i = 0; i <= rounds; i++) {
        const counts = weights.map(() => 0);
        for (let pick = 0; pick < round; pick++) counts[bench.pick()]++;
        if (counts.join() !== weights.join()) throw new Error(`round ${i}: ${counts.join()} instead of ${weights.join()}`);
      }
    }),
    { ...OPTIONS, numRuns: 500 },
  );
  t.pass('500 rotations');
});

t.test('of two, least in flight always takes the one with less per weight', async (t) => {
  const pair = fc.tuple(fc.integer({ min: 1, max: 50 }), fc.nat(30), fc.integer({ min: 1, max: 1000 }));
  fc.assert(
    fc.property(pair, pair, fc.integer(), (a, b, seed) => {
      const bench = benchOf('least-in-flight', [a[0], b[0]], null, seed);
      for (const [i, [, load, eased]] of [a, b].entries()) {
        bench.gauges.load.set(slotOf(i), load);
        bench.gauges.eased.set(slotOf(i), eased);
      }
      const found = bench.pick();
      const [left, right] = [a[1] * b[0] * b[2], b[1] * a[0] * a[2]];
      return left === right || found === (left < right ? 0 : 1);
    }),
    OPTIONS,
  );
  t.pass(`${OPTIONS.numRuns} pairs`);
});
