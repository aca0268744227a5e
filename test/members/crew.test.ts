import t from 'tap';
import { Crew } from '../../src/members/crew.ts';
import type { CrewParts } from '../../src/members/crew.ts';
import type { OrderView, Report } from '../../src/members/report.ts';
import { membersAsBackends } from '../../src/pool/version.ts';
import type { Version } from '../../src/pool/version.ts';
import { emptyUpstream } from '../../src/pool/upstream.ts';

const TTL = 15_000;
type Saved = ReturnType<CrewParts['store']['load']>;

function report(version: string, more: Partial<Report> = {}): Report {
  return { version, instance: 'one', seq: null, inHand: 0, names: [], ready: true, done: null, generation: 0, order: null, ...more };
}

/** A crew whose clock moves when told, with a disk that can be slow or full. */
class World {
  now = 1_000;
  saves: Saved[] = [];
  full = false;
  slow = 0;
  events: string[] = [];
  private timers: { at: number; run: () => void }[] = [];
  readonly crew: Crew;
  readonly v1: Version;

  constructor(members: number, maxMembers = 1_000) {
    this.crew = new Crew('jobs', { ttl: TTL, stop: 1_000, maxMembers, poll: null }, this.parts());
    const backends = membersAsBackends('v1', members).map(({ address, weight }, i) => ({ address, weight, slot: 100 + i }));
    this.v1 = { id: 'v1', phase: 'live', slot: 1, backends, createdAt: 1, admittedAt: 1, admittedHealthy: 1, trusted: [], admitBy: null, drain: null };
  }

  private parts(): CrewParts {
    return {
      now: () => this.now,
      wall: () => 1e12 + this.now,
      after: (ms, run) => {
        const timer = { at: this.now + ms, run };
        this.timers.push(timer);
        return () => void (this.timers = this.timers.filter((other) => other !== timer));
      },
      store: {
        load: () => null,
        save: (saved) => {
          this.now += this.slow;
          if (this.full) throw new Error('disk full');
          this.saves.push(structuredClone(saved));
        },
      },
      evidence: () => undefined,
      emit: ({ type, data }) => void this.events.push(`${type} ${String(data.member ?? data.error)}`),
    };
  }

  /** v1 has all the work. */
  async begin(): Promise<void> {
    const ports = this.crew.ports();
    ports.probe(this.v1, 'steady', {} as never);
    await ports.publish({ ...emptyUpstream('jobs', 0), split: [{ version: 'v1', weight: 100 }], versions: [this.v1] }, {} as never);
  }

  async advance(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = Math.max(this.now, until);
    await new Promise((resolve) => setImmediate(resolve));
  }

  report(id: string, more: Partial<Report> = {}): Promise<OrderView> {
    return this.crew.report(id, report('v1', more), 0, new AbortController().signal);
  }
}

t.test('hundreds who come at once are on disk together, and nobody is told to run before he is', async (t) => {
  const world = new World(500);
  await world.begin();
  const before = world.saves.length;
  await world.advance(1_000);
  let told = 0;
  const answers = Array.from({ length: 500 }, async (_, i) => {
    const { order } = await world.report(`v1-${i + 1}`);
    const known = world.saves.at(-1)?.members.some(({ id }) => id === `v1-${i + 1}`);
    if (order === 'run' && known !== true) t.fail(`v1-${i + 1} is told to run and not on disk`);
    if (order === 'run') told++;
  });
  await world.advance(10);
  t.equal(told, 1, 'the first did not have to wait');
  await world.advance(50);
  await Promise.all(answers);
  t.equal(told, 500);
  t.ok(world.saves.length - before <= 3, `${world.saves.length - before} saves`);
  const saves = world.saves.length;
  for (let i = 1; i <= 500; i++) await world.report(`v1-${i}`, { inHand: 1 });
  t.equal(world.saves.length, saves, 'reports are no saves');
});

t.test('a slow disk has at most a fifth of the time', async (t) => {
  const world = new World(100);
  await world.begin();
  world.slow = 200;
  await world.advance(10_000);
  const [began, before] = [world.now, world.saves.length];
  const answers: Promise<OrderView>[] = [];
  for (let i = 1; i <= 100; i++) {
    answers.push(world.report(`v1-${i}`));
    await world.advance(50);
  }
  await world.advance(2_000);
  await Promise.all(answers);
  const saving = (world.saves.length - before) * world.slow;
  t.ok(saving <= (world.now - began) * 0.21 + world.slow, `${saving} ms of ${world.now - began}`);
});

t.test('while the disk is full those who are known work on, and who comes is told why it may not', async (t) => {
  const world = new World(2);
  await world.begin();
  await world.advance(1_000);
  t.match(await world.report('v1-1'), { order: 'run' });
  await world.advance(1_000);
  world.full = true;
  const late = world.report('v1-2');
  const refused = t.rejects(late, { message: 'disk full' });
  t.match(await world.report('v1-1'), { order: 'run' });
  await world.advance(3_000);
  await refused;
  t.equal(world.events.filter((event) => event.startsWith('error')).length <= 3, true, 'it is said, and not all the time');
  const again = world.report('v1-2');
  world.full = false;
  await world.advance(3_000);
  t.match(await again, { order: 'run' });
});

t.test('all vanish at once, and come back', async (t) => {
  const world = new World(500);
  await world.begin();
  await world.advance(1_000);
  const everybody = (instance: string): Promise<OrderView[]> =>
    Promise.all(Array.from({ length: 500 }, (_, i) => world.report(`v1-${i + 1}`, { instance, inHand: 2 })));
  const joined = everybody('one');
  await world.advance(100);
  await joined;
  const before = world.saves.length;
  await world.advance(TTL + 10);
  t.equal(world.crew.register.all().length, 0);
  t.match(world.crew.register.counts(world.v1), { started: 1_000, killed: 1_000, inFlight: 0 });
  t.equal(world.crew.register.happened.lost, 500);
  t.ok(world.saves.length - before <= 8, `${world.saves.length - before} saves`);
  const back = everybody('two');
  await world.advance(100);
  t.ok((await back).every(({ order }) => order === 'run'));
  t.match(world.crew.register.counts(world.v1), { started: 2_000, killed: 1_000, inFlight: 1_000 });
});

t.test('there is room for so many members, and the refusal says how many', async (t) => {
  const world = new World(2, 2);
  await world.begin();
  await world.advance(1_000);
  await world.report('v1-1');
  const second = world.report('v1-2');
  await world.advance(100);
  await second;
  await t.rejects(world.report('v1-3'), { fault: { code: 'members-full' }, message: /2 members already, as many as worker\.maxMembers/ });
  await t.rejects(world.report('v1-4', { done: { completed: 1, failed: 0, aborted: 0 } }), { fault: { code: 'member-expired' }, message: /one of v1-4/i });
  t.same(world.crew.register.happened.refused, { full: 1, expired: 1, rate: 0 });
  world.crew.goodbye('v1-1', null);
  const third = world.report('v1-3');
  await world.advance(100);
  t.match(await third, { order: 'run' });
});

t.test('a canary is judged by jobs that failed or were lost, over the lives of its members', async (t) => {
  const world = new World(2);
  await world.begin();
  await world.advance(1_000);
  const sample = (): unknown => world.crew.ports().sample(world.v1);
  await world.report('v1-1', { done: { completed: 0, failed: 0, aborted: 0 }, inHand: 3 });
  await world.report('v1-1', { done: { completed: 5, failed: 2, aborted: 4 }, inHand: 3 });
  t.match(sample(), { started: 14, requests: 7, errors: 2 }, 'given back undone is no failure');
  await world.advance(1_000);
  await world.report('v1-1', { instance: 'two', done: { completed: 0, failed: 0, aborted: 0 } });
  await world.report('v1-1', { instance: 'two', done: { completed: 1, failed: 0, aborted: 0 } });
  t.match(sample(), { requests: 8, errors: 2 }, 'it counts from 0 again, the sum does not');
  await world.advance(TTL);
  t.match(sample(), { requests: 11, errors: 5 }, 'what was in hand of a process that has gone is lost');
});
