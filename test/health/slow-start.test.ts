import * as fc from 'fast-check';
import t from 'tap';
import { effectiveWeights, slowStartFactor } from '../../src/health/slow-start.ts';
import type { SlowStartPolicy } from '../../src/pool/policy.ts';

const POLICY: SlowStartPolicy = { window: 60_000, aggression: 1, minWeight: 10 };

t.test("Envoy's formula", async (t) => {
  const cases: readonly (readonly [Partial<SlowStartPolicy>, number, number])[] = [
    [{}, 0, 0.1],
    [{}, 3000, 0.1],
    [{}, 6000, 0.1],
    [{}, 30_000, 0.5],
    [{}, 59_999, 59_999 / 60_000],
    [{}, 60_000, 1],
    [{}, 1e9, 1],
    [{ aggression: 2 }, 15_000, 0.5],
    [{ aggression: 0.5 }, 30_000, 0.25],
    [{ minWeight: 0 }, 0, 0],
    [{ window: 0 }, 0, 1],
    [{}, -5, 0.1],
  ];
  for (const [change, age, factor] of cases) t.equal(slowStartFactor({ ...POLICY, ...change }, age), factor, JSON.stringify([change, age]));
});

t.test('weights in thousandths', async (t) => {
  t.strictSame(
    effectiveWeights(
      [
        { weight: 1, age: 90_000 },
        { weight: 1, age: 30_000 },
        { weight: 4, age: 0 },
      ],
      POLICY,
    ),
    [1000, 500, 400],
  );
  t.strictSame(
    effectiveWeights(
      [
        { weight: 1, age: 5 },
        { weight: 3, age: 10 },
      ],
      POLICY,
    ),
    [1000, 3000],
    'all are new: nobody takes the rest',
  );
  t.strictSame(effectiveWeights([{ weight: 2, age: 0 }], { ...POLICY, window: 0 }), [2000], 'off');
  t.strictSame(effectiveWeights([], POLICY), []);
});

t.test('never none, never over nominal, and growing with age', async () => {
  const starter = fc.record({ weight: fc.integer({ min: 1, max: 1000 }), age: fc.integer({ min: 0, max: 120_000 }) });
  const policy = fc.record({ window: fc.nat(60_000), aggression: fc.double({ min: 0.1, max: 10, noNaN: true }), minWeight: fc.integer({ min: 0, max: 100 }) });
  fc.assert(
    fc.property(fc.array(starter, { minLength: 1, maxLength: 10 }), policy, (starters, given) => {
      const weights = effectiveWeights(starters, given);
      const older = effectiveWeights([{ weight: 1, age: Infinity }, ...starters], given).slice(1);
      const later = effectiveWeights([{ weight: 1, age: Infinity }, ...starters.map((one) => ({ ...one, age: one.age + 1000 }))], given).slice(1);
      return weights.every((weight, i) => weight >= 1 && weight <= starters[i].weight * 1000 && later[i] >= older[i]);
    }),
    { numRuns: 2000 },
  );
});
