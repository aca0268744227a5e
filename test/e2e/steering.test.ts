import t from 'tap';
import type { Test } from 'tap';
import type { SwapView, UpstreamView, VersionView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { Events } from '../helpers/events.ts';
import { field } from '../helpers/message.ts';
import { Proxy } from '../helpers/proxy.ts';
import { Traffic } from '../helpers/traffic.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { Verb, verb as runVerb } from './verb.ts';

class World {
  readonly proxy: Proxy;
  readonly backends: Backends;
  readonly events: Events;
  /** Arguments that name the backends of v2. */
  readonly v2: readonly string[];

  private constructor(proxy: Proxy, backends: Backends, events: Events, v2: readonly string[]) {
    this.proxy = proxy;
    this.backends = backends;
    this.events = events;
    this.v2 = v2;
  }

  static async start(t: Test): Promise<World> {
    const backends = await Backends.start(t);
    const v1 = await backends.listen('v1');
    const upstream = { routes: [{}], health: { interval: '200ms', admitInterval: '30ms' }, sticky: { header: 'x-key' }, versions: { v1: { backends: v1 } } };
    const proxy = await Proxy.start(t, { upstreams: { web: upstream } });
    const v2 = (await backends.listen('v2')).flatMap((address) => ['--backend', address]);
    return new World(proxy, backends, await Events.of(t, proxy.adminUrl), v2);
  }

  async web(): Promise<UpstreamView> {
    return (await this.proxy.admin('/v1/upstreams/web')).json as UpstreamView;
  }

  async version(id: string): Promise<VersionView> {
    return (await this.proxy.admin(`/v1/upstreams/web/versions/${id}`)).json as VersionView;
  }

  swap(...more: string[]): Verb {
    return new Verb(this.proxy, ['swap', 'web', '--to', 'v2', ...this.v2, ...more]);
  }

  /** The exit code of `switchyard VERB web …`. */
  async run(verb: string, ...more: string[]): Promise<number | null> {
    return (await runVerb(this.proxy, verb, 'web', ...more)).code;
  }

  /** The versions that answer 40 different clients, in their order. */
  async answers(): Promise<string[]> {
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => this.proxy.send({ fields: [['x-key', `client-${i}`]] })));
    return answers.map((answer) => field(answer, 'x-version') ?? `status ${answer.status}`);
  }
}

t.test('a canary goes through its steps by itself, and no client ever moves back', async (t) => {
  const world = await World.start(t);
  const run = world.swap('--canary', '5,25,50', '--hold', '300ms');
  const moved = new Set<number>();
  const wentBack: string[] = [];
  while (run.running) {
    for (const [client, version] of (await world.answers()).entries()) {
      if (version === 'v2') moved.add(client);
      else if (version !== 'v1' || moved.has(client)) wentBack.push(`client ${client}: ${version}`);
    }
    await sleep(20);
  }
  t.equal((await run.wait()).code, 0, run.stdout + run.stderr);
  t.match(run.stdout, /canary +5 %[^]*canary +25 %[^]*canary +50 %[^]*live[^]*drained[^]*released/);
  t.strictSame(wentBack, []);
  const { swap } = await world.web();
  const steps = swap?.steps.filter(({ name }) => name.startsWith('weight') || name === 'live') ?? [];
  t.strictSame(
    steps.map(({ name }) => name),
    ['weight 5', 'weight 25', 'weight 50', 'live'],
  );
  for (let i = 1; i < steps.length; i++) t.ok(Date.parse(steps[i].at) - Date.parse(steps[i - 1].at) >= 295, 'each step is held');
  t.strictSame(new Set(await world.answers()), new Set(['v2']));
});

t.test('a canary without a hold waits to be promoted; a paused one waits, whatever its hold', async (t) => {
  const world = await World.start(t);
  const waiting = world.swap('--canary', '50');
  await world.events.wait('step', 'v2');
  await sleep(200);
  t.strictSame((await world.web()).split, { v2: 50, v1: 50 });
  t.strictSame(new Set(await world.answers()), new Set(['v1', 'v2']));
  t.equal(await world.run('promote'), 0);
  t.equal((await waiting.wait()).code, 0, waiting.stdout + waiting.stderr);
  const v3 = (await world.backends.listen('v3')).flatMap((address) => ['--backend', address]);
  const held = new Verb(world.proxy, ['swap', 'web', '--to', 'v3', ...v3, '--canary', '50', '--hold', '2s']);
  await world.events.wait('step', 'v3');
  t.equal(await world.run('pause'), 0);
  await sleep(2_200);
  t.match((await world.web()).swap, { state: 'cutting-over', paused: true, weight: 50 });
  t.equal(await world.run('resume'), 0);
  t.equal((await held.wait()).code, 0);
  t.match(held.stdout, /paused[^]*resumed[^]*live/);
});

t.test('an aborted swap: 1, the old version has all traffic and the new one is rejected', async (t) => {
  const world = await World.start(t);
  const traffic = new Traffic({ port: world.proxy.port, clients: 8 });
  const run = world.swap('--canary', '60');
  await world.events.wait('step', 'v2');
  t.equal(await world.run('abort'), 0);
  t.equal((await run.wait()).code, 1, run.stdout + run.stderr);
  t.match(run.stdout + run.stderr, /aborted/);
  t.strictSame((await world.web()).split, { v1: 100 });
  t.match(await world.version('v2'), { phase: 'rejected', reason: /aborted/ });
  t.strictSame(new Set(await world.answers()), new Set(['v1']));
  t.equal((await world.backends.record('v2')).held, 0);
  await traffic.stop();
  t.strictSame(traffic.failed, [], 'nobody noticed');
  t.equal(await world.run('promote'), 5, 'there is nothing to promote any more');
});

t.test('a rollback inside the time a version is kept needs one round of probes', async (t) => {
  const world = await World.start(t);
  const traffic = new Traffic({ port: world.proxy.port, clients: 8 });
  const run = world.swap('--rollback-keep', '10m');
  t.equal((await run.wait()).code, 0, run.stdout + run.stderr);
  t.match(await world.version('v1'), { phase: 'drained', keepUntil: String });
  t.equal(await world.run('rollback'), 0);
  t.match((await world.web()).swap, { kind: 'rollback', from: 'v2', to: 'v1', state: 'done' });
  t.strictSame(new Set(await world.answers()), new Set(['v1']));
  t.match(await world.version('v2'), { phase: 'released' });
  await traffic.stop();
  t.strictSame(traffic.failed, []);
});

t.test('a rollback while the old version still drains takes it straight back, its requests unharmed', async (t) => {
  const world = await World.start(t);
  const slow = world.proxy.send({ target: '/hold' }, 60_000);
  await eventually('the request', async () => (await world.backends.record('v1')).held === 1);
  const run = world.swap();
  await world.events.wait('draining', 'v1');
  t.equal(await world.run('rollback', '--until', 'live'), 0);
  t.strictSame(new Set(await world.answers()), new Set(['v1']));
  t.equal((await run.wait()).code, 1, run.stdout + run.stderr);
  t.match(run.stdout + run.stderr, /rolled back/);
  await world.backends.letGo('v1');
  t.equal((await slow).status, 200);
  await world.events.wait('released', 'v2');
});

t.test('a dry run shows the plan and changes nothing', async (t) => {
  const world = await World.start(t);
  const before = await world.web();
  const run = world.swap('--dry-run', '--canary', '10', '--hold', '1s');
  t.equal((await run.wait()).code, 0);
  t.match(run.stdout, /dry run[^]*1\. register v2 with 2 backends[^]*admit v2[^]*weight 10[^]*drain v1/);
  const after = await world.web();
  t.equal(after.revision, before.revision);
  t.strictSame(
    after.versions.map(({ id }) => id),
    ['v1'],
  );
  const refused = await runVerb(world.proxy, 'swap', 'web', '--to', 'v9', '--dry-run');
  t.equal(refused.code, 2, 'what would be refused is refused');
});

t.test('to say it twice is as good as once', async (t) => {
  const world = await World.start(t);
  t.equal((await world.swap().wait()).code, 0);
  const { revision } = await world.web();
  const again = world.swap();
  t.equal((await again.wait()).code, 0);
  t.match(again.stdout, /v2 is live already/);
  t.equal((await world.web()).revision, revision, 'nothing was changed');
  const body = { to: 'v3', backends: await world.backends.listen('v3', 1, { health: 'fail' }) };
  const headers = { 'idempotency-key': 'deploy-17' };
  const first = await world.proxy.admin('/v1/upstreams/web/swap', { body, headers });
  const repeated = await world.proxy.admin('/v1/upstreams/web/swap', { body, headers });
  const anew = await world.proxy.admin('/v1/upstreams/web/swap', { body });
  t.strictSame([first.status, repeated.status, anew.status], [202, 202, 200]);
  t.equal((repeated.json as SwapView).id, (first.json as SwapView).id);
  t.equal((anew.json as SwapView).id, (first.json as SwapView).id, 'the very same swap, running');
  t.equal((await world.proxy.admin('/v1/upstreams/web/swap', { body: { ...body, to: 'v4' }, headers })).status, 422);
});

t.test('a version can be registered first, and swapped to when it stands by', async (t) => {
  const world = await World.start(t);
  const backends = await world.backends.listen('v3');
  const { status, headers } = await world.proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v3', backends } });
  t.equal(status, 201);
  t.equal(headers.get('location'), '/v1/upstreams/web/versions/v3');
  t.equal((await runVerb(world.proxy, 'wait', 'web', 'v3', '--for', 'standby')).code, 0);
  t.strictSame(new Set(await world.answers()), new Set(['v1']));
  t.equal((await world.backends.record('v3')).begun, 0, 'no traffic while it stands by');
  t.equal((await runVerb(world.proxy, 'swap', 'web', '--to', 'v3')).code, 0);
  t.strictSame(new Set(await world.answers()), new Set(['v3']));
});

t.test('a version that is not live can be let go', async (t) => {
  const world = await World.start(t);
  t.equal((await world.proxy.admin('/v1/upstreams/web/versions/v1', { method: 'DELETE' })).status, 409, 'not the live one');
  await world.proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v2', backends: await world.backends.listen('v2', 1) } });
  await world.events.wait('admitted', 'v2');
  t.equal(await world.run('drain', 'v2'), 0);
  t.equal((await runVerb(world.proxy, 'wait', 'web', 'v2', '--for', 'released')).code, 0);
  await world.proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v3', backends: await world.backends.listen('v3', 1, { health: 'fail' }) } });
  t.equal((await world.proxy.admin('/v1/upstreams/web/versions/v3', { method: 'DELETE' })).status, 200);
  t.match(await world.version('v3'), { phase: 'rejected', reason: /removed by/ });
  t.equal((await world.swap('--rollback-keep', '10m').wait()).code, 0, 'an id of old can be used again');
  t.equal((await world.proxy.admin('/v1/upstreams/web/versions/v1', { method: 'DELETE' })).status, 200);
  t.match(await world.version('v1'), { phase: 'released' });
  t.equal(await world.run('rollback'), 1, 'it is not kept any more');
});
