import * as fc from 'fast-check';
import t from 'tap';
import { ClientTableControl } from '../../src/ledger/clients-control.ts';
import { CONNECT, ClientTable, UNCOUNTED } from '../../src/ledger/clients.ts';
import type { Rate } from '../../src/ledger/clients.ts';

const KEY = [0x0badcafe, 0x5eed1e55] as const;
const MILLI = 1e6;

function tableOf(rows = 4096, threads = 1): { control: ClientTableControl; table: ClientTable } {
  const control = new ClientTableControl(rows, threads, KEY);
  return { control, table: new ClientTable(control.buffer, 0) };
}

/** Whether two addresses are one client. */
function same(one: string, other: string): boolean {
  const { table } = tableOf();
  if (table.connect(one, 1, 1) < 0) throw new Error('the first was refused');
  return table.connect(other, 1, 1) === CONNECT.refused;
}

t.test('who is one client', async (t) => {
  const groups = [
    ['192.0.2.1'],
    ['192.0.2.2'],
    ['192.0.21.2'],
    ['1.0.0.0'],
    ['0.0.0.1'],
    ['2001:db8::', '2001:db8::1', '2001:DB8:0:0:ffff::1', '2001:db8:0:0:1:2:3:4', '2001:db8::5:6:7:8', '2001:0db8::192.0.2.1'],
    ['2001:db8:0:1::1', '2001:db8:0:1::', '2001:db8:0:1:2:3:4:5', '2001:db8::1:5:6:7:8'],
    ['2001:db8:1::1', '2001:db8:1::2:3', '2001:db8:1:0:9::'],
    ['::1', '::', '::2:3:4:5', '::ffff:ffff:ffff:1', '0:0:0:0:1:1:1:1'],
    ['::1:5:6:7:8', '0:0:0:1::1'],
    ['::1:2:5:6:7:8', '0:0:1:2::1'],
    ['1::2:5:6:7:8', '1:0:0:2::'],
    ['fe80::1', 'fe80::1%eth0', 'fe80::abcd:1%en1'],
  ];
  for (const [i, group] of groups.entries()) {
    for (const one of group) {
      for (const [j, others] of groups.entries()) for (const other of others) t.equal(same(one, other), i === j, `${one} and ${other}`);
    }
  }
});

t.test('connections are counted up to the cap, and down again', async (t) => {
  const { table, control } = tableOf();
  const rows = [1, 2, 3].map(() => table.connect('192.0.2.7', 3, 1));
  t.ok(rows.every((row) => row >= 0));
  t.equal(new Set(rows).size, 1, 'a client has one row');
  t.equal(table.connect('192.0.2.7', 3, 1), CONNECT.refused);
  t.ok(table.connect('192.0.2.8', 3, 1) >= 0, 'another is not touched by it');
  t.equal(control.inUse(2), 2);
  t.ok(table.connect('192.0.2.7', 4, 1) >= 0, 'the cap is that of the moment');
  table.disconnect(rows[0]);
  t.equal(table.connect('192.0.2.7', 3, 1), CONNECT.refused);
  table.disconnect(rows[1]);
  t.equal(table.connect('192.0.2.7', 3, 1), rows[0]);
});

t.test('what a dead thread had open is given back, and the others keep theirs', async (t) => {
  const { table, control } = tableOf(4096, 2);
  const other = new ClientTable(control.buffer, 1);
  table.connect('192.0.2.7', 9, 1);
  other.connect('192.0.2.7', 9, 1);
  other.connect('192.0.2.7', 9, 1);
  t.equal(table.connect('192.0.2.7', 3, 1), CONNECT.refused);
  control.closeThread(1);
  t.ok(table.connect('192.0.2.7', 2, 1) >= 0);
  t.equal(table.connect('192.0.2.7', 2, 1), CONNECT.refused);
  control.closeThread(1);
  t.equal(table.connect('192.0.2.7', 2, 1), CONNECT.refused, 'it is buried once');
});

t.test('a lock that a dead thread held, and a row it was filling, are free again', async (t) => {
  const { control } = tableOf(8, 2);
  const words = new Int32Array(control.buffer);
  const table = new ClientTable(control.buffer, 0);
  // One set: its lock is the first word behind the head; the rows follow a line later.
  words[16] = 2;
  for (let row = 0; row < 8; row++) words[32 + row * 4 + 1] = -2;
  t.equal(table.connect('192.0.2.7', 3, 1), CONNECT.uncounted);
  t.equal(table.take('192.0.2.7', 0, { requests: 1, per: 1000, burst: 1 }, 1), UNCOUNTED);
  control.closeThread(1);
  t.ok(table.connect('192.0.2.7', 3, 1) >= 0);
});

t.test('rows with connections stay; of the others the one goes that is idle the longest', async (t) => {
  const { table, control } = tableOf(8);
  const rate: Rate = { requests: 1, per: 1000, burst: 1 };
  const name = (i: number): string => `198.51.100.${i}`;
  const held = table.connect(name(0), 1, 0);
  for (let i = 1; i < 8; i++) t.equal(table.take(name(i), 0, rate, i * MILLI), 0);
  t.equal(control.inUse(8 * MILLI), 8);
  t.equal(table.take('203.0.113.1', 0, rate, 20 * MILLI), 0, 'a ninth finds room');
  for (let i = 2; i < 8; i++) t.ok(table.take(name(i), 0, rate, 30 * MILLI) > 0, `${i} is still known`);
  t.ok(table.take('203.0.113.1', 0, rate, 30 * MILLI) > 0, 'so is the ninth');
  t.equal(table.connect(name(0), 1, 30 * MILLI), CONNECT.refused, 'and who is connected');
  t.equal(table.take(name(1), 0, rate, 30 * MILLI), 0, 'the first was forgotten');
  const rows = [1, 2, 3, 4, 5, 6, 7].map((i) => table.connect(`203.0.113.${100 + i}`, 1, 40 * MILLI));
  t.equal(new Set([held, ...rows]).size, 8);
  t.equal(table.connect('203.0.113.200', 1, 41 * MILLI), CONNECT.uncounted, 'no row is free');
  t.equal(table.take('203.0.113.200', 0, rate, 41 * MILLI), UNCOUNTED);
  table.disconnect(rows[3]);
  t.equal(table.connect('203.0.113.200', 1, 42 * MILLI), rows[3]);
});

t.test('a bucket is empty after the burst, fills with time, and says when there is a token', async (t) => {
  const { table, control } = tableOf();
  const rate: Rate = { requests: 10, per: 1000, burst: 3 };
  const start = 5e15;
  for (let i = 0; i < 3; i++) t.equal(table.take('192.0.2.1', 0, rate, start), 0);
  t.equal(table.take('192.0.2.1', 0, rate, start), 100 * MILLI);
  t.equal(table.take('192.0.2.1', 0, rate, start + 40 * MILLI), 60 * MILLI, 'a refusal costs nothing');
  t.equal(table.take('192.0.2.1', 7, rate, start), 0, 'another scope is another bucket');
  t.equal(table.take('192.0.2.2', 0, rate, start), 0, 'another client too');
  t.equal(table.take('192.0.2.1', 0, rate, start + 100 * MILLI), 0);
  t.ok(table.take('192.0.2.1', 0, rate, start + 100 * MILLI) > 0);
  t.equal(control.inUse(start + 100 * MILLI), 1, 'the buckets of a single request are full again');
  t.equal(control.inUse(start + 500 * MILLI), 0);
  t.equal(table.take('192.0.2.1', 0, { requests: 1000, per: 1000, burst: 2 }, start + 100 * MILLI), MILLI, 'a new limit counts from an empty bucket at most');
});

/** As slow and plain as it can be: a number of tokens that grows. */
class Model {
  private readonly buckets = new Map<string, { tokens: number; at: number }>();

  take(who: string, { requests, per, burst }: Rate, now: number): boolean {
    const bucket = this.buckets.get(who) ?? { tokens: burst, at: now };
    const tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) * requests) / (per * MILLI));
    // Nanoseconds are whole in the table: what is nearly a token may be one.
    const has = tokens >= 1 - 1e-6;
    this.buckets.set(who, { tokens: has ? tokens - 1 : tokens, at: now });
    return has;
  }
}

t.test('how long a bucket takes to be full can be looked at, and nothing changes by it', async (t) => {
  const { table } = tableOf(8);
  const rate = { requests: 1, per: 1000, burst: 2 };
  t.equal(table.untilFull('192.0.2.1', -1, 1), 0, 'of nobody');
  t.equal(table.take('192.0.2.1', -1, rate, 1), 0);
  t.equal(table.untilFull('192.0.2.1', -1, 1), 1000 * MILLI);
  t.equal(table.take('192.0.2.1', -1, rate, 1), 0);
  t.equal(table.untilFull('192.0.2.1', -1, 1 + 500 * MILLI), 1500 * MILLI);
  t.equal(table.untilFull('192.0.2.1', 0, 1), 0, 'of another scope');
  t.equal(table.untilFull('192.0.2.2', -1, 1), 0, 'of another client');
  t.equal(table.untilFull('192.0.2.1', -1, 1 + 3000 * MILLI), 0);
});

t.test('any sequence of requests is judged as by a plain token bucket', async (t) => {
  const rate = fc.record({ requests: fc.integer({ min: 1, max: 1000 }), per: fc.constantFrom(100, 1000, 60_000), burst: fc.integer({ min: 1, max: 20 }) });
  // Steps in parts of a token's interval that are never a hair beside a whole one.
  const step = fc.record({
    who: fc.integer({ min: 0, max: 3 }),
    scope: fc.integer({ min: 0, max: 1 }),
    wait: fc.constantFrom(0, 0, 0, 0.25, 0.5, 1.25, 3.5, 40.25),
  });
  fc.assert(
    fc.property(rate, fc.array(step, { maxLength: 120 }), (rate, steps) => {
      const { table } = tableOf(256);
      const model = new Model();
      let now = 1e15;
      for (const { who, scope, wait } of steps) {
        now += Math.round((wait * rate.per * MILLI) / rate.requests) + (wait === 0 ? 0 : 50);
        const got = table.take(`192.0.2.${who}`, scope, rate, now);
        if ((got === 0) !== model.take(`${who} ${scope}`, rate, now)) return false;
        if (got !== 0 && table.take(`192.0.2.${who}`, scope, rate, now + Math.floor(got) - 1000) === 0) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
  t.pass('500 runs');
});

t.test('clients spread evenly, whatever their addresses have in common', async (t) => {
  const { table, control } = tableOf(8192);
  for (let i = 0; i < 4096; i++) table.connect(`10.0.${i >> 8}.${i & 255}`, 1, 1);
  const inV4 = control.inUse(2);
  // With 4 in 8 rows of a set on average, some 1.5 % find theirs full.
  t.ok(inV4 > 3900 && inV4 <= 4096, `${inV4} of 4096 IPv4 neighbours have a row`);
  const six = tableOf(8192);
  for (let i = 0; i < 4096; i++) six.table.connect(`2001:db8:${(i << 4).toString(16)}::1`, 1, 1);
  t.ok(six.control.inUse(2) > 3900, `${six.control.inUse(2)} of 4096 IPv6 neighbours have a row`);
});
