import t from 'tap';
import { field } from '../helpers/message.ts';
import type { Message } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const TRUSTED = '127.0.0.7';
const backend = await RawUpstream.start(t, answer('ok'));
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  trustedProxies: ['127.0.0.7', '10.1.0.0/16', '2001:db8::/32'],
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});

/** What the backend sees of a request that comes from this address with these fields. */
async function from(localAddress: string, fields: readonly [string, string][], target = '/'): Promise<Message> {
  const seen = backend.request(backend.requests.length);
  using client = await RawClient.connect(proxy.port, { localAddress });
  await client.request({ target, host: 'app.test', fields });
  return await seen;
}

const said: readonly [string, string][] = [
  ['X-Forwarded-For', '198.51.100.1, 203.0.113.9'],
  ['X-Forwarded-For', '10.1.2.3'],
  ['X-Forwarded-Proto', 'https'],
  ['X-Forwarded-Host', 'shop.test'],
  ['Forwarded', 'for=203.0.113.9;proto=https'],
  ['X-Request-Id', 'from-the-edge'],
  ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
  ['Via', '1.1 edge'],
];

t.test('a trusted proxy is believed, and what it said is added to', async (t) => {
  const seen = await from(TRUSTED, said);
  t.equal(field(seen, 'x-forwarded-for'), `198.51.100.1, 203.0.113.9, 10.1.2.3, ${TRUSTED}`);
  t.equal(field(seen, 'x-forwarded-proto'), 'https');
  t.equal(field(seen, 'x-forwarded-host'), 'shop.test');
  t.equal(field(seen, 'x-forwarded-port'), String(proxy.port), 'what it did not say, we say');
  t.equal(field(seen, 'forwarded'), `for=203.0.113.9;proto=https, for=${TRUSTED};proto=http;host="app.test"`);
  t.equal(field(seen, 'x-request-id'), 'from-the-edge');
  t.equal(field(seen, 'traceparent'), '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
  t.match(seen.head, /Via: 1\.1 edge\r\n[^]*Via: 1\.1 switchyard\r\n/);
});

t.test('anybody else is not', async (t) => {
  const seen = await from('127.0.0.8', said);
  t.equal(field(seen, 'x-forwarded-for'), '127.0.0.8');
  t.equal(field(seen, 'x-forwarded-proto'), 'http');
  t.equal(field(seen, 'x-forwarded-host'), 'app.test');
  t.not(field(seen, 'x-request-id'), 'from-the-edge');
});

t.test('the client is the last address that is not a trusted proxy’s', async (t) => {
  const cases: readonly [string, readonly [string, string][], string][] = [
    ['/chain', said, '203.0.113.9'],
    ['/none', [], TRUSTED],
    ['/junk', [['X-Forwarded-For', '203.0.113.9, not-an-address']], TRUSTED],
    ['/six', [['X-Forwarded-For', '2001:db9::1, 2001:db8::5']], '2001:db9::1'],
    ['/all', [['X-Forwarded-For', '10.1.0.1, 10.1.0.2']], '10.1.0.1'],
  ];
  for (const [target, fields] of cases) await from(TRUSTED, fields, target);
  await from('127.0.0.8', said, '/untrusted');
  for (const [target, , client] of [...cases, ['/untrusted', [], '127.0.0.8'] as const]) {
    const line = await eventually(`the line of ${target}`, () => proxy.process.stdout.split('\n').find((text) => text.includes(`"target":"${target}"`)));
    t.equal((JSON.parse(line) as { client: string }).client, client, target);
  }
});

t.test('the id in the log is the id that the backend knows', async (t) => {
  await from(TRUSTED, [['X-Request-Id', 'a-b-c']], '/id');
  const line = await eventually('its line', () => proxy.process.stdout.split('\n').find((text) => text.includes('"target":"/id"')));
  t.equal((JSON.parse(line) as { requestId: string }).requestId, 'a-b-c');
  await from('127.0.0.8', [['X-Request-Id', 'a-b-c']], '/not-believed');
  const other = await eventually('its line', () => proxy.process.stdout.split('\n').find((text) => text.includes('"target":"/not-believed"')));
  t.match((JSON.parse(other) as { requestId: string }).requestId, /^[0-9a-f]{32}$/);
});
