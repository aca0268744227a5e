import t from 'tap';
import type { Test } from 'tap';
import type { BackendView, UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { Events } from '../helpers/events.ts';
import { Proxy } from '../helpers/proxy.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

const HEALTH = { interval: '60ms', admitInterval: '20ms', timeout: '1s', rise: 2, fall: 2 };
/** Of the answer's head, where a test is about it. */
const HEAD_MS = 1_500;
/** What a busy machine may add: far less than the defaults of the proxy would. */
const SLACK_MS = 10_000;

class World {
  readonly proxy: Proxy;
  readonly backends: Backends;
  readonly addresses: readonly string[];
  readonly events: Events;

  private constructor(proxy: Proxy, backends: Backends, addresses: readonly string[], events: Events) {
    this.proxy = proxy;
    this.backends = backends;
    this.addresses = addresses;
    this.events = events;
  }

  static async start(t: Test, count: number, more: Record<string, unknown> = {}, elsewhere: readonly string[] = []): Promise<World> {
    const backends = await Backends.start(t);
    const addresses = [...(await backends.listen('v1', count)), ...elsewhere];
    const { health, ...rest } = more;
    const upstream = { routes: [{}], health: { ...HEALTH, ...(health as object) }, versions: { v1: { backends: addresses } }, ...rest };
    const proxy = await Proxy.start(t, { upstreams: { web: upstream } });
    const world = new World(proxy, backends, addresses, await Events.of(t, proxy.adminUrl));
    await eventually('all healthy', async () => (await world.shown()).every(({ health: now }) => now === 'healthy'));
    return world;
  }

  async shown(): Promise<readonly BackendView[]> {
    return ((await this.proxy.admin('/v1/upstreams/web')).json as UpstreamView).versions[0].backends;
  }

  /** Once its backend at this place is said to be so. */
  async is(index: number, health: string): Promise<void> {
    await eventually(`backend ${index} to be ${health}`, async () => (await this.shown())[index].health === health);
  }

  /** Requests begun so far, by backend. */
  async begun(): Promise<number[]> {
    const { byPort } = await this.backends.record('v1');
    return this.addresses.map((address) => byPort[Number(address.split(':')[1])] ?? 0);
  }

  /** Requests begun by each backend while at least so many are answered. */
  async share(traffic: Traffic, count = 150): Promise<number[]> {
    const before = await this.begun();
    const enough = traffic.taken.length + count;
    await eventually('traffic', () => traffic.taken.length > enough);
    return (await this.begun()).map((begun, i) => begun - before[i]);
  }
}

t.test('a backend that answers its probes with 500 is taken out, on all threads at once, and comes back', async (t) => {
  const world = await World.start(t, 2);
  const traffic = new Traffic({ port: world.proxy.port, clients: 8, slow: 0 });
  t.ok(
    (await world.share(traffic)).every((begun) => begun > 0),
    'both are used',
  );
  await world.backends.health('v1', 'fail', world.addresses[0]);
  await world.is(0, 'unhealthy');
  const [out, on] = await world.share(traffic);
  t.ok(out <= 8 && on > 100, `${out} and ${on}`);
  t.match(await world.shown(), [{ available: false, lastProbe: { status: 500, ok: false } }, { available: true }]);
  t.match((await verb(world.proxy, 'status', 'web')).stdout, new RegExp(`${world.addresses[0]} +.*unhealthy`));
  await world.backends.health('v1', 'ok', world.addresses[0]);
  await world.is(0, 'healthy');
  t.ok((await world.share(traffic))[0] > 20, 'it is used again');
  await traffic.stop();
  t.strictSame(traffic.failed, []);
});

t.test('a 404 on the probe path is a soft stop: nothing new, and what is in flight finishes', async (t) => {
  const world = await World.start(t, 2);
  const held = [world.proxy.send({ target: '/hold' }, 60_000)];
  await eventually('one', async () => (await world.begun()).includes(1));
  held.push(world.proxy.send({ target: '/hold' }, 60_000));
  await eventually('one on each', async () => (await world.begun()).every((begun) => begun === 1));
  await world.backends.health('v1', 'gone', world.addresses[0]);
  await world.is(0, 'stopping');
  const traffic = new Traffic({ port: world.proxy.port, clients: 8, slow: 0 });
  t.strictSame((await world.share(traffic))[0], 0);
  t.match((await world.shown())[0], { inFlight: 1, available: false });
  await traffic.stop();
  t.strictSame(traffic.failed, []);
  await world.backends.letGo('v1');
  t.strictSame(
    (await Promise.all(held)).map(({ status }) => status),
    [200, 200],
  );
  await eventually('it to be empty', async () => (await world.shown())[0].inFlight === 0);
});

t.test('when too few are healthy, all that were admitted are used; unless that is off', async (t) => {
  const open = await World.start(t, 3);
  for (const at of [0, 1]) await open.backends.health('v1', 'fail', open.addresses[at]);
  for (const at of [0, 1]) await open.is(at, 'unhealthy');
  const traffic = new Traffic({ port: open.proxy.port, clients: 8, slow: 0 });
  t.ok(
    (await open.share(traffic)).every((begun) => begun > 10),
    'one of three is healthy: all three are used',
  );
  await open.backends.health('v1', 'ok', open.addresses[0]);
  await open.is(0, 'healthy');
  t.ok((await open.share(traffic))[1] <= 8, 'two of three: the third is out');
  await traffic.stop();
  t.strictSame(traffic.failed, []);
});

t.test('with fail open off, no healthy backend means 503 until one is back', async (t) => {
  const world = await World.start(t, 2, { health: { failOpen: 0 } });
  await world.backends.health('v1', 'fail');
  for (const at of [0, 1]) await world.is(at, 'unhealthy');
  const { begun } = await world.backends.record('v1');
  const refused = await world.proxy.send();
  t.equal(refused.status, 503);
  t.match(refused.head, /\r\nRetry-After: \d+\r\n/i);
  t.match(refused.head, /\r\nProxy-Status: .*unavailable/i);
  t.equal((await world.backends.record('v1')).begun, begun);
  t.match((await verb(world.proxy, 'explain', 'web')).stdout, /healthy/);
  await world.backends.health('v1', 'ok', world.addresses[1]);
  await world.is(1, 'healthy');
  t.equal((await world.proxy.send()).status, 200);
});

t.test('a version with a single backend that goes down and comes back', async (t) => {
  const world = await World.start(t, 1);
  await world.backends.close('v1', world.addresses[0]);
  await world.is(0, 'unhealthy');
  const down = await world.proxy.send();
  t.ok(down.status === 502 || down.status === 503, `${down.status} while it is down`);
  t.match((await world.shown())[0].lastProbe, { ok: false, error: 'connection refused' });
  await world.backends.listen('v1', 1, { port: Number(world.addresses[0].split(':')[1]) });
  await world.is(0, 'healthy');
  t.equal((await world.proxy.send()).status, 200);
});

t.test('a backend that stops in its tracks: requests move on within the deadlines', async (t) => {
  const other = await Backends.start(t);
  const [stuck] = await other.listen('v1', 1);
  // Not ejected for what requests find: this is about probes.
  const world = await World.start(t, 1, { timeouts: { head: `${HEAD_MS}ms` }, outlier: { failures: 0 } }, [stuck]);
  const traffic = new Traffic({ port: world.proxy.port, clients: 8, slow: 0 });
  t.teardown(() => traffic.stop());
  await eventually('both in use', async () => (await other.record('v1')).begun > 20);
  process.kill(other.child.pid ?? 0, 'SIGSTOP');
  await world.is(1, 'unhealthy');
  const known = performance.now();
  await eventually('nothing is on it any more', async () => (await world.shown())[1].inFlight === 0);
  const enough = traffic.taken.length + 100;
  await eventually('traffic', () => traffic.taken.length > enough);
  const { failed } = traffic;
  t.ok(failed.length > 0 && failed.every(({ status }) => status === 504), 'what it had got is answered 504');
  t.ok(
    // It may be early by as long as the thread had not had its turn before.
    failed.every(({ began, ended }) => ended - began >= HEAD_MS / 2 && ended - began < HEAD_MS + SLACK_MS),
    'at the deadline',
  );
  t.strictSame(
    failed.filter(({ began }) => began > known + 50),
    [],
    'nothing goes there any more',
  );
  process.kill(other.child.pid ?? 0, 'SIGCONT');
  await world.is(1, 'healthy');
  const before = (await other.record('v1')).begun;
  await eventually('it to be used again', async () => (await other.record('v1')).begun > before + 20);
  await traffic.stop();
  t.equal(traffic.failed.length, failed.length, 'and nothing failed since');
});

t.test('a backend that fails real requests is ejected, for a time', async (t) => {
  const world = await World.start(t, 4, { outlier: { failures: 5, base: '3s', max: '6s' }, retries: { attempts: 0 } });
  const traffic = new Traffic({ port: world.proxy.port, clients: 8, slow: 0 });
  await eventually('traffic', () => traffic.taken.length > 50);
  await world.backends.answers('v1', 'reset', world.addresses[2]);
  const ejected = await eventually('the ejection', () => world.events.all.find(({ data }) => typeof data.ejectedUntil === 'string'));
  t.match(ejected, { type: 'health', upstream: 'web', version: 'v1', data: { backend: world.addresses[2] } });
  t.match((await world.shown())[2], { ejected: true, available: false, health: 'healthy' });
  await world.backends.answers('v1', 'normal', world.addresses[2]);
  await eventually('those that failed until then', () => traffic.failed.length >= 5);
  const { length } = traffic.failed;
  t.ok(traffic.failed.every(({ status }) => status === 502));
  const back = await eventually('the end of the ejection', () => world.events.all.find(({ data }) => data.ejectedUntil === null));
  t.ok(Date.parse(back.at) - Date.parse(ejected.at) >= 2_900, 'not before its time');
  t.ok((await world.share(traffic))[2] > 10, 'it is used again');
  await traffic.stop();
  t.ok(traffic.failed.length <= length + 8, 'and nothing failed since');
});
