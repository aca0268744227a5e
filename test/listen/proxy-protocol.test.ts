import t from 'tap';
import { field } from '../helpers/message.ts';
import type { Message } from '../helpers/message.ts';
import { freePorts } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

/** A proxy that is in `trustedProxies`, one that only the second listener knows, and a stranger. */
const TRUSTED = '127.0.0.7';
const LISTED = '127.0.0.9';
const STRANGER = '127.0.0.1';
const LIMIT = 10;
const CLIENT_HEAD_MS = 1_500;

const backend = await RawUpstream.start(t, answer('ok'));
const [first, second, plain] = await freePorts(3);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  listeners: [
    { host: '127.0.0.1', port: first, proxyProtocol: true },
    { host: '127.0.0.1', port: second, proxyProtocol: ['127.0.0.9/32', '2001:db8::/32'] },
    { host: '127.0.0.1', port: plain },
  ],
  trustedProxies: [TRUSTED, '198.51.100.0/24'],
  limits: { connections: LIMIT },
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});

const V1 = 'PROXY TCP4 203.0.113.5 203.0.113.80 40000 8443\r\n';

function v2(command: number, family: number, block: string): Buffer {
  const bytes = Buffer.from(block, 'hex');
  return Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a', 'hex'), Buffer.from([0x20 | command, family, 0, bytes.length]), bytes]);
}

const SIX = '20010db800000000000000000000000120010db80000000000000000000000029c4001bb';
const SSL = '2000050100000001';

/** Sends this before a request, on a new connection from that address. @returns what the backend sees of the request. */
async function behind(
  header: string | Buffer,
  options: { from?: string; port?: number; target?: string; fields?: readonly [string, string][] } = {},
): Promise<Message> {
  const seen = backend.request(backend.requests.length);
  using client = await RawClient.connect(options.port ?? first, { localAddress: options.from ?? TRUSTED });
  const request = requestBytes({ host: 'app.test', target: options.target, fields: options.fields });
  client.write(Buffer.concat([Buffer.from(header as string, 'latin1'), request]));
  const { status } = await client.response();
  if (status !== 200) throw new Error(`answered ${status}`);
  return await seen;
}

async function metric(line: string, of = proxy): Promise<number> {
  const { text } = await of.admin('/metrics');
  return Number(
    text
      .split('\n')
      .find((one) => one.startsWith(`${line} `))
      ?.slice(line.length),
  );
}

const refused = (of = proxy): Promise<number> => metric('switchyard_rejected_requests_total{reason="proxy-protocol"}', of);
const counted = (count: number, of = proxy): Promise<unknown> => eventually(`${count} are counted`, async () => (await refused(of)) === count);

t.test('the client is who the header names, for the backend and in the log', async (t) => {
  const seen = await behind(V1, { target: '/v1', fields: [['X-Forwarded-For', '1.1.1.1']] });
  t.equal(field(seen, 'x-forwarded-for'), '203.0.113.5', 'and is not believed about others');
  t.equal(field(seen, 'x-forwarded-port'), '8443', 'it came to the port that the header names');
  t.equal(field(seen, 'x-forwarded-proto'), 'http');
  t.match(field(seen, 'forwarded'), /^for=203\.0\.113\.5;proto=http;/);
  t.equal((await proxy.logged('/v1')).client, '203.0.113.5');
});

t.test('version 2, IPv6, TLS', async (t) => {
  const seen = await behind(v2(1, 0x21, SIX + SSL), { target: '/v2' });
  t.equal(field(seen, 'x-forwarded-for'), '2001:db8::1');
  t.equal(field(seen, 'x-forwarded-port'), '443');
  t.equal(field(seen, 'x-forwarded-proto'), 'https');
  t.match(field(seen, 'forwarded'), /^for="\[2001:db8::1\]";proto=https;/);
  t.equal((await proxy.logged('/v2')).client, '2001:db8::1');
});

t.test('a client behind the header can be a trusted proxy itself', async (t) => {
  const seen = await behind('PROXY TCP4 198.51.100.7 203.0.113.80 40000 80\r\n', { target: '/chain', fields: [['X-Forwarded-For', '203.0.113.77']] });
  t.equal(field(seen, 'x-forwarded-for'), '203.0.113.77, 198.51.100.7');
  t.equal((await proxy.logged('/chain')).client, '203.0.113.77');
});

t.test('LOCAL is the proxy itself; whom it cannot name is not taken for it', async (t) => {
  const said: readonly [string, string][] = [['X-Forwarded-For', '203.0.113.77']];
  const own = await behind(v2(0, 0, ''), { fields: said });
  t.equal(field(own, 'x-forwarded-for'), `203.0.113.77, ${TRUSTED}`);
  t.equal(field(own, 'x-forwarded-port'), String(first));
  for (const header of ['PROXY UNKNOWN\r\n', v2(1, 0, '')]) {
    const seen = await behind(header, { fields: said });
    t.equal(field(seen, 'x-forwarded-for'), TRUSTED);
  }
});

t.test('header and request in any pieces, and more requests on the connection', async (t) => {
  for (const header of [V1, v2(1, 0x21, SIX + SSL).toString('latin1')]) {
    const from = backend.requests.length;
    using client = await RawClient.connect(first, { localAddress: TRUSTED });
    await client.drip(`${header}${requestBytes({ host: 'a' }).toString('latin1')}`);
    t.equal((await client.response()).status, 200);
    t.equal((await client.request({ host: 'a' })).status, 200);
    const [one, two] = backend.requests.slice(from);
    t.equal(field(one, 'x-forwarded-for'), field(two, 'x-forwarded-for'));
  }
  using client = await RawClient.connect(first, { localAddress: TRUSTED });
  client.write(`${V1}${requestBytes({ host: 'a' }).toString('latin1').repeat(3)}`);
  for (let i = 0; i < 3; i++) t.equal((await client.response()).status, 200);
});

t.test('only those whom the listener trusts with it: from others it is not HTTP', async (t) => {
  for (const [port, from] of [
    [first, STRANGER],
    [first, LISTED],
    [second, TRUSTED],
    [plain, TRUSTED],
  ] as const) {
    using client = await RawClient.connect(port, { localAddress: from });
    client.write(Buffer.concat([Buffer.from(V1), requestBytes()]));
    t.equal((await client.response()).status, 400, `${from} to ${port}`);
    t.equal(await client.closed(), 'end');
    using other = await RawClient.connect(port, { localAddress: from });
    t.equal((await other.request()).status, 200, 'and without one it is served');
  }
  const seen = await behind(V1, { from: LISTED, port: second });
  t.equal(field(seen, 'x-forwarded-for'), '203.0.113.5');
});

t.test('a broken or missing header ends the connection without a byte', async (t) => {
  const before = await refused();
  const broken: readonly (string | Buffer)[] = [
    requestBytes(),
    'PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}`,
    v2(1, 0x11, SIX.slice(0, 22)),
    v2(2, 0x11, SIX),
    Buffer.from([0x16, 3, 1, 2, 0]),
  ];
  const seen = backend.requests.length;
  for (const bytes of broken) {
    using client = await RawClient.connect(first, { localAddress: TRUSTED });
    client.write(bytes);
    t.equal((await client.takeAll()).length, 0);
  }
  t.equal(backend.requests.length, seen);
  await counted(before + broken.length);
  const line = await eventually('a line in the log', () => proxy.log.find(({ reason }) => reason === 'proxy-protocol'));
  t.match(line, { client: TRUSTED, status: 0, method: '' });
});

t.test('its time is that of a head, from the accept; who looks whether the port is open is no fault', async (t) => {
  const [port] = await freePorts(1);
  const hasty = await Proxy.start(t, {
    dataThreads: 1,
    listeners: [{ host: '127.0.0.1', port, proxyProtocol: [TRUSTED] }],
    timeouts: { clientHead: CLIENT_HEAD_MS },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
  });
  const since = performance.now();
  using silent = await RawClient.connect(port, { localAddress: TRUSTED });
  using slow = await RawClient.connect(port, { localAddress: TRUSTED });
  let sent = 0;
  const drip = setInterval(() => slow.ending === 'open' && sent < V1.length && slow.write(V1[sent++]), 100);
  t.equal((await silent.takeAll()).length, 0);
  await slow.closed();
  clearInterval(drip);
  t.ok(performance.now() - since > CLIENT_HEAD_MS * 0.8);
  await counted(2, hasty);
  const before = await refused();
  using looking = await RawClient.connect(first, { localAddress: TRUSTED });
  looking.end();
  t.equal((await looking.takeAll()).length, 0);
  using half = await RawClient.connect(first, { localAddress: TRUSTED });
  half.write('PROXY TCP4 ');
  half.end();
  t.equal((await half.takeAll()).length, 0);
  await counted(before + 1);
  t.equal(await refused(), before + 1, 'only this one');
});

t.test('connections that wait for their header count, and none is left', async (t) => {
  await eventually('none is open', async () => (await metric('switchyard_client_connections')) === 0);
  const waiting = await Promise.all(Array.from({ length: LIMIT }, () => RawClient.connect(first, { localAddress: TRUSTED })));
  await eventually('all are open', async () => (await metric('switchyard_client_connections')) === LIMIT);
  using late = await RawClient.connect(plain);
  t.equal((await late.response()).status, 503);
  for (const client of waiting) client.reset();
  await eventually('none is open', async () => (await metric('switchyard_client_connections')) === 0);
});

t.test('one that waits does not hold the end up', async (t) => {
  const [port] = await freePorts(1);
  const patient = await Proxy.start(t, {
    dataThreads: 1,
    listeners: [{ host: '127.0.0.1', port, proxyProtocol: [TRUSTED] }],
    timeouts: { clientHead: '2m' },
    shutdown: { drain: '2m' },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
  });
  using waiting = await RawClient.connect(port, { localAddress: TRUSTED });
  await eventually('it is open', async () => /^switchyard_client_connections 1$/m.test((await patient.admin('/metrics')).text));
  t.match(await patient.stop('SIGTERM', 30_000), { code: 0 });
  t.equal((await waiting.takeAll()).length, 0);
});
