import t from 'tap';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { countedDuring, settledCounts, upstreamState } from './counts.ts';

const v1 = await RawUpstream.start(t, async (request, connection) => connection.respond(200, `v1 ${(await request.body).length}`));
const v2 = await RawUpstream.start(t, async (request, connection) => connection.respond(200, `v2 ${(await request.body).length}`));
const flaky = await RawUpstream.start(t, answer('healthy again'));
let well = true;
const probe = await RawUpstream.start(t, (_, connection) => connection.respond(well ? 200 : 500));
const policy = { health: { kind: 'none' } };
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  timeouts: { body: '1m' },
  upstreams: {
    web: catchAll({ v1: [v1.address] }, 'v1', { ...policy, hold: { queue: 5, timeout: '2m' }, rollback: { keep: '10m' } }),
    short: catchAll({ v1: [v1.address] }, 'v1', { ...policy, hold: { queue: 5, timeout: '200ms' }, routes: [{ path: '/short' }] }),
    waits: catchAll({ v1: [flaky.address] }, 'v1', {
      health: { kind: 'http', path: '/', port: probe.port, interval: '50ms', rise: 1, fall: 1, failOpen: 0 },
      hold: { whenUnavailable: true, timeout: '2m' },
      routes: [{ path: '/waits' }],
    }),
    refuses: catchAll({ v1: [flaky.address] }, 'v1', {
      health: { kind: 'http', path: '/', port: probe.port, interval: '50ms', rise: 1, fall: 1, failOpen: 0 },
      routes: [{ path: '/refuses' }],
    }),
  },
});

async function steer(name: string, verb: 'hold' | 'unhold'): Promise<void> {
  const { status, text } = await proxy.admin(`/v1/upstreams/${name}/${verb}`, { method: 'POST' });
  if (status !== 200) throw new Error(`${verb}: ${text}`);
}
const waiting = (count: number, name = 'web'): Promise<unknown> =>
  eventually(`${count} wait`, async () => (await upstreamState(proxy, name)).waiting === count);

t.test('held requests wait, and go to what is live when they go on', async (t) => {
  const before = v1.requests.length;
  await steer('web', 'hold');
  const answers = [proxy.send(), proxy.send({ method: 'POST', body: Buffer.alloc(200_000) }), proxy.send({ method: 'HEAD' })];
  await waiting(3);
  using pipeline = await RawClient.connect(proxy.port);
  pipeline.write(Buffer.concat([requestBytes(), requestBytes()]));
  await waiting(4);
  await proxy.admin('/v1/upstreams/web/versions', { body: { id: 'v2', backends: [v2.address] } });
  await eventually('v2 is on standby', async () => (await upstreamState(proxy)).versions.some(({ id, phase }) => id === 'v2' && phase === 'standby'));
  t.equal((await proxy.admin('/v1/upstreams/web/split', { method: 'PUT', body: { v2: 100 } })).status, 200);
  await sleep(120);
  t.equal((await upstreamState(proxy)).waiting, 4, 'another table does not let them go');
  t.equal(v1.requests.length, before, 'nobody has been asked');
  await steer('web', 'unhold');
  const [get, post, head] = await Promise.all(answers);
  t.equal(get.body.toString(), 'v2 0');
  t.equal(post.body.toString(), 'v2 200000');
  t.equal(head.status, 200);
  t.equal((await pipeline.response()).body.toString(), 'v2 0');
  t.equal((await pipeline.response()).body.toString(), 'v2 0');
  t.equal(v1.requests.length, before);
  await waiting(0);
});

t.test('the queue is bounded', async (t) => {
  await steer('web', 'hold');
  const held = Array.from({ length: 5 }, () => proxy.send());
  await waiting(5);
  const refused = await proxy.send();
  t.equal(refused.status, 503);
  t.match(field(refused, 'proxy-status'), /details="hold-full"/);
  t.equal(field(refused, 'retry-after'), '1');
  using gone = await RawClient.connect(proxy.port);
  await steer('web', 'unhold');
  for (const response of await Promise.all(held)) t.equal(response.status, 200);
  gone.destroy();
});

t.test('so is the wait', async (t) => {
  await steer('short', 'hold');
  const counts = await countedDuring(
    proxy,
    async () => {
      using client = await RawClient.connect(proxy.port);
      const response = await client.request({ target: '/short' });
      t.equal(response.status, 503);
      t.match(field(response, 'proxy-status'), /details="hold-timeout"/);
      t.equal(field(response, 'retry-after'), '1');
      t.equal(field(response, 'connection'), null);
      t.equal((await client.request({ target: '/' })).status, 200, 'the connection goes on');
    },
    'short',
  );
  t.equal(counts.started, 0, 'a request that never went on was never started');
  await steer('short', 'unhold');
  t.equal((await proxy.send({ target: '/short' })).status, 200);
});

t.test('an upstream that may waits for a backend to come back', async (t) => {
  t.equal((await proxy.send({ target: '/waits' })).status, 200);
  well = false;
  await eventually('nothing is available', async () => (await proxy.send({ target: '/refuses' })).status === 503);
  // The other upstream probes for itself.
  await eventually('nor there', async () => !(await upstreamState(proxy, 'waits')).versions[0].backends[0].available);
  const held = proxy.send({ target: '/waits' });
  await sleep(150);
  const seen = flaky.requestsTo('/waits').length;
  well = true;
  t.equal((await held).body.toString(), 'healthy again');
  t.equal(flaky.requestsTo('/waits').length, seen + 1);
});

t.test('the books', async (t) => {
  for (const name of ['web', 'short', 'waits']) t.match(await settledCounts(proxy, name), { clientAborted: 0, upstreamFailed: 0, killed: 0 }, name);
});
