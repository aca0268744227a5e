import t from 'tap';
import { field } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import type { Script } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { countedDuring, settledCounts, versionState } from './counts.ts';

const up = await RawUpstream.start(t, answer('up'));
const downPorts = [await freePort(), await freePort(), await freePort()];
const down = downPorts.map((port) => `127.0.0.1:${port}`);
const odd = await RawUpstream.start(t);
const closesFirst = await RawUpstream.start(t);

const policy = { health: { kind: 'none' }, outlier: false };
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: {
    half: catchAll({ v1: [up.address, down[0]] }, 'v1', { ...policy, balance: 'round-robin', routes: [{ path: '/half' }] }),
    down: catchAll({ v1: [down[1]] }, 'v1', { ...policy, routes: [{ path: '/down' }] }),
    back: catchAll({ v1: [down[2]] }, 'v1', { ...policy, routes: [{ path: '/back' }] }),
    never: catchAll({ v1: [down[0], up.address] }, 'v1', { ...policy, balance: 'round-robin', retries: { attempts: 0 }, routes: [{ path: '/never' }] }),
    odd: catchAll({ v1: [odd.address] }, 'v1', { ...policy, routes: [{ path: '/odd' }] }),
    budget: catchAll({ v1: [closesFirst.address] }, 'v1', { ...policy, retries: { attempts: 1, budget: 0 }, routes: [{ path: '/budget' }] }),
  },
});
const { port } = proxy;

async function retriesCounted(): Promise<number> {
  const { text } = await proxy.admin('/metrics');
  return Number(/^switchyard_retries_total(?:\{[^}]*\})? (\d+)/m.exec(text)?.[1]);
}

t.test('while one of two backends is down, nobody notices', async (t) => {
  const before = await retriesCounted();
  const counts = await countedDuring(
    proxy,
    async () => {
      using client = await RawClient.connect(port);
      for (let i = 0; i < 40; i++) {
        const request: RequestSpec = i % 2 === 0 ? { target: '/half' } : { method: 'POST', target: '/half', body: 'x'.repeat(30_000) };
        const response = await client.request(request);
        if (response.status !== 200) t.fail(`request ${i}: ${response.status}`);
      }
    },
    'half',
  );
  t.equal(counts.completed, 40);
  t.ok(counts.upstreamFailed >= 15, `${counts.upstreamFailed} attempts failed and were made again elsewhere`);
  t.equal(counts.started, counts.completed + counts.upstreamFailed);
  t.equal((await retriesCounted()) - before, counts.upstreamFailed);
});

t.test('a body larger than what is kept is sent on whole after a failed dial', async (t) => {
  up.use(async (request, connection) => connection.respond(200, String((await request.body).length)));
  using client = await RawClient.connect(port);
  for (let i = 0; i < 4; i++) t.equal((await client.request({ method: 'PUT', target: '/half', body: Buffer.alloc(500_000) })).body.toString(), '500000');
  up.use(answer('up'));
});

t.test('all down: one more try after a moment, then 502', async (t) => {
  const counts = await countedDuring(
    proxy,
    async () => {
      const since = performance.now();
      const response = await proxy.send({ target: '/down' });
      const waited = performance.now() - since;
      t.equal(response.status, 502);
      t.match(field(response, 'proxy-status'), /error=connection_refused; details="dial-failed"/);
      // How long is up to the timer wheel, whose clock is a tick behind at most: the second try is counted, not timed.
      t.comment(`after ${Math.round(waited)} ms`);
    },
    'down',
  );
  t.match(counts, { started: 2, upstreamFailed: 2 });
});

t.test('a backend that comes back within that moment answers', async (t) => {
  // The moment is drawn at random from 25 to 250 ms: of several requests, some are late enough, unless the machine is busy.
  let helped = 0;
  for (let round = 0; round < 20 && helped === 0; round++) {
    let statuses: number[] = [];
    const failed = (await settledCounts(proxy, 'back')).upstreamFailed;
    const counts = await countedDuring(
      proxy,
      async () => {
        const asked = Array.from({ length: 12 }, () => proxy.send({ target: '/back' }));
        await eventually('one has failed', async () => (await versionState(proxy, 'back')).counts.upstreamFailed > failed, undefined, 1);
        const returned = await RawUpstream.listen(answer('back again'), { port: downPorts[2] });
        statuses = (await Promise.all(asked)).map(({ status }) => status);
        await returned.close();
      },
      'back',
    );
    t.ok(
      statuses.every((status) => status === 200 || status === 502),
      String(statuses),
    );
    // Who got a 502 has failed twice.
    helped = counts.upstreamFailed - 2 * statuses.filter((status) => status === 502).length;
  }
  t.ok(helped > 0, `${helped} have failed once, and then got an answer`);
  await RawUpstream.start(t, answer('back again'), { port: downPorts[2] });
  t.equal((await proxy.send({ target: '/back' })).status, 200);
});

t.test('without retries the first failure is the answer', async (t) => {
  const statuses: number[] = [];
  for (let i = 0; i < 6; i++) statuses.push((await proxy.send({ target: '/never' })).status);
  t.strictSame(
    statuses.toSorted((a, b) => a - b),
    [200, 200, 200, 502, 502, 502],
  );
});

/** Ends all connections to the odd backend, so that the next request is the first of its connection. */
async function forgetConnections(): Promise<void> {
  for (const connection of odd.connections) connection.destroy();
  await eventually('no connection is idle', async () => (await versionState(proxy, 'odd')).backends[0].openSockets === 0);
}

/** Answers the first request of a connection; resets it when the second comes. */
const resetsReused: Script = async (request, connection) => {
  await request.body;
  if (connection.requests > 1) connection.reset();
  else connection.respond(200, 'first');
};

t.test('a connection that was used before and is reset', async (t) => {
  for (const [request, status] of [
    [{ target: '/odd' }, 200],
    [{ method: 'PUT', target: '/odd', body: 'idempotent' }, 200],
    [{ method: 'DELETE', target: '/odd' }, 200],
    [{ method: 'POST', target: '/odd', body: 'once' }, 502],
    [{ method: 'PATCH', target: '/odd', body: 'once' }, 502],
    [{ method: 'PUT', target: '/odd', body: Buffer.alloc(200_000) }, 502],
    [
      {
        target: '/odd',
        fields: [
          ['Connection', 'Upgrade'],
          ['Upgrade', 'echo'],
        ],
      },
      502,
    ],
  ] as [RequestSpec, number][]) {
    const name = `${request.method ?? 'GET'} ${request.fields === undefined ? '' : 'upgrade '}${request.body?.length ?? 0}`;
    odd.use(resetsReused);
    using client = await RawClient.connect(port);
    // One connection to the backend that was used once.
    await forgetConnections();
    t.equal((await client.request({ target: '/odd' })).status, 200);
    const before = odd.requests.length;
    const response = await client.request(request);
    t.equal(response.status, status, name);
    t.equal(odd.requests.length - before, status === 200 ? 2 : 1, `${name}: how often it was sent`);
    if (status === 502) t.match(field(response, 'proxy-status'), /details="reset"/);
    client.destroy();
  }
});

t.test('nothing is tried again once the backend has said a byte', async (t) => {
  odd.use(async (request, connection) => {
    await request.body;
    if (connection.requests === 1) return connection.respond(200, 'first');
    connection.write('H');
    await new Promise((resolve) => setTimeout(resolve, 20));
    connection.reset();
  });
  using client = await RawClient.connect(port);
  t.equal((await client.request({ target: '/odd' })).status, 200);
  const before = odd.requests.length;
  t.equal((await client.request({ target: '/odd' })).status, 502);
  t.equal(odd.requests.length, before + 1);
});

t.test('a fresh connection that is reset is not tried again', async (t) => {
  odd.use((_, connection) => connection.reset());
  await forgetConnections();
  const before = odd.requests.length;
  t.equal((await proxy.send({ target: '/odd' })).status, 502);
  t.equal(odd.requests.length, before + 1);
});

t.test('an end instead of an answer is a reset, too', async (t) => {
  odd.use((_, connection) => connection.end());
  t.match(field(await proxy.send({ target: '/odd' }), 'proxy-status'), /details="reset"/);
});

t.test('retries after a reset have a budget: three at a time at least', async (t) => {
  closesFirst.use(answer('warm'));
  const clients = await Promise.all(Array.from({ length: 12 }, () => RawClient.connect(port)));
  let resets = 0;
  let waiting = 0;
  closesFirst.use(async (_, connection) => {
    waiting++;
    await eventually('all are here', () => waiting >= 12);
    connection.respond(200, 'warm');
  });
  for (const client of clients) client.write(requestBytes({ target: '/budget' }));
  for (const client of clients) await client.response();
  // Twelve used connections: each is reset under its second request, and the retries are not answered before all are made.
  let retried = 0;
  let refused = 0;
  closesFirst.use(async (_, connection) => {
    if (connection.requests > 1) {
      resets++;
      await eventually('all are here', () => resets >= 12);
      return connection.reset();
    }
    retried++;
    await eventually('the others are refused', () => refused >= 9);
    connection.respond(200, 'again');
  });
  const statuses = await Promise.all(
    clients.map(async (client) => {
      const { status } = await client.request({ target: '/budget' });
      if (status === 502) refused++;
      return status;
    }),
  );
  t.equal(retried, 3);
  t.equal(statuses.filter((status) => status === 200).length, 3);
  for (const client of clients) client.destroy();
});

t.test('the books', async (t) => {
  for (const name of ['half', 'down', 'back', 'never', 'odd', 'budget']) t.match(await settledCounts(proxy, name), { killed: 0, clientAborted: 0 }, name);
});
