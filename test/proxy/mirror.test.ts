import t from 'tap';
import type { Test } from 'tap';
import type { Receipt } from '../../src/pool/upstream.ts';
import { h2Ask } from '../helpers/h2_ask.ts';
import { field } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import type { Script, SeenRequest } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { settledCounts, upstreamState, versionState } from './counts.ts';

interface World {
  readonly proxy: Proxy;
  readonly port: number;
  readonly v1: RawUpstream;
  readonly v2: RawUpstream;
  send(request?: RequestSpec): ReturnType<Proxy['send']>;
  metric(line: string): Promise<number>;
}

async function start(t: Test, mirror: Record<string, unknown>, script: Script = answer('shadow'), more: Record<string, unknown> = {}): Promise<World> {
  const [v1, v2] = [await RawUpstream.start(t, answer('v1')), await RawUpstream.start(t, script)];
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    dataThreads: 1,
    listeners: [{ host: '127.0.0.1', port, http2: true }],
    upstreams: { web: catchAll({ v1: [v1.address] }, 'v1', { health: { kind: 'none' }, mirror, ...more }) },
  });
  Object.assign(proxy, { port });
  await proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v2', backends: [v2.address] } });
  await eventually('v2 is on standby', async () => (await versionState(proxy, 'web', 'v2')).phase === 'standby');
  return {
    proxy,
    port,
    v1,
    v2,
    send: (request) => proxy.send(request),
    async metric(line) {
      const found = (await proxy.admin('/metrics')).text.split('\n').find((one) => one.startsWith(`${line} `));
      return Number(found?.split(' ')[1]);
    },
  };
}

/** Once the copy of that number has been made, and has come to its end. */
async function copied({ proxy, v2 }: World, index: number): Promise<SeenRequest> {
  const copy = await v2.request(index);
  await settledCounts(proxy, 'web', 'v2');
  return copy;
}

const COPIES = (code: string): string => `switchyard_mirrored_requests_total{upstream="web",version="v2",code="${code}"}`;
const FAILED = (reason: string): string => `switchyard_mirrored_failures_total{upstream="web",version="v2",reason="${reason}"}`;
const NOT = (reason: string): string => `switchyard_not_mirrored_total{upstream="web",reason="${reason}"}`;

t.test('a version on standby sees copies, and nobody sees what it says', async (t) => {
  const world = await start(t, { maxBody: 100 });
  const { proxy, port, v1, v2, send, metric } = world;
  const given = await send({ target: '/a?b=c', fields: [['X-Of-Client', 'kept']] });
  t.equal(given.body.toString(), 'v1');
  const copy = await copied(world, 0);
  t.equal(copy.method, 'GET');
  t.equal(copy.target, '/a?b=c');
  t.equal(field(copy, 'x-of-client'), 'kept');
  t.equal(field(copy, 'x-switchyard-mirror'), '1');
  t.equal(field(copy, 'x-request-id'), field(v1.requests[0], 'x-request-id'), 'it goes by the same id');
  t.equal(field(v1.requests[0], 'x-switchyard-mirror'), null, 'the request itself says nothing of it');
  t.equal((await h2Ask(port, { ':path': '/h2' })).body, 'v1');
  t.equal((await copied(world, 1)).target, '/h2', 'requests of HTTP/2 are copied, too');
  t.equal((await send({ method: 'HEAD' })).status, 200);
  await copied(world, 2);
  t.equal((await send({ method: 'POST', body: 'x' })).status, 200);
  t.equal((await send({ body: 'x'.repeat(200) })).status, 200);
  t.match(await settledCounts(proxy, 'web', 'v2'), { started: 0 }, 'copies are no requests of the version');
  t.equal(await metric(COPIES('2xx')), 3, 'what changes something happens once');
  t.equal(await metric(NOT('body')), 1, 'nor is a large body copied');
  t.match(await settledCounts(proxy, 'web', 'v1'), { started: 5, completed: 5 });
  t.equal(await metric('switchyard_steered_requests_total{upstream="web",version="v2",by="mirror"}'), 3);
  t.match((await proxy.admin('/v1/upstreams/web/explain?version=v2')).text + (await proxy.cli(['explain', 'web', 'v2'])).stdout, /mirrored to it: 3 so far/);
  t.ok(v2.connections.length <= 2, 'connections are used again');
});

t.test('bodies go along where the policy says so', async (t) => {
  const { v2, send } = await start(t, { methods: ['POST'], maxBody: 100 });
  await send({ method: 'POST', body: 'a body' });
  t.equal((await (await v2.request(0)).body).toString(), 'a body');
  await send({ method: 'POST', fields: [['Transfer-Encoding', 'chunked']], body: '3\r\nabc\r\n0\r\n\r\n' });
  t.equal((await (await v2.request(1)).body).toString(), 'abc');
  await send();
  t.equal(v2.requests.length, 2);
});

t.test('a version that does not answer delays nobody, and costs no more than it may', async (t) => {
  const { proxy, v2, send, metric } = await start(t, { concurrency: 2, timeout: '2m' }, () => undefined);
  for (const answered of await Promise.all(Array.from({ length: 20 }, () => send()))) t.equal(answered.body.toString(), 'v1');
  await v2.request(1);
  t.equal(v2.requests.length, 2, 'two are under way');
  t.equal(await metric(NOT('busy')), 18, 'the others were not copied');
  t.match(await settledCounts(proxy, 'web', 'v1'), { started: 20, completed: 20 });
  for (const { connection } of v2.requests) connection.destroy();
  await settledCounts(proxy, 'web', 'v2');
  t.equal((await send()).status, 200);
  await v2.request(2);
});

t.test('a copy that is not answered has an end, and leaves its place', async (t) => {
  const { proxy, v2, send, metric } = await start(t, { concurrency: 1, timeout: '300ms' }, () => undefined);
  for (let i = 0; i < 2; i++) {
    t.equal((await send()).status, 200);
    await v2.request(i);
    await settledCounts(proxy, 'web', 'v2');
    t.equal(await metric(FAILED('response-timeout')), i + 1);
  }
});

t.test('one that breaks, talks without an end or is not there disturbs nobody', async (t) => {
  const { proxy, v2, send, metric } = await start(t, { timeout: '2m' }, (_, connection) => connection.write('HTTP/1.1 200 OK\r\n\r\nrubbish, and more to c'));
  await send();
  await v2.request(0);
  v2.use((_, connection) => connection.write('no HTTP\r\n\r\n'));
  t.equal((await send()).status, 200);
  await v2.request(1);
  v2.use((_, connection) => connection.respond(200, Buffer.alloc(5_000_000)));
  t.equal((await send()).status, 200);
  await v2.request(2);
  v2.use((_, connection) => connection.destroy());
  t.equal((await send()).status, 200);
  await v2.request(3);
  await eventually('the long answer is over', async () => (await metric(COPIES('2xx'))) === 1);
  v2.use((_, connection) => connection.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(60_000)));
  t.equal((await send()).status, 200);
  await v2.request(4);
  await eventually('no end of announcements to be given up', async () => (await metric(FAILED('bad-response'))) === 2);
  await v2.close();
  t.equal((await send()).body.toString(), 'v1');
  t.match(await settledCounts(proxy, 'web', 'v1'), { started: 6, completed: 6 });
  t.match(await settledCounts(proxy, 'web', 'v2'), { started: 0 });
  t.equal(await metric('switchyard_steered_requests_total{upstream="web",version="v2",by="mirror"}'), 6);
  t.equal(await metric(COPIES('2xx')), 2, 'an answer that is long is one');
});

t.test('an upgrade is never copied', async (t) => {
  const { v1, v2, port, proxy } = await start(t, {});
  v1.use((_, connection) => connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n'));
  using client = await RawClient.connect(port);
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n');
  await eventually('the tunnel is open', async () => (await versionState(proxy)).inFlight === 1);
  t.equal(v2.requests.length, 0);
});

t.test('a version that was mirrored to is let go of with the same proof', async (t) => {
  const { proxy, v2, send } = await start(t, { timeout: '60s' }, () => undefined);
  await send();
  const { connection } = await v2.request(0);
  await proxy.admin('/v1/upstreams/web/versions/v2', { method: 'DELETE' });
  t.match(await versionState(proxy, 'web', 'v2'), { phase: 'draining', inFlight: 1 }, 'a copy is in flight as any request');
  await send();
  t.equal(v2.requests.length, 1, 'nothing is copied to it any more');
  connection.respond(200, 'late');
  await eventually('v2 is released', async () => (await proxy.admin('/v1/upstreams/web/versions/v2?wait=released&timeout=5s')).status === 200);
  const receipt = (await proxy.admin('/v1/upstreams/web/versions/v2/receipt')).json as Receipt;
  t.match(receipt, { counts: { started: 0, completed: 0 }, firstRequestAt: null, mirrored: 1 });
});

t.test('copies are cut at the drain deadline', async (t) => {
  const { proxy, v2, send } = await start(t, { timeout: '60s' }, () => undefined, { drain: { requests: '100ms' } });
  await send();
  await v2.request(0);
  await proxy.admin('/v1/upstreams/web/versions/v2', { method: 'DELETE' });
  await eventually('v2 is released', async () => (await proxy.admin('/v1/upstreams/web/versions/v2?wait=released&timeout=5s')).status === 200);
  const receipt = (await proxy.admin('/v1/upstreams/web/versions/v2/receipt')).json as Receipt;
  t.match(receipt, { counts: { started: 0, killed: 0 }, killedByKind: { http: 0 }, mirrored: 1 }, 'and nobody has lost anything by it');
});

t.test('a swap to the mirrored version under load: it gets copies until it gets requests, and no request is lost', async (t) => {
  const { proxy, send, v2, metric } = await start(t, { percent: 50 }, answer('v2'));
  const seen: string[] = [];
  let over = false;
  const load = async (): Promise<void> => {
    while (!over) seen.push((await send()).body.toString());
  };
  const clients = Array.from({ length: 4 }, load);
  await eventually('there is load', () => seen.length > 200, 20_000);
  const copies = v2.requests.length / seen.length;
  t.ok(copies > 0.2 && copies < 0.8, `half are copied: ${copies}`);
  const swap = await proxy.cli(['swap', 'web', '--to', 'v2']);
  t.equal(swap.code, 0, swap.stderr);
  const now = seen.length;
  await eventually('there is more load', () => seen.length > now + 50, 20_000);
  over = true;
  await Promise.all(clients);
  t.same([...new Set(seen)].sort(), ['v1', 'v2']);
  t.equal(seen.at(-1), 'v2');
  t.same((await upstreamState(proxy)).split, { v2: 100 });
  const { started } = await settledCounts(proxy, 'web', 'v2');
  t.equal(started, seen.filter((body) => body === 'v2').length, 'requests are what it is counted for');
  const mirrored = v2.requests.filter((request) => field(request, 'x-switchyard-mirror') === '1').length;
  t.equal(await metric('switchyard_steered_requests_total{upstream="web",version="v2",by="mirror"}'), mirrored, 'and copies apart from them');
});
