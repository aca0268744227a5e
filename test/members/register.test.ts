import t from 'tap';
import { FENCE, Register } from '../../src/members/register.ts';
import type { Report } from '../../src/members/report.ts';
import type { Refusal } from '../../src/errors/catalogue.ts';
import { emptyUpstream } from '../../src/pool/upstream.ts';
import type { UpstreamState } from '../../src/pool/upstream.ts';
import type { Version } from '../../src/pool/version.ts';

const TTL = 10_000;

function versionOf(id: string, slot: number, places: readonly string[]): Version {
  const backends = places.map((address, i) => ({ address, weight: 1, slot: slot * 100 + i }));
  return { id, phase: 'live', slot, backends, createdAt: 1, admittedAt: 1, admittedHealthy: 1, trusted: [], admitBy: null, drain: null };
}

function report(version: string, more: Partial<Report> = {}): Report {
  return { version, instance: 'one', seq: null, inHand: 0, names: [], ready: true, done: null, generation: 0, order: null, ...more };
}

class World {
  now = 1_000;
  lost: [string, number, string][] = [];
  evidence: string[] = [];
  register = this.open();
  readonly v1 = versionOf('v1', 1, ['a', 'b']);
  readonly v2 = versionOf('v2', 2, ['c']);
  private generation = 0;

  open(): Register {
    return new Register(
      { ttl: TTL, stop: 1_000, maxMembers: 4, poll: null },
      {
        now: () => this.now,
        wall: () => this.now + 1e12,
        evidence: (version, member) => this.evidence.push(`${version} ${member}`),
        lost: ({ id }, leases, why) => this.lost.push([id, leases, why]),
      },
    );
  }

  publish(weights: Record<string, number>, more: Partial<UpstreamState> = {}): number {
    const split = Object.entries(weights).map(([version, weight]) => ({ version, weight }));
    this.register.publish({ ...emptyUpstream('jobs', 0), split, versions: [this.v1, this.v2], ...more }, ++this.generation);
    return this.generation;
  }
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'nothing';
  } catch (error) {
    return (error as Refusal).fault.code;
  }
}

t.test('an order is proven by the report that confirms it, and zero by what that report says', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.begin(v1, false);
  const g1 = world.publish({ v1: 100 });
  t.match(register.report('a', report('v1')), { order: 'run', generation: g1, expiresIn: TTL * FENCE });
  register.report('a', report('v1', { generation: g1, order: 'run', inHand: 2 }));
  const g2 = world.publish({ v2: 100 });
  t.equal(register.acks(g2), null, 'it may not know yet');
  t.match(register.report('a', report('v1', { generation: g1, order: 'run', inHand: 0 })), { order: 'quiesce', generation: g2 });
  t.ok(register.idle(v1), 'it has nothing at this moment');
  t.equal(register.acks(g2), null, 'but it may have taken something since it was told: this zero proves nothing');
  register.report('a', report('v1', { generation: g2, order: 'quiesce', inHand: 1 }));
  t.same(register.acks(g2), { a: g2 });
  t.notOk(register.idle(v1), 'what it took meanwhile is in the report that confirms');
  register.report('a', report('v1', { generation: g2, order: 'quiesce' }));
  t.ok(register.idle(v1));
});

t.test('a generation that was never told cannot be confirmed', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.begin(v1, false);
  world.publish({ v1: 100 });
  register.report('a', report('v1'));
  const g2 = world.publish({ v2: 100 });
  register.report('b', report('v1', { generation: 99 }));
  t.equal(register.acks(g2), null);
  register.report('a', report('v1', { generation: 99 }));
  t.equal(register.acks(g2), null, 'it was told generation 1 only when it said so');
});

t.test('who is not heard is presumed dead at its deadline and not before, and what it had in hand is killed', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.begin(v1, false);
  world.publish({ v1: 100 });
  register.report('a', report('v1'));
  register.report('a', report('v1', { inHand: 3 }));
  const g2 = world.publish({ v2: 100 });
  world.now += TTL - 1;
  register.expire();
  t.equal(register.acks(g2), null);
  t.equal(register.nextExpiry(), world.now + 1);
  world.now += 1;
  register.expire();
  t.same(world.lost, [['a', 3, 'no report for 10 s']]);
  t.same(register.acks(g2), {});
  t.ok(register.idle(v1));
  t.match(register.counts(v1), { started: 3, completed: 0, killed: 3, inFlight: 0, killedByKind: { http: 3 } });
  t.equal(
    codeOf(() => register.report('a', report('v1', { done: { completed: 3, failed: 0, aborted: 0 } }))),
    'member-expired',
    'its books are closed',
  );
  t.match(register.health(v1).get('a'), { health: 'unhealthy' });
});

t.test('another life under the same name takes over, and the one before is waited for', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.begin(v1, false);
  const g1 = world.publish({ v1: 100 });
  register.report('a', report('v1'));
  register.report('a', report('v1', { inHand: 1, generation: g1 }));
  world.now += 2_000;
  t.match(register.report('a', report('v1', { instance: 'two' })), { order: 'run' });
  t.match(register.report('a', report('v1', { inHand: 1, generation: g1 })), { order: 'stop' });
  const g2 = world.publish({ v2: 100 });
  register.report('a', report('v1', { instance: 'two', generation: g1 }));
  register.report('a', report('v1', { instance: 'two', generation: g2 }));
  t.equal(register.acks(g2), null);
  t.notOk(register.idle(v1));
  world.now += TTL;
  register.report('a', report('v1', { instance: 'two', generation: g2 }));
  register.expire();
  t.same(register.acks(g2), { a: g2 });
  t.ok(register.idle(v1));
});

t.test('counts obey the conservation law whatever is reported', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.begin(v1, false);
  world.publish({ v1: 100 });
  const said: Partial<Report>[] = [
    { inHand: 2, done: { completed: 0, failed: 0, aborted: 0 } },
    { inHand: 1, done: { completed: 0, failed: 0, aborted: 0 } },
    { inHand: 1, done: { completed: 4, failed: 1, aborted: 0 } },
    { inHand: 0, done: { completed: 2, failed: 0, aborted: 0 } },
  ];
  let started = 0;
  for (const one of said) {
    register.report('a', report('v1', one));
    const counts = register.counts(v1);
    t.equal(counts.started, counts.completed + counts.clientAborted + counts.upstreamFailed + counts.killed + counts.inFlight);
    t.ok(counts.started >= started, 'it never falls');
    started = counts.started;
  }
  register.report('b', report('v1', { inHand: 3 }));
  register.report('b', report('v1', { inHand: 1 }));
  register.goodbye('b', null);
  t.match(register.counts(v1), { completed: 4 + 2, killed: 1, inFlight: 0 });
  t.equal(register.peak(v1), 3);
});

t.test('a report that is overtaken changes nothing', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.begin(v1, false);
  const g1 = world.publish({ v1: 100 });
  register.report('a', report('v1', { seq: 1 }));
  register.report('a', report('v1', { seq: 3, inHand: 0, generation: g1 }));
  register.report('a', report('v1', { seq: 2, inHand: 7, generation: g1 }));
  t.ok(register.idle(v1));
});

t.test('what a cut leaves in hand has one more deadline', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.begin(v1, false);
  const g1 = world.publish({ v1: 100 });
  register.report('a', report('v1'));
  register.report('b', report('v1'));
  register.report('a', report('v1', { inHand: 1, generation: g1 }));
  const g2 = world.publish({ v2: 100 });
  register.cut(v1);
  t.match(register.report('a', report('v1', { inHand: 1, generation: g1 })), { order: 'stop', generation: g2 });
  t.match(register.report('b', report('v1', { generation: g1 })), { order: 'quiesce' }, 'who has nothing in hand is kept for a rollback');
  world.now += 1_000;
  register.expire();
  t.match(world.lost, [['a', 1, /told to stop/]]);
  t.match(register.report('a', report('v1', { instance: 'two', inHand: 1 })), { order: 'stop' }, 'coming back under another name does not help');
  t.ok(register.idle(v1));
  world.publish({ v1: 100 });
  t.match(register.report('b', report('v1', { generation: g2 })), { order: 'run' }, 'a rollback');
});

t.test('after a restart nobody runs before he is heard, and nobody is believed to have stopped', async (t) => {
  const world = new World();
  const { v1 } = world;
  world.register.begin(v1, false);
  const g1 = world.publish({ v1: 100 });
  world.register.report('a', report('v1'));
  world.register.report('a', report('v1', { generation: g1, done: { completed: 4, failed: 0, aborted: 0 }, inHand: 1 }));
  world.register.report('b', report('v1'));
  world.register.goodbye('b', null);
  const saved = JSON.parse(JSON.stringify(world.register.save())) as ReturnType<Register['save']>;
  world.now += 60_000;
  const register = (world.register = world.open());
  register.restore(saved);
  register.begin(v1, false);
  const g2 = world.publish({ v2: 100 });
  t.equal(register.acks(g2), null, 'it may still run by what it was told before');
  t.notOk(register.idle(v1));
  t.match(register.health(v1).get('a'), { health: 'unknown' });
  t.match(register.report('a', report('v1', { generation: g1, done: { completed: 5, failed: 0, aborted: 0 } })), { order: 'quiesce', generation: g2 });
  register.report('a', report('v1', { generation: g2, done: { completed: 5, failed: 0, aborted: 0 } }));
  t.same(register.acks(g2), { a: g2 });
  t.match(register.counts(v1), { started: 5, completed: 5, inFlight: 0 }, 'what it had done before is not forgotten');
});

t.test('any three members are three of three, and a version that is gone stays gone', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.report('pod-x', report('v1'));
  register.begin(v1, true);
  t.equal(register.health(v1).size, 0, 'what was said before it was asked does not count');
  register.report('pod-x', report('v1'));
  t.match([...register.health(v1)], [['a', { health: 'healthy', run: 1 }]]);
  register.report('b', report('v1', { ready: false }));
  t.match(register.health(v1).get('b'), { health: 'unhealthy' });
  register.free(v1);
  t.match(register.report('pod-x', report('v1')), { order: 'stop' });
  t.match(register.report('pod-y', report('v1')), { order: 'quiesce' }, 'one that comes later may be of a version to come');
  t.equal(register.report('pod-z', report('v9')).order, 'quiesce');
  t.equal(
    codeOf(() => register.report('pod-q', report('v9'))),
    'members-full',
  );
});

t.test('a held upstream works no more, and one that reports all the time is refused', async (t) => {
  const world = new World();
  const { register, v1 } = world;
  register.begin(v1, false);
  world.publish({ v1: 100 }, { held: true });
  t.equal(register.report('a', report('v1')).order, 'quiesce');
  const flood = (): void => {
    for (let i = 0; i < 200; i++) register.report('a', report('v1'));
  };
  t.equal(codeOf(flood), 'too-many-reports');
  world.now += 1_000;
  t.equal(register.report('a', report('v1')).order, 'quiesce');
});
