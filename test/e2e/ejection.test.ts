import t from 'tap';
import type { Test } from 'tap';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { Events } from '../helpers/events.ts';

interface BackendState {
  readonly address: string;
  readonly available: boolean;
  readonly ejected: boolean;
}

/** Backends that answer 200, or break when they are told to. */
class Fleet {
  readonly all: RawUpstream[] = [];
  readonly mood = new Map<RawUpstream, 'good' | 'reset' | 500 | 503>();
  readonly served = new Map<RawUpstream, number>();

  static async start(t: Test, count: number): Promise<Fleet> {
    const fleet = new Fleet();
    for (let i = 0; i < count; i++) {
      const backend = await RawUpstream.start(t, (_, connection) => {
        fleet.served.set(backend, (fleet.served.get(backend) ?? 0) + 1);
        const mood = fleet.mood.get(backend) ?? 'good';
        if (mood === 'reset') connection.destroy();
        else connection.respond(mood === 'good' ? 200 : mood, 'x');
      });
      fleet.all.push(backend);
    }
    return fleet;
  }
}

async function start(t: Test, fleet: Fleet, more: Record<string, unknown>): Promise<Proxy> {
  return Proxy.start(t, {
    dataThreads: 1,
    upstreams: {
      web: catchAll({ v1: fleet.all.map(({ address }) => address) }, 'v1', {
        health: { kind: 'none' },
        balance: 'round-robin',
        retries: { attempts: 0 },
        ...more,
      }),
    },
  });
}

async function backendsOf(proxy: Proxy): Promise<BackendState[]> {
  const { versions } = (await proxy.admin('/v1/upstreams/web')).json as { versions: { backends: BackendState[] }[] };
  return versions[0].backends;
}

async function ejected(proxy: Proxy): Promise<string[]> {
  return (await backendsOf(proxy)).filter((backend) => backend.ejected).map(({ address }) => address);
}

async function load(proxy: Proxy, requests: number): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  for (let i = 0; i < requests; i++) {
    const { status } = await proxy.send();
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  return statuses;
}

t.test('a backend that fails is out for a while, the next time for longer, and nobody meets it meanwhile', async (t) => {
  const fleet = await Fleet.start(t, 4);
  const [bad] = fleet.all;
  // Longer than a busy machine needs for what happens meanwhile.
  const proxy = await start(t, fleet, { outlier: { failures: 3, base: '4s', max: '20s', maxEjected: 50 } });
  const events = await Events.of(t, proxy.adminUrl);
  fleet.mood.set(bad, 'reset');
  await eventually('it is ejected', async () => {
    await load(proxy, 4);
    return (await ejected(proxy)).length > 0;
  });
  t.same(await ejected(proxy), [bad.address]);
  t.match(await load(proxy, 12), new Map([[200, 12]]), 'all requests go to the others');
  fleet.mood.set(bad, 'good');
  await eventually('it is back', async () => (await ejected(proxy)).length === 0, 30_000);
  const before = fleet.served.get(bad) ?? 0;
  await load(proxy, 8);
  t.equal(fleet.served.get(bad), before + 2, 'and gets its share again');
  fleet.mood.set(bad, 'reset');
  await eventually('it is ejected again', async () => {
    await load(proxy, 4);
    return (await ejected(proxy)).length > 0;
  });
  const told = await eventually('out, back and out as events', () => {
    const found = events.all.filter(({ data }) => JSON.stringify(data).includes('ejected'));
    return found.length >= 3 ? found : null;
  });
  const lasts = told.flatMap(({ data, at }) => {
    const until = /"ejectedUntil":"([^"]+)"/.exec(JSON.stringify(data))?.[1];
    return until === undefined ? [] : [Date.parse(until) - Date.parse(at)];
  });
  t.equal(lasts.length, 2);
  t.ok(Math.abs(lasts[0] - 4_000) < 1_500 && Math.abs(lasts[1] - 8_000) < 1_500, `for ${lasts.join(' and ')} ms`);
});

t.test('no more than the policy lets, and never the last', async (t) => {
  const fleet = await Fleet.start(t, 4);
  const proxy = await start(t, fleet, { outlier: { failures: 3, base: '60s', maxEjected: 50 } });
  for (const backend of fleet.all) fleet.mood.set(backend, 'reset');
  await eventually('two are out', async () => {
    await load(proxy, 8);
    return (await ejected(proxy)).length === 2;
  });
  await load(proxy, 40);
  t.equal((await ejected(proxy)).length, 2, 'half of them, and no more');
  fleet.mood.clear();
  t.match(await load(proxy, 4), new Map([[200, 4]]));

  const pair = await Fleet.start(t, 2);
  const small = await start(t, pair, { outlier: { failures: 3, base: '60s', maxEjected: 100 } });
  for (const backend of pair.all) pair.mood.set(backend, 'reset');
  await eventually('one is out', async () => {
    await load(small, 4);
    return (await ejected(small)).length === 1;
  });
  await load(small, 20);
  t.equal((await ejected(small)).length, 1, 'the last one stays');
});

t.test('answers are failures only where the policy says so', async (t) => {
  for (const [answers, status, counts] of [
    [false, 503, false],
    ['gateway', 500, false],
    ['gateway', 503, true],
    ['5xx', 500, true],
  ] as const) {
    const fleet = await Fleet.start(t, 3);
    const proxy = await start(t, fleet, { outlier: { failures: 3, base: '60s', maxEjected: 50, answers } });
    fleet.mood.set(fleet.all[0], status);
    if (counts) {
      await eventually('it is ejected', async () => {
        await load(proxy, 6);
        return (await ejected(proxy)).length === 1;
      });
      t.match(await load(proxy, 6), new Map([[200, 6]]), `${status} with ${answers} ejects`);
    } else {
      await load(proxy, 30);
      t.same(await ejected(proxy), [], `${status} with ${String(answers)} does not`);
      t.match((await load(proxy, 6)).get(status), 2, 'and the answers pass');
    }
    await proxy.kill();
  }
});

t.test('a backend that comes back begins slowly; when all are new, none does', async (t) => {
  const fleet = await Fleet.start(t, 2);
  const [one, two] = fleet.all;
  // By Envoy's formula its share is the least for most of the window.
  const slowStart = { window: '6s', aggression: 0.1, minWeight: 1 };
  const proxy = await start(t, fleet, { outlier: { failures: 2, base: '300ms', maxEjected: 50 }, slowStart });
  const started = performance.now();
  await load(proxy, 20);
  t.equal(fleet.served.get(one), fleet.served.get(two), 'all are new: all get their full share');
  await eventually('the others are old', () => performance.now() - started > 6_500, 30_000, 100);
  fleet.mood.set(one, 'reset');
  await eventually('it is ejected', async () => {
    await load(proxy, 4);
    return (await ejected(proxy)).length === 1;
  });
  fleet.mood.set(one, 'good');
  await eventually('it is back', async () => (await ejected(proxy)).length === 0);
  const before = fleet.served.get(one) ?? 0;
  await load(proxy, 30);
  const share = (fleet.served.get(one) ?? 0) - before;
  t.ok(share <= 3, `it gets ${share} of 30`);
});
