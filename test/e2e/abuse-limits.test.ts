import t from 'tap';
import type { Test } from 'tap';
import { field } from '../helpers/message.ts';
import type { Response } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';
import { settledCounts } from '../proxy/counts.ts';

const TRUSTED = '127.0.0.9';

async function start(t: Test, limits: Record<string, unknown>, ofUpstream: Record<string, unknown> = {}): Promise<Proxy> {
  const backend = await RawUpstream.start(t, answer('ok'));
  return Proxy.start(t, {
    dataThreads: 2,
    trustedProxies: [TRUSTED],
    limits,
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, routes: [{ host: 'web' }], limits: ofUpstream }) },
  });
}

function from(t: Test, proxy: Proxy, localAddress: string): Promise<RawClient> {
  return RawClient.connect(proxy.port, { localAddress }).then((client) => {
    t.teardown(() => client.destroy());
    return client;
  });
}

/** Status, and the reason of an answer that is the proxy's own. */
function said(response: Response): string {
  const reason = /details="(.*)"/.exec(field(response, 'proxy-status') ?? '')?.[1];
  return reason === undefined ? String(response.status) : `${response.status} ${reason}`;
}

async function metric(proxy: Proxy, name: string): Promise<number> {
  const { text } = await proxy.admin('/metrics');
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length + 1),
  );
}

/** What a client of this address is told when it opens a connection. */
async function knock(t: Test, proxy: Proxy, address: string): Promise<string> {
  const client = await from(t, proxy, address);
  client.write(requestBytes({ host: 'web' }));
  return said(await client.response());
}

t.test('connections of one address are counted over all threads', async (t) => {
  const proxy = await start(t, { connectionsPerClient: 6 });
  const clients = await Promise.all(Array.from({ length: 6 }, () => from(t, proxy, '127.0.0.2')));
  for (const client of clients) t.equal((await client.request({ host: 'web' })).status, 200);
  t.equal(await metric(proxy, 'switchyard_clients_counted'), 1);
  for (let i = 0; i < 4; i++) {
    const late = await from(t, proxy, '127.0.0.2');
    late.write(requestBytes({ host: 'web' }));
    const response = await late.response();
    t.equal(said(response), '429 client-connections');
    t.equal(field(response, 'connection'), 'close');
    t.equal(field(response, 'retry-after'), '1');
    t.equal(await late.closed(), 'end');
  }
  t.equal(await knock(t, proxy, '127.0.0.3'), '200', 'another address is not touched by it');
  for (let i = 0; i < 8; i++) t.equal(await knock(t, proxy, TRUSTED), '200', 'a trusted proxy may have as many as it wants');
  clients[0].destroy();
  await eventually('there is room for one again', async () => (await knock(t, proxy, '127.0.0.2')) === '200');
  t.equal(await knock(t, proxy, '127.0.0.2'), '429 client-connections');
  t.ok((await metric(proxy, 'switchyard_rejected_requests_total{reason="client-connections"}')) >= 5);
  t.equal(await metric(proxy, 'switchyard_clients_uncounted_total'), 0);

  await proxy.editConfig((config) => ({ ...config, limits: { connectionsPerClient: 7 } }));
  await eventually('the new cap is in force', async () => (await knock(t, proxy, '127.0.0.2')) === '200');
  await proxy.editConfig((config) => ({ ...config, limits: { connectionsPerClient: null } }));
  await eventually('there is none any more', async () => (await knock(t, proxy, '127.0.0.2')) === '200');
  t.equal(await knock(t, proxy, '127.0.0.2'), '200');
});

t.test('behind the PROXY protocol the cap is of the client that it names', async (t) => {
  const backend = await RawUpstream.start(t, answer('ok'));
  const port = await freePort();
  const proxy = await Proxy.start(
    t,
    {
      dataThreads: 2,
      listeners: [{ host: '127.0.0.1', port, proxyProtocol: [TRUSTED] }],
      accessLog: 'full',
      limits: { connectionsPerClient: 2 },
      upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
    },
    { unready: true },
  );
  await proxy.ready();
  const introduced = async (header: string): Promise<string> => {
    const client = await RawClient.connect(port, { localAddress: TRUSTED });
    t.teardown(() => client.destroy());
    client.write(`${header}\r\n`);
    client.write(requestBytes());
    return said(await client.response());
  };
  const answers = [];
  for (let i = 0; i < 3; i++) answers.push(await introduced('PROXY TCP4 192.0.2.1 192.0.2.9 1000 80'));
  t.strictSame(answers, ['200', '200', '429 client-connections']);
  t.equal(await introduced('PROXY TCP4 192.0.2.2 192.0.2.9 1000 80'), '200');
  for (let i = 0; i < 4; i++) t.equal(await introduced('PROXY UNKNOWN'), '200', 'the proxy itself has no cap');
  const line = await eventually('the refusal is logged', () => proxy.process.stdout.split('\n').find((text) => text.includes('client-connections')));
  t.match(JSON.parse(line), { client: '192.0.2.1', reason: 'client-connections' });
});

t.test('where every peer is a proxy, or its clients are on the same network, they have the cap all the same', async (t) => {
  const backend = await RawUpstream.start(t, answer('ok'));
  const port = await freePort();
  await Proxy.start(t, {
    dataThreads: 1,
    listeners: [{ host: '127.0.0.1', port, proxyProtocol: ['0.0.0.0/0'] }],
    limits: { connectionsPerClient: 2 },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
  });
  const introduced = async (header: string): Promise<string> => {
    const client = await RawClient.connect(port);
    t.teardown(() => client.destroy());
    client.write(`${header}\r\n`);
    client.write(requestBytes());
    return said(await client.response());
  };
  const answers = [];
  for (let i = 0; i < 3; i++) answers.push(await introduced('PROXY TCP4 192.0.2.1 192.0.2.9 1000 80'));
  t.strictSame(answers, ['200', '200', '429 client-connections']);
  for (let i = 0; i < 3; i++) t.equal(await introduced('PROXY UNKNOWN'), '200', 'whom nobody names is not counted');
});

t.test('who is turned away gets its answer, and cannot stay by talking', async (t) => {
  const proxy = await start(t, { connectionsPerClient: 1 });
  const first = await from(t, proxy, '127.0.0.2');
  t.equal((await first.request({ host: 'web' })).status, 200);
  const talker = await from(t, proxy, '127.0.0.2');
  t.equal(said(await talker.response()), '429 client-connections');
  const talking = setInterval(() => talker.write('x'), 50);
  t.teardown(() => clearInterval(talking));
  await talker.closed(30_000);
  const flood = await from(t, proxy, '127.0.0.2');
  flood.write(Buffer.alloc(4_000_000, 'x'));
  await flood.closed(30_000);
  t.equal((await first.request({ host: 'web' })).status, 200);
});

t.test('requests of one address are counted over all threads, whatever they ask for', async (t) => {
  const proxy = await start(t, { rate: { requests: 5, per: '1m', burst: 10 } });
  const clients = await Promise.all(Array.from({ length: 5 }, () => from(t, proxy, '127.0.0.2')));
  const answers: string[] = [];
  for (let i = 0; i < 10; i++) answers.push(said(await clients[i % 5].request({ host: i % 2 === 0 ? 'web' : 'other' })));
  t.strictSame([...new Set(answers)].toSorted(), ['200', '404 no-route'], 'the burst');
  for (const client of clients) {
    const response = await client.request({ host: 'web' });
    t.equal(said(response), '429 rate-limited');
    const seconds = Number(field(response, 'retry-after'));
    t.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 12, `after ${seconds} s`);
    t.equal(field(response, 'connection'), null);
    t.equal(said(await client.request({ host: 'web' })), '429 rate-limited', 'the connection is as good as before');
  }
  const [client] = clients;
  client.write(requestBytes({ host: 'web', method: 'POST', fields: [['Content-Length', '5']] }));
  const refused = await client.response('POST');
  t.equal(said(refused), '429 rate-limited');
  t.equal(field(refused, 'connection'), 'close', 'a body that nobody reads ends the connection');
  t.equal(await knock(t, proxy, '127.0.0.3'), '200', 'another address is not touched by it');
  t.match(await settledCounts(proxy), { started: 6 }, 'nothing was claimed for those that were refused');
  t.equal(await metric(proxy, 'switchyard_rejected_requests_total{reason="rate-limited"}'), 11);
  t.equal(await metric(proxy, 'switchyard_clients_counted'), 2);

  await proxy.editConfig((config) => ({ ...config, limits: {} }));
  await eventually('the limit is gone', async () => said(await clients[1].request({ host: 'web' })) === '200');
});

t.test('a client is who a trusted proxy says it is', async (t) => {
  const proxy = await start(t, { rate: { requests: 1, per: '1m', burst: 3 } });
  const client = await from(t, proxy, TRUSTED);
  const ask = async (who: string): Promise<string> => said(await client.request({ host: 'web', fields: [['X-Forwarded-For', who]] }));
  for (let i = 0; i < 3; i++) t.equal(await ask('192.0.2.1'), '200');
  t.equal(await ask('192.0.2.1'), '429 rate-limited');
  for (const address of ['2001:db8::1', '2001:db8::2', '2001:db8::3']) t.equal(await ask(address), '200');
  t.equal(await ask('2001:db8::4'), '429 rate-limited', 'an IPv6 client is its /64');
  t.equal(await ask('2001:db8:0:1::1'), '200');
  const liar = await from(t, proxy, '127.0.0.2');
  const lies = [];
  for (let i = 0; i < 5; i++) lies.push(said(await liar.request({ host: 'web', fields: [['X-Forwarded-For', `192.0.2.${i}`]] })));
  t.strictSame(lies, ['200', '200', '200', '429 rate-limited', '429 rate-limited'], 'nobody else is believed');
});

t.test('who is over the rate of an upstream is told so as its route would have it', async (t) => {
  const backend = await RawUpstream.start(t, answer('ok'));
  const proxy = await Proxy.start(t, {
    dataThreads: 1,
    upstreams: {
      web: catchAll({ v1: [backend.address] }, 'v1', {
        health: { kind: 'none' },
        limits: { rate: { requests: 1, per: '1h' } },
        routes: [{ security: true, headers: { response: { set: { 'X-Route': 'web' } } } }],
      }),
    },
  });
  t.equal(said(await proxy.send()), '200');
  const refused = await proxy.send();
  t.equal(said(refused), '429 rate-limited');
  t.equal(field(refused, 'x-route'), 'web');
  t.equal(field(refused, 'x-frame-options'), 'SAMEORIGIN');
});

t.test('an upstream has a rate of its own, and tokens come back', async (t) => {
  const proxy = await start(t, {}, { rate: { requests: 2, per: '1s', burst: 2 } });
  const client = await from(t, proxy, '127.0.0.2');
  const ask = async (host: string): Promise<string> => said(await client.request({ host }));
  t.equal(await ask('web'), '200');
  for (let i = 0; i < 5; i++) t.equal(await ask('other'), '404 no-route', 'what is for no upstream is not counted');
  await eventually('the bucket is empty', async () => (await ask('web')) === '429 rate-limited');
  await eventually('a token comes back', async () => (await ask('web')) === '200', 20_000, 50);
});
