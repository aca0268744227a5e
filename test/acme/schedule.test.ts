import t from 'tap';
import { assert, double, integer, nat, option, property } from 'fast-check';
import { renewalAt, retryAfter, retryIn, RETRY } from '../../src/acme/schedule.ts';

const DAY = 86_400_000;
const LIFE = { notBefore: 0, notAfter: 90 * DAY };

t.test('a certificate is renewed at two thirds of its life, or when its authority says', async (t) => {
  t.equal(renewalAt(LIFE, null, 0.5), 60 * DAY);
  t.equal(renewalAt({ notBefore: DAY, notAfter: 7 * DAY }, null, 0), 5 * DAY);
  const window = { start: 10 * DAY, end: 12 * DAY };
  t.equal(renewalAt(LIFE, window, 0), 10 * DAY);
  t.equal(renewalAt(LIFE, window, 0.5), 11 * DAY);
  t.equal(renewalAt(LIFE, { start: -5 * DAY, end: -4 * DAY }, 0), -5 * DAY, 'a window that is over means now');
  t.equal(renewalAt(LIFE, { start: 12 * DAY, end: 10 * DAY }, 0), 60 * DAY, 'a window without an inside is none');
  t.equal(renewalAt(LIFE, { start: 95 * DAY, end: 99 * DAY }, 0), 60 * DAY, 'nor is one after the end');
});

t.test('whatever an authority says, a renewal comes before the certificate expires', async (t) => {
  const at = integer({ min: -100 * DAY, max: 200 * DAY });
  const random = double({ min: 0, max: 0.999, noNaN: true });
  assert(property(at, at, random, (start, end, chance) => renewalAt(LIFE, { start, end }, chance) < LIFE.notAfter));
  t.pass('for every window');
});

t.test('a failed try is repeated later and later, and never sooner than the server asks', async (t) => {
  t.equal(retryIn(1, null, 0), RETRY.first);
  t.equal(retryIn(2, null, 0), 2 * RETRY.first);
  t.equal(retryIn(1, null, 1), 0.8 * RETRY.first, 'less a fifth at most');
  t.equal(retryIn(1000, null, 0), RETRY.most);
  t.equal(retryIn(1, 3_600_000, 0.5), 3_600_000);
  t.equal(retryIn(1, 365 * DAY, 0), 7 * DAY, 'up to a week');
  assert(
    property(integer({ min: 1, max: 10_000 }), option(nat(7 * DAY)), double({ min: 0, max: 0.999, noNaN: true }), (failures, asked, random) => {
      const wait = retryIn(failures, asked, random);
      return wait >= 0.8 * RETRY.first && wait >= (asked ?? 0) && wait <= 7 * DAY;
    }),
  );
  let failed = 0;
  for (let at = 0; at < 3_600_000; at += retryIn(failed, null, 0.999)) failed++;
  t.ok(failed <= 4, `${failed} tries within the first hour`);
});

t.test('Retry-After is seconds or a date', async (t) => {
  t.equal(retryAfter('120', 0), 120_000);
  t.equal(retryAfter('Thu, 01 Jan 1970 00:01:00 GMT', 1000), 59_000);
  t.equal(retryAfter('Thu, 01 Jan 1970 00:01:00 GMT', 90_000), 0);
  for (const odd of [null, 'soon', '']) t.equal(retryAfter(odd, 0), null, String(odd));
});
