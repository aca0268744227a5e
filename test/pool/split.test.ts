import { assert, property, string } from 'fast-check';
import t from 'tap';
import { BUCKETS, bucketOf, hashText, splitProblem, splitRecord, weightOf } from '../../src/pool/split.ts';

t.test('a split is empty, or whole percents that sum to 100 with each version once', async (t) => {
  t.equal(splitProblem([]), null);
  t.equal(splitProblem([{ version: 'a', weight: 100 }]), null);
  t.equal(
    splitProblem([
      { version: 'b', weight: 1 },
      { version: 'a', weight: 99 },
    ]),
    null,
  );
  t.match(splitProblem([{ version: 'a', weight: 99 }]), /sum to 99/);
  t.match(
    splitProblem([
      { version: 'a', weight: 50 },
      { version: 'a', weight: 50 },
    ]),
    /named twice/,
  );
  t.match(
    splitProblem([
      { version: 'b', weight: 0 },
      { version: 'a', weight: 100 },
    ]),
    /weight of b is 0/,
  );
  t.match(
    splitProblem([
      { version: 'b', weight: 0.5 },
      { version: 'a', weight: 99.5 },
    ]),
    /whole number/,
  );
});

t.test('weights by version', async (t) => {
  const split = [
    { version: 'b', weight: 25 },
    { version: 'a', weight: 75 },
  ];
  t.equal(weightOf(split, 'b'), 25);
  t.equal(weightOf(split, 'c'), 0);
  t.same(splitRecord(split), { b: 25, a: 75 });
});

t.test('buckets are stable, in range, evenly filled, and differ by upstream', async (t) => {
  const web = hashText('web');
  const api = hashText('api');
  assert(
    property(string(), (key) => {
      const bucket = bucketOf(web, key);
      return bucket === bucketOf(web, key) && Number.isInteger(bucket) && bucket >= 0 && bucket < BUCKETS;
    }),
  );
  const keys = Array.from({ length: 20_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  for (const weight of [5, 25, 50]) {
    const share = keys.filter((key) => bucketOf(web, key) < weight * 100).length / keys.length;
    t.ok(Math.abs(share - weight / 100) < 0.02, `${weight} % of the keys: ${share}`);
  }
  const both = keys.filter((key) => bucketOf(web, key) < 1_000 && bucketOf(api, key) < 1_000).length / keys.length;
  t.ok(both < 0.02, `the canaries of two upstreams share ${both} of the keys, by chance 0.01`);
});
