import * as fc from 'fast-check';
import t from 'tap';
import { TICK_MS, Wheel } from '../../src/data/wheel.ts';
import { Deadline } from '../../src/proxy/deadline.ts';
import { randomFrom } from '../swap/random.ts';

/** A deadline that writes down when it expired. */
class Alarm {
  readonly deadline = new Deadline(this);
  readonly rang: number[] = [];
  private readonly wheel: Wheel;
  private readonly onExpired: () => void;

  constructor(wheel: Wheel, onExpired: () => void = () => undefined) {
    this.wheel = wheel;
    this.onExpired = onExpired;
  }

  expired(): void {
    this.rang.push(this.wheel.now);
    this.onExpired();
  }
}

const START = 1234.5;
const wheelAt = (now = START): Wheel => new Wheel(now, 1_700_000_000_000);

/** Lets time pass a tick at a time. */
function pass(wheel: Wheel, millis: number): void {
  const until = wheel.now + millis;
  while (wheel.now < until) wheel.advance(Math.min(until, wheel.now + TICK_MS), wheel.epoch);
}

t.test('a deadline expires once, not before its time, and at most a tick after', async (t) => {
  // Looked at between two ticks, a tick's deadlines are found when it is over: at the next look.
  for (const [start, latest] of [
    [1250, TICK_MS],
    [START, 2 * TICK_MS - 1],
  ]) {
    for (const millis of [0, 1, 49, 50, 51, 3000, 25_550, 25_600, 25_650, 60_000, 3_600_000]) {
      const wheel = wheelAt(start);
      const alarm = new Alarm(wheel);
      wheel.arm(alarm.deadline, millis);
      pass(wheel, millis + 200_000);
      t.equal(alarm.rang.length, 1, `${millis} ms: once`);
      const late = alarm.rang[0] - start - millis;
      t.ok(late >= 0 && late <= latest, `${millis} ms: ${late} ms late`);
      t.equal(alarm.deadline.at, Infinity, 'it is off');
    }
  }
});

t.test('a dropped deadline is off, and the wheel knows nothing of it any more', async (t) => {
  const wheel = wheelAt(0);
  const gone: Alarm[] = [];
  const others = Array.from({ length: 9 }, (_, i) => new Alarm(wheel, () => i === 4 && gone.forEach(({ deadline }) => wheel.drop(deadline))));
  for (const { deadline } of others) wheel.arm(deadline, 1000);
  // All are due in one turn; one of them, as it expires, drops its neighbours on both sides, the first and the last.
  gone.push(others[0], others[3], others[5], others[8]);
  wheel.drop(others[1].deadline);
  wheel.drop(others[1].deadline);
  t.strictSame([others[1].deadline.tick, others[1].deadline.next, others[1].deadline.previous], [-1, null, null], 'linked nowhere');
  pass(wheel, 2000);
  const rang = others.map((alarm) => alarm.rang.length);
  t.equal(rang[1], 0);
  t.strictSame([rang[2], rang[4], rang[6], rang[7]], [1, 1, 1, 1], 'the others expire, each once');
  t.equal(rang[0] + rang[3] + rang[5] + rang[8], 2, 'of its neighbours those that came before it did');
  for (const { deadline } of others) t.equal(deadline.tick, -1);
  wheel.arm(others[1].deadline, 100);
  pass(wheel, 200);
  t.equal(others[1].rang.length, 1, 'it can be armed again');
});

t.test('moved, off, and on again', async (t) => {
  const wheel = wheelAt(0);
  const alarm = new Alarm(wheel);
  wheel.arm(alarm.deadline, 1000);
  pass(wheel, 900);
  wheel.arm(alarm.deadline, 1000);
  pass(wheel, 900);
  t.strictSame(alarm.rang, [], 'moved later');
  pass(wheel, 150);
  t.equal(alarm.rang.length, 1);
  wheel.arm(alarm.deadline, 30_000);
  wheel.arm(alarm.deadline, 100);
  pass(wheel, 150);
  t.equal(alarm.rang.length, 2, 'moved earlier');
  pass(wheel, 60_000);
  t.equal(alarm.rang.length, 2, 'and not at the first time too');
  wheel.arm(alarm.deadline, 100);
  wheel.disarm(alarm.deadline);
  pass(wheel, 60_000);
  t.equal(alarm.rang.length, 2, 'off');
  wheel.arm(alarm.deadline, 100);
  wheel.disarm(alarm.deadline);
  wheel.arm(alarm.deadline, 500);
  pass(wheel, 450);
  t.equal(alarm.rang.length, 2, 'on again, later');
  pass(wheel, 150);
  t.equal(alarm.rang.length, 3);
  wheel.disarm(alarm.deadline);
  wheel.disarm(new Alarm(wheel).deadline);
  pass(wheel, 1000);
  t.equal(alarm.rang.length, 3, 'off when it is off already');
  wheel.arm(alarm.deadline, Infinity);
  pass(wheel, 60_000);
  t.equal(alarm.rang.length, 3, 'never is never');
});

t.test('many in one bucket, unlinked from its front, middle and back', async (t) => {
  const wheel = wheelAt(0);
  const alarms = Array.from({ length: 5 }, () => new Alarm(wheel));
  for (const { deadline } of alarms) wheel.arm(deadline, 10_000);
  for (const i of [4, 2, 0]) wheel.arm(alarms[i].deadline, 100);
  pass(wheel, 200);
  t.strictSame(
    alarms.map(({ rang }) => rang.length),
    [1, 0, 1, 0, 1],
  );
  pass(wheel, 10_000);
  t.strictSame(
    alarms.map(({ rang }) => rang.length),
    [1, 1, 1, 1, 1],
  );
});

t.test('what expires may arm itself and switch off others', async (t) => {
  const wheel = wheelAt(0);
  const victim = new Alarm(wheel);
  const late = new Alarm(wheel);
  const repeating = new Alarm(wheel, () => wheel.arm(repeating.deadline, 100));
  const killer = new Alarm(wheel, () => {
    wheel.disarm(victim.deadline);
    wheel.arm(late.deadline, 1000);
  });
  for (const { deadline } of [late, victim, killer, repeating]) wheel.arm(deadline, 100);
  pass(wheel, 950);
  t.equal(victim.rang.length, 0, 'switched off by one that expires with it');
  t.equal(late.rang.length, 0, 'moved by one that expires with it');
  t.ok(repeating.rang.length >= 6 && repeating.rang.length <= 9, `${repeating.rang.length} times`);
  pass(wheel, 250);
  t.equal(late.rang.length, 1);
});

t.test('what is due may be taken in parts, between which anything may change', async (t) => {
  const wheel = wheelAt(0);
  const alarms = Array.from({ length: 10 }, () => new Alarm(wheel));
  for (const { deadline } of alarms) wheel.arm(deadline, 100);
  const next = new Alarm(wheel);
  wheel.arm(next.deadline, 160);
  wheel.look(1, 0);
  const rang = (): number => alarms.filter((alarm) => alarm.rang.length === 1).length;
  t.equal(wheel.advance(250, 0, 3), true);
  t.equal(rang(), 3);
  const [dropped, moved, off] = alarms.filter((alarm) => alarm.rang.length === 0);
  wheel.drop(dropped.deadline);
  wheel.arm(moved.deadline, 1000);
  wheel.disarm(off.deadline);
  const fresh = new Alarm(wheel);
  wheel.arm(fresh.deadline, 0);
  t.equal(wheel.advance(250, 0, 3), true, 'at the same time');
  t.equal(rang(), 6);
  t.equal(next.rang.length, 0, 'a bucket is finished before the next');
  t.equal(wheel.advance(300, 0, 3), false);
  t.equal(rang(), 7);
  t.strictSame(
    [dropped, moved, off].map((alarm) => alarm.rang.length),
    [0, 0, 0],
  );
  t.equal(next.rang.length, 1);
  pass(wheel, 2_000);
  t.strictSame(
    [dropped, moved, off, fresh].map((alarm) => alarm.rang.length),
    [0, 1, 0, 1],
  );
});

t.test('after a stall all that is due expires at once, and the rest is kept', async (t) => {
  for (const stall of [1000, 25_600, 25_650, 26_000, 600_000]) {
    const wheel = wheelAt(0);
    const alarms = [100, stall - 50, stall, stall + 50, stall + 30_000].map((millis) => {
      const alarm = new Alarm(wheel);
      wheel.arm(alarm.deadline, millis);
      return alarm;
    });
    const again = new Alarm(wheel, () => (again.rang.length < 3 ? wheel.arm(again.deadline, 0) : undefined));
    wheel.arm(again.deadline, 100);
    wheel.look(1, 0);
    wheel.advance(stall, 0);
    t.strictSame(
      alarms.slice(0, 2).map(({ rang }) => rang),
      [[stall], [stall]],
      `${stall} ms`,
    );
    t.strictSame(
      alarms.slice(3).map(({ rang }) => rang.length),
      [0, 0],
    );
    pass(wheel, 30_100);
    t.ok(alarms.every(({ rang }) => rang.length === 1));
    t.equal(again.rang.length, 3, 'a deadline of nothing does not run for ever');
  }
});

t.test('what is armed behind a stall, before it is known, has all of its time', async (t) => {
  const armed = 3_000;
  for (const stall of [101, 150, 1_000, 3_000, 25_600, 60_000]) {
    const wheel = wheelAt(0);
    const before = new Alarm(wheel);
    const off = new Alarm(wheel);
    const moved = new Alarm(wheel);
    const behind = new Alarm(wheel);
    wheel.arm(before.deadline, armed);
    wheel.arm(moved.deadline, 100);
    pass(wheel, TICK_MS);
    // The clock stands still meanwhile, and then these are armed.
    wheel.arm(behind.deadline, armed);
    wheel.arm(moved.deadline, armed);
    wheel.arm(off.deadline, armed);
    wheel.disarm(off.deadline);
    wheel.advance(TICK_MS + stall, 0);
    t.equal(before.rang.length, stall + TICK_MS > armed ? 1 : 0, `${stall} ms`);
    pass(wheel, 2 * armed);
    for (const { rang } of [behind, moved]) {
      const late = rang[0] - TICK_MS - stall - armed;
      t.ok(rang.length === 1 && late >= 0 && late <= 2 * TICK_MS, `${late} ms late`);
    }
    t.strictSame(off.rang, [], 'what is off stays off');
  }
});

t.test('time is what it was told', async (t) => {
  const wheel = wheelAt();
  t.strictSame([wheel.now, wheel.epoch], [START, 1_700_000_000_000]);
  wheel.advance(START + 7, 1_700_000_000_007);
  t.strictSame([wheel.now, wheel.epoch], [START + 7, 1_700_000_000_007]);
});

/** The wheel beside a list: the times at which each deadline is due. */
class Model {
  readonly wheel: Wheel;
  private readonly due: number[];
  private readonly deadlines: Deadline[];
  private readonly random: () => number;
  /** Those that were armed since the time was looked at last. */
  private readonly fresh = new Set<number>();

  constructor(start: number, count: number, seed: number) {
    this.wheel = new Wheel(start, 0);
    this.random = randomFrom(seed);
    this.due = Array.from({ length: count }, () => Infinity);
    this.deadlines = this.due.map((_, i) => new Deadline({ expired: () => this.expired(i) }));
  }

  private millis(): number {
    const kind = this.random();
    if (kind < 0.3) return Math.floor(this.random() * 4) * 25;
    return this.random() * (kind < 0.8 ? 2000 : 70_000);
  }

  private expired(i: number): void {
    if (this.due[i] === Infinity) throw new Error(`${i} was off and expired`);
    if (this.due[i] > this.wheel.now) throw new Error(`${i} expired ${this.due[i] - this.wheel.now} ms early`);
    this.due[i] = Infinity;
    if (this.random() < 0.5) this.act();
  }

  /** Arms, moves or switches off one of them. */
  act(): void {
    const i = Math.floor(this.random() * this.due.length);
    const kind = this.random();
    if (kind < 0.25) {
      if (kind < 0.125) this.wheel.disarm(this.deadlines[i]);
      else this.wheel.drop(this.deadlines[i]);
      this.due[i] = Infinity;
    } else {
      const millis = this.millis();
      this.due[i] = this.wheel.now + millis;
      this.fresh.add(i);
      this.wheel.arm(this.deadlines[i], millis);
    }
  }

  advance(millis: number): void {
    const { now: before } = this.wheel;
    const now = before + millis;
    if (now - before > 2 * TICK_MS) for (const i of this.fresh) this.due[i] += now - before;
    if (now > before) this.fresh.clear();
    this.wheel.advance(now, 0);
    for (const [i, due] of this.due.entries()) {
      if (Math.floor(due / TICK_MS) < Math.floor(now / TICK_MS)) throw new Error(`${i} was due at ${due} and has not expired at ${now}`);
    }
  }
}

t.test('it does what a list of times would do', async (t) => {
  const passing = fc.oneof(
    { weight: 6, arbitrary: fc.double({ min: 0, max: 120, noNaN: true }) },
    { weight: 1, arbitrary: fc.double({ min: 0, max: 60_000, noNaN: true }) },
    { weight: 1, arbitrary: fc.constantFrom(50, 25_550, 25_600, 25_650) },
  );
  const steps = fc.array(fc.tuple(passing, fc.nat(4)), { maxLength: 200, size: 'max' });
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e7, noNaN: true }), fc.integer({ min: 1, max: 12 }), fc.integer(), steps, (start, count, seed, moves) => {
      const model = new Model(start, count, seed);
      for (const [millis, acts] of moves) {
        for (let i = 0; i < acts; i++) model.act();
        model.advance(millis);
      }
    }),
    { seed: 20_260_101, numRuns: 1000 },
  );
  t.pass('1000 histories of up to 200 steps');
});
