import t from 'tap';
import type { Test } from 'tap';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { GATE_SECRET, GateServer } from '../helpers/gate_server.ts';
import { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { Verb, verb } from './verb.ts';

interface World {
  readonly proxy: Proxy;
  readonly gate: GateServer;
  readonly v2: readonly string[];
}

async function start(t: Test, gates: Record<string, unknown>[], more: Record<string, unknown> = {}): Promise<World> {
  const [backends, gate] = await Promise.all([Backends.start(t), GateServer.start(t)]);
  const proxy = await Proxy.start(t, {
    upstreams: {
      web: {
        routes: [{}],
        health: { interval: '200ms', admitInterval: '30ms' },
        gates: gates.map((one) => ({ url: gate.url, secret: GATE_SECRET, interval: '100ms', ...one })),
        versions: { v1: { backends: await backends.listen('v1') } },
        ...more,
      },
    },
  });
  return { proxy, gate, v2: await backends.listen('v2') };
}

/** A series of the scrape; its labels in the order in which they are written. */
async function metric({ proxy }: World, series: string): Promise<number | undefined> {
  const { text } = await proxy.admin('/metrics');
  const line = text.split('\n').find((each) => each.startsWith(`switchyard_${series} `));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
}

async function swapOf({ proxy }: World): Promise<SwapView> {
  const { swap } = (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
  if (swap === null) throw new Error('there is no swap');
  return swap;
}

const swap = ({ proxy, v2 }: World, ...flags: string[]): Verb =>
  new Verb(proxy, ['swap', 'web', '--to', 'v2', ...v2.flatMap((address) => ['--backend', address]), ...flags]);
const asked = (world: World, count: number): Promise<unknown> => eventually('questions', () => world.gate.asked.length >= count);

t.test('wait, then pass: the questions are signed and have one id; status, explain and the command tell of it', async (t) => {
  const world = await start(t, [{ name: 'change', at: 'admission' }]);
  const running = swap(world);
  await asked(world, 3);
  t.match(world.gate.asked[0], {
    signed: true,
    question: { type: 'gate', gate: 'change', before: 'admission', upstream: 'web', version: 'v2', swap: { from: ['v1'], to: 'v2', weight: 0 } },
  });
  t.equal(new Set(world.gate.asked.map(({ id }) => id)).size, 1);
  t.ok(world.gate.asked.every(({ signed }) => signed));
  t.match((await swapOf(world)).gate, { name: 'change', before: 'admission', said: 'not yet', stopped: false });
  t.match((await verb(world.proxy, 'explain', 'web', 'v2')).stdout, /it waits for the gate change, for another .*: not yet/);
  t.match((await verb(world.proxy, 'status')).stdout, /waits for the gate change: not yet/);
  t.notMatch((await world.proxy.admin('/v1/upstreams/web')).text, GATE_SECRET.slice(6), 'the secret is not shown');
  world.gate.answer = { status: 503, body: 'busy' };
  await eventually('the failure to be told', async () => (await swapOf(world)).gate?.said === 'change answered 503');
  const at = 'upstream="web",before="admission"';
  t.equal(await metric(world, `gates_waiting{${at}}`), 1);
  t.equal(await metric(world, `gate_wait_seconds_count{${at}}`), 0, 'it has not come to an end');
  world.gate.say('pass', 'approved');
  const { code, stdout } = await running.wait();
  t.equal(code, 0);
  const answers: number[] = [];
  for (const answer of ['pass', 'wait', 'stop', 'failed']) answers.push((await metric(world, `gate_answers_total{${at},answer="${answer}"}`)) ?? Number.NaN);
  t.ok(answers[0] === 1 && answers[1] >= 3 && answers[2] === 0 && answers[3] >= 1, `pass, wait, stop, failed: ${answers.join(', ')}`);
  t.equal(
    await metric(world, `gate_questions_total{${at}}`),
    answers.reduce((sum, each) => sum + each, 0),
    'each question has one answer',
  );
  t.equal(await metric(world, `gates_waiting{${at}}`), 0);
  t.equal(await metric(world, `gate_wait_seconds_count{${at}}`), 1);
  t.equal(await metric(world, `gate_timeouts_total{${at}}`), 0);
  t.equal(await metric(world, 'gate_questions_total{upstream="web",before="step"}'), undefined, 'no gate stands there');
  t.match(stdout, /… gate {10}change: wait, not yet.*✓ gate {10}change: pass, approved.*✓ admitted.*✓ released/s);
});

t.test('stop before a step: all goes back, the command exits 1 with the reason', async (t) => {
  const world = await start(t, [{ name: 'quality', at: 'step' }]);
  world.gate.decide = ({ nextWeight }) => (nextWeight === 20 ? 'pass' : 'stop');
  const { code, stderr, stdout } = await swap(world, '--canary', '20', '--hold', '100ms').wait();
  t.equal(code, 1);
  t.match(stdout, /✓ gate {10}quality: pass, because pass[^]*canary +20 %[^]*✗ gate {10}quality: stop, because stop/);
  t.match(stderr, /was rolled back; all traffic is back on v1/);
  t.equal((await swapOf(world)).reason, 'gate quality: because stop');
});

t.test('a gate that does not answer, within its timeout: stop', async (t) => {
  const world = await start(t, [{ name: 'silent', at: 'step', timeout: '400ms' }]);
  world.gate.answer = null;
  const { code } = await swap(world).wait();
  t.equal(code, 1);
  t.match(await swapOf(world), { state: 'rolled-back', reason: 'gate silent: no pass in 0.4 s' });
  t.equal(await metric(world, 'gate_timeouts_total{upstream="web",before="step"}'), 1);
  t.equal(await metric(world, 'gate_answers_total{upstream="web",before="step",answer="stop"}'), 0, 'it has said nothing');
});

t.test('kill -9 while gates wait: they are asked again by the same id, and nothing has moved', async (t) => {
  const world = await start(t, [
    { name: 'before', at: 'step' },
    { name: 'after', at: 'release' },
  ]);
  const running = swap(world);
  await asked(world, 1);
  const [{ id }] = world.gate.asked;
  await world.proxy.kill();
  const before = world.gate.asked.length;
  await world.proxy.restart();
  // One question of the life before may still have been on its way.
  await asked(world, before + 2);
  t.equal(world.gate.asked.at(-1)?.id, id);
  t.match(await swapOf(world), { finished: false, weight: 0 });
  world.gate.answer = { status: 200, body: '{"decision":"pass"}' };
  await eventually('the last step', async () => (await swapOf(world)).weight === 100);
  await eventually('the release', async () => (await swapOf(world)).receipt !== null);
  t.equal((await running.wait()).code, 0, 'the command has waited all the time');
});

t.test('before the release: the command waits for it, and is told when a gate keeps the old version', async (t) => {
  const world = await start(t, [{ name: 'backup', at: 'release' }]);
  const running = swap(world);
  await asked(world, 2);
  t.match(await swapOf(world), { state: 'done', gate: { name: 'backup', before: 'release', said: 'not yet' } });
  t.ok(running.running, 'v1 may not be destroyed yet');
  world.gate.say('stop', 'v1 is under audit');
  const { code, stderr } = await running.wait();
  t.equal(code, 4);
  t.match(stderr, /the gate backup keeps v1 from its release: v1 is under audit.*switchyard drain web v1/s);
  await world.proxy.kill();
  const before = world.gate.asked.length;
  await world.proxy.restart();
  t.match((await swapOf(world)).gate, { name: 'backup', stopped: true });
  t.equal(world.gate.asked.length, before, 'what has said stop is not asked again');
  await verb(world.proxy, 'drain', 'web', 'v1');
  t.equal((await swapOf(world)).receipt?.version, 'v1');
});

t.test('a Prometheus query that is over its bound takes a canary back; one that has no answer does not', async (t) => {
  const query = 'rate(failures{app="{{upstream}}",version="{{version}}"}[1m])';
  const world = await start(t, [], {});
  const { config, gate, proxy } = { ...world, config: { url: `${world.gate.url}/`, query, max: 5, interval: '1s' } };
  const { json } = await proxy.admin('/v1/upstreams/web', {
    method: 'PUT',
    body: {
      routes: [{}],
      health: { interval: '200ms', admitInterval: '30ms' },
      canary: { steps: [{ weight: 50, hold: '60s' }], analysis: { prometheus: config } },
    },
  });
  t.match(json, { name: 'web' });
  gate.value = 'NaN';
  const running = swap(world);
  await eventually('a query', () => gate.queries.length > 0);
  t.equal(gate.queries[0], 'rate(failures{app="web",version="v2"}[1m])');
  await eventually('no number', async () => (await swapOf(world)).verdict?.prometheus?.problem === 'no such series, or no number');
  t.equal((await swapOf(world)).state, 'cutting-over');
  t.match((await verb(proxy, 'explain', 'web', 'v2')).stdout, /the Prometheus query has no answer: no such series, or no number/);
  const checks = (result: string): Promise<number | undefined> => metric(world, `canary_checks_total{upstream="web",result="${result}"}`);
  t.ok(((await checks('no-data')) ?? 0) > 0);
  t.equal(await checks('fail'), 0);
  gate.value = '7.5';
  t.equal((await running.wait()).code, 1);
  t.match((await swapOf(world)).reason, /^v2 did worse at weight 50: the Prometheus query gives 7\.5, more than 5$/);
  t.equal(await checks('fail'), 1);
  t.equal(await checks('pass'), 0);
});
