import type { AddressInfo } from 'node:net';
import t from 'tap';
import { IntroducedUpstream } from '../helpers/introduced_upstream.ts';
import { field, fieldAll } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const TRUSTED = '127.0.0.7';
const NONE = { health: { kind: 'none' } };

const [one, two, other] = [await IntroducedUpstream.start(t), await IntroducedUpstream.start(t), await RawUpstream.start(t, answer('plain'))];
const inner = await freePort();
const last = await RawUpstream.start(t, answer('last'));

/** Behind the one below: wants the header from it. */
const second = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  listeners: [{ host: '127.0.0.1', port: inner, proxyProtocol: ['127.0.0.1'] }],
  upstreams: { web: catchAll({ v1: [last.address] }, 'v1', { health: { kind: 'none' } }) },
});
const proxied = await freePort();
const plain = await freePort();
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  listeners: [
    { host: '127.0.0.1', port: plain },
    { host: '127.0.0.1', port: proxied, proxyProtocol: ['127.0.0.0/8'] },
  ],
  trustedProxies: [TRUSTED],
  upstreams: {
    one: { ...catchAll({ v1: [one.raw.address] }, 'v1', { ...NONE, proxyProtocol: 'v1' }), routes: [{ host: 'one' }] },
    two: { ...catchAll({ v1: [two.raw.address] }, 'v1', { ...NONE, proxyProtocol: 'v2' }), routes: [{ host: 'two' }] },
    plain: { ...catchAll({ v1: [other.address] }, 'v1', NONE), routes: [{ host: 'plain' }] },
    chain: { ...catchAll({ v1: [`127.0.0.1:${inner}`] }, 'v1', { proxyProtocol: 'v2' }), routes: [{ host: 'chain' }] },
    chain1: { ...catchAll({ v1: [`127.0.0.1:${inner}`] }, 'v1', { proxyProtocol: 'v1', health: { path: '/' } }), routes: [{ host: 'chain1' }] },
  },
});

const portOf = (client: RawClient): number => (client.socket.address() as AddressInfo).port;
const v1Of = (client: RawClient, address = '127.0.0.1'): string => `PROXY TCP4 ${address} 127.0.0.1 ${portOf(client)} ${plain}\r\n`;
const hexOf = (port: number): string => port.toString(16).padStart(4, '0');
const FIXED = '0d0a0d0a000d0a515549540a';

t.test('version 1, byte for byte; requests of one client share a connection', async (t) => {
  using client = await RawClient.connect(plain);
  const connections = one.raw.connections.length;
  for (let i = 0; i < 3; i++) t.equal((await client.request({ host: 'one', fields: [['X-Forwarded-For', '203.0.113.9']] })).status, 200);
  t.strictSame(one.headers.slice(connections), [v1Of(client)]);
  t.equal(field(one.requests[one.requests.length - 1], 'x-forwarded-for'), '127.0.0.1');
});

t.test('version 2, byte for byte, over IPv4 and with TLS over IPv6', async (t) => {
  using client = await RawClient.connect(plain, { localAddress: TRUSTED });
  t.equal((await client.request({ host: 'two', fields: [['X-Forwarded-For', '203.0.113.9']] })).status, 200);
  t.equal(two.headers.at(-1), `${FIXED}2111000c7f0000077f000001${hexOf(portOf(client))}${hexOf(plain)}`, 'the peer, not who it speaks for');
  const ends = '20010db800000000000000000000000120010db80000000000000000000000029c4001bb';
  using secure = await RawClient.connect(proxied);
  secure.write(Buffer.from(`${FIXED}2121002c${ends}2000050100000000`, 'hex'));
  t.equal((await secure.request({ host: 'two' })).status, 200);
  t.equal(two.headers.at(-1), `${FIXED}2121002c${ends}2000050100000001`);
  using mixed = await RawClient.connect(proxied);
  mixed.write('PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n');
  t.equal((await mixed.request({ host: 'one' })).status, 200);
  t.equal(one.headers.at(-1), 'PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n', 'both ends in one family');
});

t.test('a connection carries requests of its client only, whoever else asks, and goes with it', async (t) => {
  one.script = ({ connection }) => connection.respond(200, 'ok', [['Keep-Alive', 'timeout=60']]);
  const rounds = 40;
  const clients = await Promise.all(Array.from({ length: 8 }, (_, i) => RawClient.connect(plain, { localAddress: `127.0.0.${i + 1}` })));
  const seen = one.requests.length;
  await Promise.all(
    clients.map(async (client) => {
      for (let i = 0; i < rounds; i++) {
        const fields: [string, string][] = [['X-Client', `${portOf(client)}`]];
        const response = await client.request({ host: i % 5 === 4 ? 'plain' : 'one', fields });
        if (response.status !== 200) throw new Error(`answered ${response.status}`);
      }
    }),
  );
  const mine = one.requests.slice(seen);
  t.equal(mine.length, (clients.length * rounds * 4) / 5);
  t.strictSame(
    mine.filter((request) => request.header.split(' ')[4] !== field(request, 'x-client')),
    [],
    'each request came behind the header of its own client',
  );
  t.equal(new Set(mine.map(({ connection }) => connection)).size, clients.length, 'and each client has one connection');
  for (const client of clients) client.destroy();
  await eventually('their connections are closed', () => one.raw.open === 0);
});

t.test('an idle connection that the backend has closed is made again, with the header', async (t) => {
  one.script = ({ connection }) => {
    connection.respond(200, 'bye');
    connection.end();
  };
  using client = await RawClient.connect(plain);
  const from = one.headers.length;
  for (let i = 0; i < 4; i++) t.equal((await client.request({ host: 'one' })).status, 200);
  t.strictSame(
    one.headers.slice(from),
    Array.from({ length: 4 }, () => v1Of(client)),
  );
  one.script = ({ connection }) => connection.respond(200, 'ok');
});

t.test('a body that is still on its way, and a tunnel', async (t) => {
  using client = await RawClient.connect(plain);
  const [head, body] = [requestBytes({ host: 'one', method: 'POST', fields: [['Content-Length', '200000']] }), Buffer.alloc(200_000, 'x')];
  client.write(head);
  client.write(body);
  t.equal((await client.response('POST')).status, 200);
  one.script = ({ connection }) => {
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    connection.socket.on('data', (bytes) => connection.write(bytes));
    return 'taken';
  };
  using tunnel = await RawClient.connect(plain);
  const fields: [string, string][] = [
    ['Connection', 'Upgrade'],
    ['Upgrade', 'echo'],
  ];
  t.equal((await tunnel.request({ host: 'one', fields })).status, 101);
  tunnel.write('to and fro');
  t.equal(await tunnel.takeUntil('fro'), 'to and fro');
  t.equal(one.headers.at(-1), v1Of(tunnel));
  one.script = ({ connection }) => connection.respond(200, 'ok');
});

t.test('two proxies in a chain: the second knows the client as the first does', async (t) => {
  for (const [host, target] of [
    ['chain', '/v2'],
    ['chain1', '/v1'],
  ] as const) {
    using client = await RawClient.connect(plain, { localAddress: '127.0.0.3' });
    for (const forged of ['1.1.1.1', '2.2.2.2']) t.equal((await client.request({ host, target, fields: [['X-Forwarded-For', forged]] })).status, 200);
    const seen = last.requests.filter((request) => request.target === target);
    t.equal(seen.length, 2);
    for (const request of seen) {
      t.strictSame(fieldAll(request, 'x-forwarded-for'), ['127.0.0.3']);
      t.equal(field(request, 'x-forwarded-port'), String(plain));
    }
    t.match(await second.logged(target), { client: '127.0.0.3' });
  }
  const { text } = await second.admin('/metrics');
  t.match(text, /rejected_requests_total\{reason="proxy-protocol"\} 0/, 'probes of both kinds are understood, too');
});

t.test('nothing is opened ahead of its client', async (t) => {
  const [ahead, bound] = await Promise.all([RawUpstream.start(t), IntroducedUpstream.start(t)]);
  for (const [upstream, address] of [
    ['plain', ahead.address],
    ['two', bound.raw.address],
  ]) {
    const made = await proxy.admin(`/v1/upstreams/${upstream}/versions`, { body: { id: 'v2', backends: [address] } });
    t.ok(made.status === 201 || made.status === 202, JSON.stringify(made.json));
  }
  await eventually('the one that can be', () => ahead.connections.length > 0);
  await proxy.admin('/v1/upstreams/two/versions/v2?wait=admitted&timeout=5s');
  t.equal(bound.raw.connections.length, 0);
});

t.test('idle connections go when their version does', async (t) => {
  two.script = ({ connection }) => connection.respond(200, 'ok', [['Keep-Alive', 'timeout=60']]);
  using client = await RawClient.connect(plain);
  t.equal((await client.request({ host: 'two' })).status, 200);
  t.ok(two.raw.open > 0);
  const next = await IntroducedUpstream.start(t);
  t.equal((await proxy.cli(['swap', 'two', '--to', 'v3', '--backend', next.raw.address])).code, 0);
  await eventually('all are closed', () => two.raw.open === 0);
  t.equal((await client.request({ host: 'two' })).status, 200);
  t.equal(next.requests.length, 1);
});

t.test('a change of the setting is in force for the next request', async (t) => {
  /** For each request, the first byte of its connection. */
  const begun: string[] = [];
  const backend = await RawUpstream.start(t, undefined, {
    onConnection(connection) {
      let [first, text] = ['', ''];
      connection.socket.on('data', (bytes: Buffer) => {
        first ||= String.fromCharCode(bytes[0]);
        text += bytes.toString('latin1');
        if (!/GET \/ [^]*\r\n\r\n$/.test(text)) return;
        text = '';
        begun.push(first);
        connection.respond(200, 'ok');
      });
      connection.socket.on('end', () => connection.end());
    },
  });
  const changing = await Proxy.start(t, { dataThreads: 1, upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', NONE) } });
  using client = await RawClient.connect(changing.port);
  for (const [proxyProtocol, first] of [
    [false, 'G'],
    ['v1', 'P'],
    ['v2', '\r'],
    [false, 'G'],
    ['v2', '\r'],
  ]) {
    await changing.editConfig((config) => ({ ...config, upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { ...NONE, proxyProtocol }) } }));
    await eventually(`a connection with ${String(proxyProtocol)}`, async () => {
      if ((await client.request()).status !== 200) throw new Error('not answered');
      return begun.at(-1) === first;
    });
    for (let i = 0; i < 3; i++) await client.request();
    t.strictSame(begun.slice(-3), [first, first, first]);
  }
});
