import t from 'tap';
import type { Test } from 'tap';
import type { BackendView, UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { Proxy } from '../helpers/proxy.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';
import { settledCounts } from '../proxy/counts.ts';
import { verb } from './verb.ts';

/** Longer than a busy machine lets a backend wait that is not stopped. */
const HEAD_MS = 1_500;
const CLIENTS = 12;
const PROBE_MS = 1_000;
/** What a busy machine may add to a deadline: far less than the defaults of the proxy would. */
const SLACK_MS = 10_000;

/** Three backends, each in a process of its own; the last is the one that is stopped. */
class World {
  readonly proxy: Proxy;
  readonly backends: readonly Backends[];
  readonly traffic: Traffic;

  private constructor(proxy: Proxy, backends: readonly Backends[]) {
    this.proxy = proxy;
    this.backends = backends;
    this.traffic = new Traffic({ port: proxy.port, clients: CLIENTS, slow: 0, posts: 0 });
  }

  static async start(t: Test, more: Record<string, unknown>): Promise<World> {
    const backends = await Promise.all([0, 1, 2].map(() => Backends.start(t)));
    const addresses = (await Promise.all(backends.map((each) => each.listen('v1', 1)))).flat();
    const upstream = { routes: [{}], timeouts: { head: `${HEAD_MS}ms` }, versions: { v1: { backends: addresses } }, ...more };
    const world = new World(await Proxy.start(t, { upstreams: { web: upstream } }), backends);
    await eventually('all in use', async () => (await world.begun()).every((begun) => begun > 30), 30_000);
    return world;
  }

  /** Ends the stop too, however the test ends: a stopped process cannot be waited for. */
  stop(t: Test): number {
    const { pid } = this.backends[2].child;
    process.kill(pid ?? 0, 'SIGSTOP');
    t.teardown(() => this.backends[2].child.kill('SIGCONT'));
    return performance.now();
  }

  go(): void {
    this.backends[2].child.kill('SIGCONT');
  }

  async begun(): Promise<number[]> {
    return Promise.all(this.backends.map(async (each) => (await each.record('v1')).begun));
  }

  async shown(): Promise<BackendView> {
    return ((await this.proxy.admin('/v1/upstreams/web')).json as UpstreamView).versions[0].backends[2];
  }

  /** Once so many more have been answered. */
  async more(count: number): Promise<void> {
    const enough = this.traffic.taken.length + count;
    await eventually('traffic', () => this.traffic.taken.length > enough, 30_000);
  }

  /** Once nobody waits any more for the backend that is stopped. */
  async left(): Promise<void> {
    await eventually('nothing in flight', async () => (await this.shown()).inFlight === 0, 30_000);
    await this.more(200);
  }

  async failures(): Promise<number> {
    const { text } = await this.proxy.admin('/metrics');
    const series = text.split('\n').filter((line) => line.startsWith('switchyard_upstream_failures_total{') && line.includes('response-timeout'));
    return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }
}

/** What was lost was on it, got its 504 in time, and is counted. */
async function judge(t: Test, { traffic, proxy }: World, lost: number): Promise<void> {
  await traffic.stop();
  const { failed, taken } = traffic;
  t.ok(
    failed.every(({ status, error }) => status === 504 && error === null),
    'each lost request is a 504',
  );
  const longest = Math.max(...failed.map(({ began, ended }) => ended - began));
  t.ok(longest < HEAD_MS + SLACK_MS, `told so after ${Math.round(longest)} ms at most`);
  t.equal(failed.length, lost, 'and none since it came back');
  const counts = await settledCounts(proxy);
  t.match(counts, { started: taken.length, completed: taken.length - failed.length, upstreamFailed: failed.length });
  t.comment(`${taken.length} requests, ${failed.length} lost (504, the slowest after ${Math.round(longest)} ms), the others answered`);
}

t.test('a stopped process is taken out by its probes, and comes back', { timeout: 170_000 }, async (t) => {
  const world = await World.start(t, {
    health: { interval: '80ms', admitInterval: '20ms', timeout: `${PROBE_MS}ms`, rise: 2, fall: 2 },
    outlier: { failures: 0 },
  });
  const stopped = world.stop(t);
  await eventually('its probes to say so', async () => (await world.shown()).health === 'unhealthy', 30_000);
  const known = performance.now();
  t.ok(known - stopped < PROBE_MS * 2 + 100 * 2 + SLACK_MS, `out after ${Math.round(known - stopped)} ms`);
  t.match(await world.shown(), { available: false, lastProbe: { ok: false, error: /no answer/ } });
  t.match((await verb(world.proxy, 'status', 'web')).stdout, /unhealthy/);
  t.match((await verb(world.proxy, 'explain', 'web', 'v1')).stdout, new RegExp(`no answer within ${PROBE_MS} ms`));
  await world.left();
  const { failed } = world.traffic;
  t.ok(failed.length > 0 && failed.length <= CLIENTS * 2, `${failed.length} requests were on it`);
  t.strictSame(
    failed.filter(({ began }) => began > known + 100),
    [],
    'no request went there after that',
  );
  t.equal(await world.failures(), failed.length);
  world.go();
  await eventually('it to be back', async () => (await world.shown()).available, 30_000);
  const before = (await world.begun())[2];
  await eventually('it to be used again', async () => (await world.begun())[2] > before + 30, 30_000);
  await judge(t, world, failed.length);
});

t.test('one whose port still takes connections is ejected for what requests find, and comes back', { timeout: 170_000 }, async (t) => {
  const world = await World.start(t, {
    // The kernel goes on taking connections for a process that stands still.
    health: { kind: 'tcp', interval: '80ms' },
    outlier: { failures: 3, base: '4s', max: '4s', maxEjected: 50 },
  });
  const stopped = world.stop(t);
  await eventually('its ejection', async () => (await world.shown()).ejected, 30_000);
  const known = performance.now();
  t.ok(known - stopped < HEAD_MS * 4 + SLACK_MS, `out after ${Math.round(known - stopped)} ms`);
  t.match(await world.shown(), { available: false, ejected: true, health: 'healthy' });
  t.match((await verb(world.proxy, 'status', 'web')).stdout, /ejected/);
  await world.left();
  world.go();
  await eventually('it to be back', async () => (await world.shown()).available, 30_000);
  const lost = world.traffic.failed.length;
  t.ok(lost >= 3 && lost <= CLIENTS * 3, `${lost} requests were on it`);
  t.equal(await world.failures(), lost);
  const before = (await world.begun())[2];
  await eventually('it to be used again', async () => (await world.begun())[2] > before + 30, 30_000);
  await judge(t, world, lost);
});
