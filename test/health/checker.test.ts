import t from 'tap';
import { parseUpstream } from '../../src/config/parse.ts';
import type { HealthInput } from '../../src/config/input.ts';
import { Checker } from '../../src/health/checker.ts';
import type { CheckerParts } from '../../src/health/checker.ts';
import type { Probe } from '../../src/health/evidence.ts';
import type { HealthPolicy } from '../../src/pool/policy.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const ADDRESS = '127.0.0.1:9001';

function policyOf(health: HealthInput = {}): HealthPolicy {
  return parseUpstream('web', { routes: [{}], health }).policy.health;
}

interface Pending {
  readonly at: number;
  readonly host: string;
  readonly signal: AbortSignal;
  /** Ends the probe with this status (0 = no answer), `ms` later on the fake clock. */
  answer(status: number, ms?: number): Promise<void>;
}

/** A checker in a world where time passes only when told, and probes end only when answered. */
function world(parts: Partial<CheckerParts> = {}) {
  let now = 0;
  const timers: { at: number; run: () => void }[] = [];
  const pending: Pending[] = [];
  const reports: string[] = [];
  const checker = new Checker({
    report: (key, health, before) => {
      reports.push(`${key} ${before}>${health.health} ${health.run}`);
    },
    probe: (target, _, signal) => {
      const { promise, resolve } = Promise.withResolvers<Probe>();
      const at = now;
      const end = (status: number, ms: number): void =>
        resolve({ at, ok: status >= 200 && status < 300, status: status || null, ms, error: status === 200 ? null : `status ${status}` });
      const mine: Pending = {
        at,
        host: target.host,
        signal,
        async answer(status, ms = 0) {
          pending.splice(pending.indexOf(mine), 1);
          now += ms;
          end(status, ms);
          await settled();
        },
      };
      signal.addEventListener('abort', () => {
        if (pending.includes(mine)) void mine.answer(0);
      });
      pending.push(mine);
      return promise;
    },
    after: (ms, run) => {
      const timer = { at: now + ms, run };
      timers.push(timer);
      return () => {
        if (timers.includes(timer)) timers.splice(timers.indexOf(timer), 1);
      };
    },
    random: () => 0.5,
    ...parts,
  });
  return {
    checker,
    pending,
    reports,
    timers,
    /** Lets time pass until the next timer; how long that was. */
    next: async (): Promise<number> => {
      const timer = timers.toSorted((a, b) => a.at - b.at)[0];
      if (timer === undefined) throw new Error('no timer is set');
      timers.splice(timers.indexOf(timer), 1);
      const waited = timer.at - now;
      now = timer.at;
      timer.run();
      await settled();
      return waited;
    },
  };
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

t.test('admitting: at once, then each admitInterval, until told otherwise', async (t) => {
  const { checker, pending, reports, next } = world();
  const policy = policyOf();
  checker.watch('a', ADDRESS, policy, 'admitting');
  t.strictSame(checker.health('a'), { health: 'unknown', run: 0, probes: [] });
  t.equal(pending.length, 1, 'the first at once');
  await pending[0].answer(200, 3);
  t.equal(await next(), 997, 'a second after the start of the last');
  await pending[0].answer(200);
  t.equal(await next(), 1000);
  await pending[0].answer(500);
  t.strictSame(reports, ['a unknown>unknown 1', 'a unknown>healthy 2', 'a healthy>healthy -1']);
  checker.watch('a', ADDRESS, policy, 'steady');
  await next();
  await pending[0].answer(200);
  t.equal(await next(), 2000, 'steady: every interval');
  t.strictSame(checker.health('a')?.health, 'healthy', 'and nothing was forgotten');
  checker.close();
});

t.test('steady is jittered by a tenth', async (t) => {
  for (const [random, wait] of [
    [0, 1800],
    [0.5, 2000],
    [1, 2200],
  ]) {
    const { checker, pending, next } = world({ random: () => random });
    checker.watch('a', ADDRESS, policyOf(), 'steady');
    await pending[0].answer(200);
    t.equal(Math.round(await next()), wait);
    checker.close();
  }
});

t.test('never two probes of one backend, however slow it is', async (t) => {
  const { checker, pending, timers, next } = world();
  checker.watch('a', ADDRESS, policyOf(), 'admitting');
  t.equal(timers.length, 0, 'no timer runs while a probe does');
  await pending[0].answer(0, 5000);
  t.equal(await next(), 0, 'the next is due at once');
  t.equal(pending.length, 1);
  checker.close();
});

t.test('fresh: one pass is enough, its run begins anew, then steady', async (t) => {
  const { checker, pending, reports, next } = world();
  checker.watch('a', ADDRESS, policyOf(), 'admitting');
  await pending[0].answer(200);
  await next();
  await pending[0].answer(200);
  checker.watch('a', ADDRESS, policyOf(), 'fresh');
  t.match(checker.health('a'), { health: 'unknown', run: 0, probes: { length: 2 } }, 'evidence is kept, belief is not');
  await pending[0].answer(500);
  await next();
  await pending[0].answer(200);
  t.equal(checker.health('a')?.health, 'healthy');
  await next();
  await pending[0].answer(404);
  t.equal(reports.at(-1), 'a healthy>stopping -1', 'it counts as admitted again');
  checker.close();
});

t.test('a probe that began before a new admission does not count', async (t) => {
  const { checker, pending, reports } = world();
  checker.watch('a', ADDRESS, policyOf(), 'steady');
  const [old] = pending;
  checker.watch('a', ADDRESS, policyOf(), 'admitting');
  t.ok(old.signal.aborted);
  await settled();
  t.strictSame(reports, []);
  t.equal(pending.length, 1, 'the first of the new ones is on its way');
  await pending[0].answer(200);
  t.strictSame(reports, ['a unknown>unknown 1']);
  checker.close();
});

t.test('404 before admission is a failure, afterwards a soft stop', async (t) => {
  const { checker, pending, reports } = world();
  checker.watch('a', ADDRESS, policyOf(), 'admitting');
  await pending[0].answer(404);
  checker.watch('b', ADDRESS, policyOf(), 'steady');
  await pending[0].answer(404);
  t.strictSame(reports, ['a unknown>unhealthy -1', 'b unknown>stopping -1']);
  checker.close();
});

t.test('the last five probes are kept, newest last', async (t) => {
  const { checker, pending, next } = world();
  checker.watch('a', ADDRESS, policyOf(), 'steady');
  for (const status of [201, 202, 203, 204, 205, 206]) {
    await pending[0].answer(status);
    await next();
  }
  t.strictSame(
    checker.health('a')?.probes.map((probe) => probe.status),
    [202, 203, 204, 205, 206],
  );
  checker.close();
});

t.test('kind none is healthy at once, but not within the call', async (t) => {
  const { checker, pending, reports } = world();
  checker.watch('a', ADDRESS, policyOf({ kind: 'none' }), 'admitting');
  t.strictSame(reports, []);
  await settled();
  t.strictSame(reports, ['a unknown>healthy 1']);
  t.equal(pending.length, 0);
  checker.watch('a', ADDRESS, policyOf({ kind: 'none' }), 'fresh');
  checker.stop('a');
  await settled();
  t.equal(reports.length, 1, 'nothing is said of a backend that is not watched any more');
});

t.test('another policy takes effect at once', async (t) => {
  const { checker, pending, timers, next } = world();
  checker.watch('a', ADDRESS, policyOf({ interval: '1h' }), 'steady');
  await pending[0].answer(200);
  checker.watch('a', ADDRESS, policyOf({ interval: '1s' }), 'steady');
  t.equal(pending.length, 1);
  await pending[0].answer(200);
  t.equal(timers.length, 1);
  t.equal(await next(), 1000);
  checker.watch('a', ADDRESS, policyOf({ interval: '3s' }), 'steady');
  await pending[0].answer(200);
  t.equal(pending.length, 1, 'also when a probe was on its way');
  checker.watch('a', ADDRESS, policyOf({ kind: 'none' }), 'steady');
  await settled();
  t.equal(checker.health('a')?.health, 'healthy');
  t.equal(pending.length + timers.length, 0, 'kind none probes no more');
  checker.close();
});

t.test('stop ends the probe and the timer, and is final', async (t) => {
  const { checker, pending, reports, timers } = world();
  checker.watch('a', ADDRESS, policyOf(), 'steady');
  checker.watch('b', ADDRESS, policyOf(), 'steady');
  await pending[1].answer(200);
  const [first] = pending;
  checker.stop('a');
  checker.stop('b');
  checker.stop('never seen');
  await settled();
  t.ok(first.signal.aborted);
  t.equal(timers.length, 0);
  t.strictSame(reports, ['b unknown>unknown 1']);
  t.equal(checker.health('a'), null);
});

t.test('a report may stop or restart the watch it is about', async (t) => {
  const seen: string[] = [];
  const policy = policyOf();
  const { checker, pending, timers } = world({
    report: (key, { health }) => {
      seen.push(`${key} ${health}`);
      if (key === 'a') checker.stop('a');
      else if (seen.length < 4) checker.watch('b', ADDRESS, policy, 'fresh');
    },
  });
  checker.watch('a', ADDRESS, policy, 'steady');
  await pending[0].answer(200);
  t.equal(pending.length + timers.length, 0);
  checker.watch('b', ADDRESS, policy, 'fresh');
  for (let i = 0; i < 3; i++) await pending[0].answer(200);
  t.strictSame(seen, ['a unknown', 'b healthy', 'b healthy', 'b healthy']);
  t.equal(pending.length, 0);
  t.equal(timers.length, 1);
  checker.close();
});

t.test('a thousand backends: at most so many probes at a time, and each gets its turn', async (t) => {
  const { checker, pending, reports } = world({ concurrency: 8 });
  for (let i = 0; i < 1000; i++) checker.watch(`k${i}`, ADDRESS, policyOf(), 'steady');
  checker.stop('k999');
  let most = 0;
  let probed = 0;
  while (pending.length > 0) {
    most = Math.max(most, pending.length);
    probed++;
    await pending[0].answer(200);
  }
  t.equal(most, 8);
  t.equal(probed, 999, 'one that is stopped while it waits is not probed');
  t.equal(new Set(reports.map((report) => report.split(' ')[0])).size, 999);
  checker.close();
});

t.test('an address that is none is a mistake of the program', async (t) => {
  t.throws(() => world().checker.watch('a', 'nowhere', policyOf(), 'steady'), TypeError);
});

t.test('with real probes: up, soft stop, down, up again', async (t) => {
  let status = 200;
  const server = await RawUpstream.start(t, (_, connection) => connection.respond(status));
  const changes: string[] = [];
  const checker = new Checker({
    report: (_, { health }, before) => {
      if (health !== before) changes.push(health);
    },
  });
  t.teardown(() => checker.close());
  const policy = policyOf({ interval: 10, admitInterval: 10, fall: 2 });
  const becomes = (health: string): Promise<boolean> => eventually(health, () => checker.health('a')?.health === health);
  checker.watch('a', server.address, policy, 'admitting');
  await becomes('healthy');
  checker.watch('a', server.address, policy, 'steady');
  status = 404;
  await becomes('stopping');
  status = 200;
  await becomes('healthy');
  status = 503;
  await becomes('unhealthy');
  status = 200;
  await becomes('healthy');
  t.strictSame(changes, ['healthy', 'stopping', 'healthy', 'unhealthy', 'healthy']);
  t.equal(checker.health('a')?.probes.at(-1)?.error, null);
});
