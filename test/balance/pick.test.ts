import t from 'tap';
import { FULL, NONE, pick } from '../../src/balance/pick.ts';
import { MAGLEV_SIZE } from '../../src/balance/maglev.ts';
import { Rotation } from '../../src/balance/rotation.ts';
import { ControlLedger } from '../../src/ledger/control.ts';
import { ThreadLedger } from '../../src/ledger/thread.ts';
import { randomFrom } from '../swap/random.ts';
import { benchOf, slotOf } from './gauges.ts';

const ALL = ['least-in-flight', 'round-robin', 'random', 'maglev'] as const;

/** Positions that come up in 200 picks. */
function seen(bench: ReturnType<typeof benchOf>, tried: readonly number[] = []): number[] {
  return [...new Set(Array.from({ length: 200 }, () => bench.pick(tried)))].sort((a, b) => a - b);
}

for (const balance of ALL) {
  t.test(`${balance}: who can be picked`, async (t) => {
    const bench = benchOf(balance, [1, 2, 1, 1]);
    t.strictSame(seen(bench), [0, 1, 2, 3], 'all are');
    bench.gauges.down.add(slotOf(1));
    t.strictSame(seen(bench), [0, 2, 3], 'not one that is not available');
    t.strictSame(seen(bench, [2]), [0, 3], 'nor one that was tried');
    t.strictSame(seen(bench, [0, 2, 3]), [NONE], 'none is left');
    bench.gauges.down.clear();
    t.strictSame(seen(bench, [0, 2, 3]), [1], 'one is left');
    for (let i = 0; i < 4; i++) bench.gauges.down.add(slotOf(i));
    t.strictSame(seen(bench), [NONE], 'none is available');
  });

  t.test(`${balance}: limits`, async (t) => {
    const bench = benchOf(balance, [1, 1, 1], 5);
    bench.gauges.load.set(slotOf(0), 5);
    for (const index of [1, 2]) bench.gauges.load.set(slotOf(index), 4);
    t.strictSame(seen(bench), [1, 2], 'one at its limit is left out, one below it is not');
    bench.gauges.down.add(slotOf(2));
    t.strictSame(seen(bench, [1]), [FULL], 'what is left is full');
    bench.gauges.load.set(slotOf(1), 6);
    t.strictSame(seen(bench), [FULL], 'all that are available are full');
    for (let i = 0; i < 3; i++) bench.gauges.down.add(slotOf(i));
    t.strictSame(seen(bench), [NONE], 'full and not available is not available');
    const unlimited = benchOf(balance, [1, 1]);
    for (let i = 0; i < 2; i++) unlimited.gauges.load.set(slotOf(i), 1e6);
    t.strictSame(seen(unlimited), [0, 1], 'without a limit nothing is full');
  });

  t.test(`${balance}: a version with one backend, and with none`, async (t) => {
    const bench = benchOf(balance, [7], 2);
    t.equal(bench.pick(), 0);
    t.equal(bench.pick([0]), NONE, 'tried');
    bench.gauges.load.set(slotOf(0), 2);
    t.equal(bench.pick(), FULL);
    bench.gauges.down.add(slotOf(0));
    t.equal(bench.pick(), NONE);
    t.equal(benchOf(balance, []).pick(), NONE);
  });

  t.test(`${balance}: a refusal costs looks at each backend, not more`, async (t) => {
    const bench = benchOf(balance, [1, 1, 1, 1, 1], 1);
    for (let i = 0; i < 5; i++) bench.gauges.load.set(slotOf(i), 1);
    t.equal(bench.pick(), FULL);
    t.ok(bench.gauges.reads < 40, `${bench.gauges.reads} reads`);
  });
}

t.test('round robin goes round smoothly, by weight', async (t) => {
  const bench = benchOf('round-robin', [5, 1, 1]);
  t.strictSame(
    Array.from({ length: 14 }, () => bench.pick()),
    [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0],
    'nobody waits for a block of others',
  );
  const even = benchOf('round-robin', [1, 1, 1]);
  t.strictSame(
    Array.from({ length: 7 }, () => even.pick()),
    [0, 1, 2, 0, 1, 2, 0],
  );
  even.gauges.down.add(slotOf(1));
  t.strictSame(
    Array.from({ length: 5 }, () => even.pick()).toSorted((a, b) => a - b),
    [0, 0, 2, 2, 2],
    'the others share what was its',
  );
  even.gauges.down.clear();
  t.ok(Array.from({ length: 3 }, () => even.pick()).filter((index) => index === 1).length < 3, 'it does not get it back at once');
});

t.test('least in flight prefers the less loaded', async (t) => {
  const two = benchOf('least-in-flight', [1, 1]);
  two.gauges.load.set(slotOf(0), 3);
  two.gauges.load.set(slotOf(1), 2);
  t.strictSame(two.shares(100), [0, 1], 'of two always');
  two.gauges.load.set(slotOf(0), 2);
  t.ok(
    two.shares(2000).every((share) => share > 0.45),
    'a tie is a draw',
  );
  const weighted = benchOf('least-in-flight', [1, 3]);
  weighted.gauges.load.set(slotOf(0), 2);
  weighted.gauges.load.set(slotOf(1), 5);
  t.strictSame(weighted.shares(100), [0, 1], 'five on a weight of three are less than two on one');
  weighted.gauges.load.set(slotOf(1), 7);
  t.strictSame(weighted.shares(100), [1, 0], 'seven are more');
  const many = benchOf('least-in-flight', Array<number>(10).fill(1));
  for (let i = 0; i < 10; i++) many.gauges.load.set(slotOf(i), i === 4 ? 50 : 1);
  t.equal(many.shares(2000)[4], 0, 'the most loaded of ten loses each comparison');
});

t.test('maglev keeps a key with its backend', async (t) => {
  const bench = benchOf('maglev', [1, 1, 1, 1]);
  const keys = Array.from({ length: 500 }, (_, i) => i * 7919);
  const before = keys.map((key) => bench.pick([], key));
  t.strictSame(
    keys.map((key) => bench.pick([], key)),
    before,
    'always',
  );
  t.strictSame(
    keys.map((key) => bench.pick([], key + MAGLEV_SIZE)),
    before,
    'the key is taken by the table’s size',
  );
  for (let i = 0; i < 4; i++) bench.gauges.load.set(slotOf(i), i * 100);
  t.strictSame(
    keys.map((key) => bench.pick([], key)),
    before,
    'whatever the load',
  );
  bench.gauges.down.add(slotOf(2));
  const after = keys.map((key) => bench.pick([], key));
  t.ok(
    after.every((index, i) => (before[i] === 2 ? index !== 2 : index === before[i])),
    'only the keys of the one that is gone move',
  );
  const inherited = [0, 1, 3].map((index) => after.filter((now, i) => before[i] === 2 && now === index).length);
  t.ok(Math.min(...inherited) > 0.2 * before.filter((index) => index === 2).length, `and spread over the others: ${inherited.join()}`);
  t.ok(bench.pick([], -1) >= 0, 'a negative key is a key');
  const tiny = benchOf('maglev', [...Array<number>(6).fill(1000), 1]);
  t.notOk(tiny.rotation.maglev?.includes(6), 'a weight can be too small for an entry of the table');
  for (let i = 0; i < 6; i++) tiny.gauges.down.add(slotOf(i));
  t.equal(tiny.pick(), 6, 'alone it is picked all the same');
});

t.test('picks read the ledger', async (t) => {
  const control = new ControlLedger(2, 8);
  const [mine, other] = [new ThreadLedger(control.buffer, 0), new ThreadLedger(control.buffer, 1)];
  const slots = control.takeSlots(3) ?? [];
  const version = slots.pop() ?? -1;
  const rotation = new Rotation(
    slots.map((slot) => ({ slot, address: String(slot), weight: 1 })),
    'least-in-flight',
    { connections: 4, sockets: null },
  );
  const random = randomFrom(3);
  const next = (): number => pick(rotation, mine, [], 0, random);
  t.equal(next(), NONE, 'nothing is available until control says so');
  for (const slot of slots) control.setAvailable(slot, true);
  for (const slot of slots) control.setWeight(slot, 1000);
  other.claim(slots[0], version, 1);
  t.strictSame(Array.from({ length: 20 }, next), Array(20).fill(1), 'what is in flight on another thread counts');
  for (let i = 0; i < 4; i++) other.claim(slots[1], version, 1);
  for (let i = 0; i < 3; i++) mine.claim(slots[0], version, 1);
  t.equal(next(), FULL, 'limits are over all threads');
  control.setAvailable(slots[0], false);
  control.setAvailable(slots[1], false);
  t.equal(next(), NONE, 'availability changes at once');
});
