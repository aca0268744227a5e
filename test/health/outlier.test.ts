import * as fc from 'fast-check';
import t from 'tap';
import { OutlierWatch, judgeOutliers } from '../../src/health/outlier.ts';
import type { EjectionRecord, Suspect } from '../../src/health/outlier.ts';
import type { OutlierPolicy } from '../../src/pool/policy.ts';

const POLICY: OutlierPolicy = { failures: 5, base: 30_000, max: 70_000, maxEjected: 10, answers: 600 };

/** One version over time: set the failures, look at some time, see who is ejected. */
function version(size: number, policy = POLICY) {
  const suspects: Suspect[] = Array.from({ length: size }, (_, i) => ({ key: `b${i}`, failures: 0, usable: true }));
  let records = new Map<string, EjectionRecord>();
  return {
    set(i: number, change: Partial<Suspect>): void {
      suspects[i] = { ...suspects[i], ...change };
    },
    at(now: number): string[] {
      records = judgeOutliers(suspects, records, policy, now);
      return [...records].filter(([, { until }]) => until !== null).map(([key]) => key);
    },
  };
}

t.test('five in a row eject, for 30 s', async (t) => {
  const v = version(3);
  v.set(0, { failures: 4 });
  t.strictSame(v.at(0), []);
  v.set(0, { failures: 5 });
  t.strictSame(v.at(1000), ['b0']);
  t.strictSame(v.at(30_999), ['b0']);
  t.strictSame(v.at(31_000), [], 'it is back');
  t.strictSame(v.at(32_000), [], 'and is not ejected again for what it has paid for');
  v.set(0, { failures: 9 });
  t.strictSame(v.at(33_000), []);
  v.set(0, { failures: 10 });
  t.strictSame(v.at(34_000), ['b0'], 'but for five more');
});

t.test('a success between wipes the slate', async (t) => {
  const v = version(2);
  v.set(0, { failures: 8 });
  v.at(0);
  v.at(30_000);
  v.set(0, { failures: 0 });
  t.strictSame(v.at(31_000), []);
  v.set(0, { failures: 5 });
  t.strictSame(v.at(32_000), ['b0']);
});

t.test('each time longer, up to the longest; good times shorten it again', async (t) => {
  const v = version(2);
  const lasts = (from: number): number => {
    v.set(0, { failures: 0 });
    v.at(from - 1);
    v.set(0, { failures: 5 });
    if (v.at(from).length === 0) throw new Error('not ejected');
    let ms = 0;
    while (v.at(from + ms).length > 0) ms += 1000;
    return ms;
  };
  t.equal(lasts(0), 30_000);
  t.equal(lasts(31_000), 60_000);
  t.equal(lasts(92_000), 70_000, 'not over max');
  v.set(0, { failures: 0 });
  for (let now = 162_000; now <= 162_000 + 3 * 30_000; now += 1000) v.at(now);
  t.equal(lasts(260_000), 30_000);
});

t.test('at most 10 % of a version, but one of two', async (t) => {
  for (const [size, most] of [
    [1, 0],
    [2, 1],
    [9, 1],
    [19, 1],
    [20, 2],
    [35, 3],
  ]) {
    const v = version(size);
    for (let i = 0; i < size; i++) v.set(i, { failures: 5 + i });
    const ejected = v.at(0);
    t.equal(ejected.length, most, `${size} backends`);
    if (most > 0) t.ok(ejected.includes(`b${size - 1}`), 'the worst first');
  }
});

t.test('never the last one that could serve', async (t) => {
  const v = version(3);
  v.set(1, { usable: false });
  v.set(2, { usable: false });
  v.set(0, { failures: 50 });
  t.strictSame(v.at(0), []);
});

t.test('off', async (t) => {
  for (const policy of [
    { ...POLICY, failures: 0 },
    { ...POLICY, maxEjected: 0 },
  ]) {
    const v = version(4, policy);
    v.set(0, { failures: 1000 });
    t.strictSame(v.at(0), []);
  }
});

t.test('switching it off brings everyone back', async (t) => {
  const suspects: Suspect[] = [
    { key: 'a', failures: 9, usable: true },
    { key: 'b', failures: 0, usable: true },
  ];
  const records = judgeOutliers(suspects, new Map(), POLICY, 0);
  t.not(records.get('a')?.until, null);
  t.equal(judgeOutliers(suspects, records, { ...POLICY, failures: 0 }, 1000).get('a')?.until, null);
});

t.test('whatever happens: the share holds, someone is left, and every ejection ends', async () => {
  const tick = fc.array(fc.record({ i: fc.nat(11), failures: fc.nat(12), usable: fc.boolean() }), { maxLength: 6 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.array(tick, { maxLength: 60 }), fc.integer({ min: 1, max: 100 }), (size, ticks, maxEjected) => {
      const policy = { ...POLICY, maxEjected };
      const suspects: Suspect[] = Array.from({ length: size }, (_, i) => ({ key: String(i), failures: 0, usable: true }));
      let records: Map<string, EjectionRecord> = new Map();
      let now = 0;
      for (const changes of ticks) {
        for (const { i, failures, usable } of changes) if (i < size) suspects[i] = { key: String(i), failures, usable };
        const before = records;
        records = judgeOutliers(suspects, records, policy, (now += 1000));
        const fresh = suspects.filter(({ key }) => records.get(key)?.until != null && before.get(key)?.until == null);
        const ejected = [...records.values()].filter(({ until }) => until !== null);
        if (ejected.length > Math.max(size > 1 ? 1 : 0, Math.floor((size * maxEjected) / 100))) return false;
        if (fresh.length > 0 && !suspects.some(({ key, usable }) => usable && records.get(key)?.until == null)) return false;
        if (ejected.some(({ until }) => until !== null && (until <= now || until - now > policy.max))) return false;
      }
      records = judgeOutliers(
        suspects.map(({ key }) => ({ key, failures: 0, usable: true })),
        records,
        policy,
        now + policy.max,
      );
      return [...records.values()].every(({ until }) => until === null);
    }),
    { numRuns: 1000 },
  );
});

t.test('the watch looks five times a second, tells once, and forgets who is gone', async (t) => {
  let now = 0;
  let next: (() => void) | null = null;
  let suspects: Suspect[] = [
    { key: 'a', failures: 0, usable: true },
    { key: 'b', failures: 0, usable: true },
  ];
  const told: (readonly [string, number | null])[] = [];
  const watch = new OutlierWatch({
    now: () => now,
    after: (ms, run) => {
      t.equal(ms, 200);
      next = run;
      return () => (next = null);
    },
    groups: () => [{ policy: POLICY, suspects }],
    changed: (key, until) => told.push([key, until]),
  });
  const tick = (): void => {
    now += 1000;
    next?.();
  };
  tick();
  suspects = [{ key: 'a', failures: 6, usable: true }, suspects[1]];
  tick();
  tick();
  t.strictSame(told, [['a', 32_000]]);
  t.ok(watch.isEjected('a'));
  t.notOk(watch.isEjected('b'));
  for (let seconds = 3; seconds < 32; seconds++) tick();
  t.strictSame(told, [
    ['a', 32_000],
    ['a', null],
  ]);
  suspects = [];
  tick();
  t.notOk(watch.isEjected('a'));
  watch.close();
  t.equal(next, null, 'no timer is left');
});
