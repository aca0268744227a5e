import t from 'tap';
import type { Test } from 'tap';
import type { Receipt } from '../../src/pool/upstream.ts';
import { h2Ask } from '../helpers/h2_ask.ts';
import { field, fieldAll } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { Script } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { inForce, settledCounts, upstreamState, versionState } from './counts.ts';

const CACHE = ['Cache-Control', 'public, max-age=31536000, immutable'] as const;
const LARGE = 300_000;

/** A version that has one asset of its own, and says of all else who it is. */
function version(id: string): Script {
  return (request, connection) => {
    if (request.target.startsWith(`/assets/${id}.`)) connection.respond(200, `asset of ${id}`, [CACHE]);
    else if (request.target === '/assets/large') connection.respond(404, Buffer.alloc(LARGE, 'x'));
    else if (request.target.startsWith('/assets/') || request.target === '/missing') connection.respond(404, `nothing in ${id}`);
    else connection.respond(200, id);
  };
}

const SKEW = { pin: { cookie: 'sy_version', maxAge: '1h' }, assets: ['/assets/'], for: '10m' };

interface World {
  readonly proxy: Proxy;
  readonly h2: number;
  readonly backends: Readonly<Record<string, RawUpstream>>;
  swap(to: string, more?: Record<string, unknown>): Promise<void>;
  ask(pin: string | null, request?: RequestSpec): ReturnType<Proxy['send']>;
  receipt(id: string): Promise<Receipt>;
}

async function start(t: Test, more: Record<string, unknown> = {}): Promise<World> {
  const ids = ['v1', 'v2', 'v3'];
  const started = await Promise.all(ids.map((id) => RawUpstream.start(t, version(id))));
  const backends = Object.fromEntries(ids.map((id, i) => [id, started[i]]));
  const [port, h2] = [await freePort(), await freePort()];
  const proxy = await Proxy.start(t, {
    listeners: [
      { host: '127.0.0.1', port },
      { host: '127.0.0.1', port: h2, http2: true },
    ],
    upstreams: { web: catchAll({ v1: [backends.v1.address] }, 'v1', { health: { kind: 'none' }, skew: SKEW, ...more }) },
  });
  // The helper asks on the port it has chosen itself.
  Object.assign(proxy, { port });
  return {
    proxy,
    h2,
    backends,
    async swap(to, options = {}) {
      const answer = await proxy.admin('/v1/upstreams/web/swap', { body: { to, backends: [backends[to].address], ...options } });
      if (answer.status >= 300) throw new Error(answer.text);
      await eventually(`${to} is live`, async () => (await upstreamState(proxy)).split[to] !== undefined);
      await inForce(proxy);
    },
    ask: (pin, request = {}) => proxy.send({ ...request, fields: pin === null ? [] : [['Cookie', `a=1; sy_version=${pin}`]] }),
    receipt: async (id) => (await proxy.admin(`/v1/upstreams/web/versions/${id}/receipt`)).json as Receipt,
  };
}

t.test('sessions stay with their version while it is open, and go with the others when it is closed', async (t) => {
  const { proxy, h2, backends, swap, ask, receipt } = await start(t);
  const first = await ask(null);
  t.equal(field(first, 'set-cookie'), 'sy_version=v1; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600', 'the first answer pins');
  t.same(fieldAll(await ask('v1'), 'set-cookie'), [], 'who is pinned is not told again');
  await swap('v2');
  const open = (await proxy.admin('/v1/upstreams/web/versions/v1')).json;
  t.match(open, { phase: 'draining', weight: 0, openUntil: String }, 'the version before is open');
  t.match((await proxy.admin('/v1/upstreams/web/swap')).json, { state: 'done', receipt: null }, 'the swap does not wait for sessions');
  t.match((await proxy.admin('/v1/upstreams/web/explain')).text, /v1: it is open to sessions of before for another/, 'explain says so');
  const status = await proxy.cli(['status', 'web']);
  t.match(status.stdout, /v1 +open +0 %/);
  t.match(status.stdout, /… open +v1: to its sessions for (?:10 min 0 s|9 min \d+ s)/, status.stdout);

  const old = await ask('v1');
  t.equal(old.body.toString(), 'v1', 'a pinned request goes on');
  t.same(fieldAll(old, 'set-cookie'), []);
  const fresh = await ask(null);
  t.equal(fresh.body.toString(), 'v2', 'others go to what is live');
  t.match(field(fresh, 'set-cookie'), /^sy_version=v2;/);
  const stale = await ask('v0');
  t.equal(stale.status, 200, 'a pin to a version that never was is no fault');
  t.equal(stale.body.toString(), 'v2');
  t.match(field(stale, 'set-cookie'), /^sy_version=v2;/, 'and heals itself');
  t.equal((await h2Ask(h2, { cookie: 'sy_version=v1' })).body, 'v1', 'a stream of HTTP/2 likewise');
  t.match((await h2Ask(h2, {})).headers['set-cookie'], [/^sy_version=v2;/]);
  t.match((await proxy.admin('/metrics')).text, /switchyard_steered_requests_total\{upstream="web",version="v1",by="pin"\} 2/);

  const told = await proxy.cli(['swap', 'web', '--to', 'v3', '--backend', backends.v3.address]);
  t.match(told, { code: 0, stdout: /v2 may not be destroyed yet; wait for that with: switchyard wait web v2 --for released\n$/ });
  t.equal((await ask('v1')).body.toString(), 'v1', 'a second swap closes nothing');
  t.equal((await ask('v2')).body.toString(), 'v2');
  t.equal((await ask(null)).body.toString(), 'v3');

  const removed = await proxy.admin('/v1/upstreams/web/versions/v1', { method: 'DELETE' });
  t.ok(removed.status < 300, removed.text);
  await eventually('v1 is released', async () => (await proxy.admin('/v1/upstreams/web/versions/v1?wait=released&timeout=5s')).status === 200);
  const healed = await ask('v1');
  t.equal(healed.body.toString(), 'v3', 'its sessions go where all go');
  t.match(field(healed, 'set-cookie'), /^sy_version=v3;/);
  const { counts, acks, generation } = await receipt('v1');
  t.equal(counts.started, 5, 'the receipt counts what came by pins');
  t.equal(counts.completed, 5);
  t.ok(
    Object.values(acks).every((ack) => ack >= generation),
    'every thread has acked the table without it',
  );
});

t.test('the deadline closes it under load, and nobody notices', async (t) => {
  const { proxy, swap, ask, receipt } = await start(t, { skew: { ...SKEW, for: '3s' } });
  await swap('v2');
  const seen = new Set<string>();
  let [asked, over] = [0, false];
  const load = async (): Promise<void> => {
    while (!over) {
      const answer = await ask('v1');
      asked++;
      seen.add(`${answer.status} ${answer.body.toString()}`);
    }
  };
  const clients = Array.from({ length: 4 }, load);
  await eventually('v1 is released', async () => (await receipt('v1')).version === 'v1');
  over = true;
  await Promise.all(clients);
  t.same([...seen].sort(), ['200 v1', '200 v2'], `${asked} requests: first all on v1, then all on v2`);
  const { counts } = await receipt('v1');
  t.ok(counts.started > 0);
  t.equal(counts.started, counts.completed, 'none was cut');
  t.equal(counts.started + (await settledCounts(proxy, 'web', 'v2')).started, asked, 'each was claimed once');
});

t.test('a version that is open, and has no backend to offer, is no 503', async (t) => {
  const { proxy, swap, ask, backends } = await start(t, { health: { kind: 'tcp', interval: '50ms', fall: 1, failOpen: 0 } });
  await eventually('v1 is live', async () => (await upstreamState(proxy)).split.v1 === 100);
  await swap('v2');
  await backends.v1.close();
  await eventually('v1 is down', async () => (await versionState(proxy, 'web', 'v1')).backends.every(({ available }) => !available));
  const answer = await ask('v1');
  t.equal(answer.status, 200);
  t.equal(answer.body.toString(), 'v2');
  t.match(field(answer, 'set-cookie'), /^sy_version=v2;/);
});

t.test('what the live version does not have is asked for of the one before', async (t) => {
  const { proxy, h2, swap, ask, backends } = await start(t);
  await swap('v2');
  const get = (target: string, more: RequestSpec = {}): ReturnType<Proxy['send']> => ask(null, { target, ...more });
  const found = await get('/assets/v1.0abc.js');
  t.equal(found.status, 200);
  t.equal(found.body.toString(), 'asset of v1');
  t.equal(field(found, 'cache-control'), CACHE[1], 'cacheable as its backend says');
  t.same(fieldAll(found, 'set-cookie'), [], 'an asset pins nobody');
  t.equal((await get('/assets/v2.0abc.js')).body.toString(), 'asset of v2');
  t.equal((await get('/assets/none.js')).body.toString(), 'nothing in v1', 'once, and then what the other says');
  t.equal((await get('/missing')).body.toString(), 'nothing in v2', 'other paths are not tried again');
  t.equal((await get('/assets/v1.a.js', { method: 'POST' })).status, 404, 'nor other methods');
  t.equal((await get('/assets/v1.a.js', { method: 'HEAD' })).status, 200);
  t.equal((await get('/assets/large')).body.length, LARGE, 'a large 404 is passed over');
  t.equal((await h2Ask(h2, { ':path': '/assets/v1.b.js' })).body, 'asset of v1', 'HTTP/2 likewise');
  t.equal((await ask('v1', { target: '/assets/v2.c.js' })).body.toString(), 'asset of v2', 'and from an open version to the live one');
  t.match((await proxy.admin('/metrics')).text, /switchyard_steered_requests_total\{upstream="web",version="v1",by="asset"\} 5/);
  const [one, two] = [await settledCounts(proxy, 'web', 'v1'), await settledCounts(proxy, 'web', 'v2')];
  t.match(
    [one, two],
    [
      { started: 6, completed: 6 },
      { started: 9, completed: 9 },
    ],
  );

  backends.v1.use((_, connection) => connection.destroy());
  t.equal((await get('/assets/v1.d.js')).body.toString(), 'nothing in v2', 'when that one fails, the answer is the 404');
  t.match(await settledCounts(proxy, 'web', 'v1'), { started: 7, upstreamFailed: 1 });
});

t.test('during a canary each version has the assets of the other', async (t) => {
  const { swap, ask } = await start(t, { sticky: { header: 'x-user' } });
  await swap('v2', { strategy: { canary: [{ weight: 50, hold: null }] } });
  for (const [target, body] of [
    ['/assets/v1.js', 'asset of v1'],
    ['/assets/v2.js', 'asset of v2'],
  ]) {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(null, { target })));
    t.ok(
      answers.every((answer) => answer.body.toString() === body),
      `${target} is always found`,
    );
  }
});

t.test('a rollback is for everybody; a crash closes nothing', async (t) => {
  const { proxy, swap, ask } = await start(t, { rollback: { keep: '10m' } });
  await swap('v2');
  await proxy.kill();
  await proxy.restart();
  t.equal((await ask('v1')).body.toString(), 'v1', 'v1 is open after a restart');
  t.equal((await ask(null)).body.toString(), 'v2');
  const back = await proxy.cli(['rollback', 'web']);
  t.equal(back.code, 0, back.stderr);
  t.equal((await ask('v2')).body.toString(), 'v1', 'what was rolled back is not open');
  t.match((await proxy.admin('/v1/upstreams/web/versions/v2')).json, { openUntil: null });
});

t.test('a page that is loaded anew comes from what is live, where the policy says so', async (t) => {
  const { swap, proxy, ask } = await start(t, { skew: { ...SKEW, pin: { cookie: 'sy_version', renew: true } } });
  await swap('v2');
  t.equal((await ask('v1')).body.toString(), 'v1', 'what the open page asks for stays');
  const page = await proxy.send({
    fields: [
      ['Cookie', 'sy_version=v1'],
      ['Sec-Fetch-Mode', 'navigate'],
    ],
  });
  t.equal(page.body.toString(), 'v2');
  t.match(field(page, 'set-cookie'), /^sy_version=v2;/);
});

t.test('without the policy there is no door, at once', async (t) => {
  const { proxy, swap, ask } = await start(t);
  await swap('v2');
  t.equal((await ask('v1')).body.toString(), 'v1');
  await proxy.editConfig((config) => {
    delete (config.upstreams as Record<string, Record<string, unknown>>).web.skew;
  });
  await eventually('v1 is released', async () => (await proxy.admin('/v1/upstreams/web/versions/v1?wait=released&timeout=5s')).status === 200);
  const answer = await ask('v1');
  t.equal(answer.body.toString(), 'v2');
  t.same(fieldAll(answer, 'set-cookie'), []);
});

t.test('a field pins as well, and the answer says which version to name', async (t) => {
  const { swap, proxy } = await start(t, { skew: { pin: { header: 'X-Deployment-Id' } }, versionHeader: 'X-Version' });
  await swap('v2');
  const ask = (id: string): ReturnType<Proxy['send']> => proxy.send({ fields: [['x-deployment-id', id]] });
  const old = await ask('v1');
  t.equal(old.body.toString(), 'v1');
  t.equal(field(old, 'x-deployment-id'), 'v1');
  t.equal(field(old, 'x-version'), 'v1');
  t.equal(field(await ask('gone'), 'x-deployment-id'), 'v2');
});
