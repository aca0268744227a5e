import t from 'tap';
import { field, fieldAll } from '../helpers/message.ts';
import type { Message } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';

const TRUSTED = '127.0.0.7';
const backend = await RawUpstream.start(t, answer('ok'));
const six = await freePort('::');
const four = await freePort();
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  listeners: [
    { host: '127.0.0.1', port: four },
    { host: '::', port: six },
  ],
  accessLog: 'full',
  trustedProxies: ['127.0.0.7', '10.1.0.0/16', '2001:db8::/32'],
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});

/** What the backend sees of a request that comes from this address with these fields. */
async function from(localAddress: string, fields: readonly [string, string][], target = '/', port = four): Promise<Message> {
  const before = backend.requestsTo(target).length;
  using client = await RawClient.connect(port, { localAddress });
  await client.request({ target, host: 'app.test', fields });
  return backend.requestsTo(target)[before];
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
  t.equal(field(seen, 'x-forwarded-port'), '443', 'what it did not say, we say, in keeping with what it did');
  t.equal(
    field(seen, 'forwarded'),
    `for=198.51.100.1;proto=https;host="shop.test", for=203.0.113.9, for=10.1.2.3, for=${TRUSTED};proto=http;host="app.test"`,
    'two accounts do not go on when they differ',
  );
  t.equal(field(seen, 'x-request-id'), 'from-the-edge');
  t.equal(field(seen, 'traceparent'), '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
  t.match(seen.head, /Via: 1\.1 edge\r\n[^]*Via: 1\.1 switchyard\r\n/);
});

t.test('anybody else is not', async (t) => {
  const claims: readonly [string, string][] = [
    ...said,
    ['X-Forwarded-Port', '443'],
    ['X-Forwarded-Prefix', '/api'],
    ['X-Real-IP', '203.0.113.9'],
    ['tracestate', 'a=1'],
  ];
  const names = [
    'forwarded',
    'tracestate',
    'via',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-port',
    'x-forwarded-prefix',
    'x-forwarded-proto',
    'x-real-ip',
  ];
  const told = (seen: Message): string[][] => names.map((name) => fieldAll(seen, name));
  const seen = await from('127.0.0.8', claims);
  t.strictSame(told(seen), told(await from('127.0.0.8', [])), 'it is as if it had said nothing');
  for (const [name] of claims.slice(4)) t.not(field(seen, name), claims.find(([key]) => key === name)?.[1], name);
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
    [
      '/lines',
      [
        ['X-Forwarded-For', '198.51.100.1'],
        ['A', 'b'],
        ['X-Forwarded-For', '203.0.113.9, 10.1.0.1'],
        ['X-Forwarded-For', '10.1.0.2'],
      ],
      '203.0.113.9',
    ],
    ['/ports', [['X-Forwarded-For', '203.0.113.9:40000, 10.1.0.1:443, [2001:db8::5]:80']], '203.0.113.9'],
    ['/mapped', [['X-Forwarded-For', '203.0.113.9, ::FFFF:0a01:0203, ::ffff:10.1.0.1']], '203.0.113.9'],
    ['/long-text', [['X-Forwarded-For', '2001:0DB9:0:0:0:0:0:1']], '2001:db9::1'],
    ['/junk-first', [['X-Forwarded-For', 'not-an-address, 10.1.0.1']], '10.1.0.1'],
    ['/zone', [['X-Forwarded-For', 'fe80::1%eth0']], TRUSTED],
    ['/empty', [['X-Forwarded-For', ' , ,']], TRUSTED],
    ['/endless', [['X-Forwarded-For', `203.0.113.9, ${'10.1.0.1,'.repeat(2000)}10.1.0.2`]], '10.1.0.1'],
    ['/forwarded', [['Forwarded', 'for=198.51.100.1, for="203.0.113.9:80";proto=https, for="[2001:db8::5]"']], '203.0.113.9'],
    ['/hidden', [['Forwarded', 'for=_hidden']], TRUSTED],
    ['/malformed', [['Forwarded', 'for=203.0.113.9;']], TRUSTED],
    [
      '/contradiction',
      [
        ['Forwarded', 'for=198.51.100.1'],
        ['X-Forwarded-For', '203.0.113.9'],
      ],
      '203.0.113.9',
    ],
  ];
  for (const [target, fields] of cases) await from(TRUSTED, fields, target);
  await from('127.0.0.8', said, '/untrusted');
  for (const [target, , client] of [...cases, ['/untrusted', [], '127.0.0.8'] as const]) {
    t.equal((await proxy.logged(target)).client, client, target);
  }
});

t.test('an IPv4 peer is the same over a socket of both families', async (t) => {
  const seen = await from(TRUSTED, [['X-Forwarded-For', '203.0.113.9']], '/dual', six);
  t.equal(field(seen, 'x-forwarded-for'), `203.0.113.9, ${TRUSTED}`);
  t.equal(field(await from('127.0.0.8', [['X-Forwarded-For', '203.0.113.9']], '/dual', six), 'x-forwarded-for'), '127.0.0.8');
});

t.test('the id in the log is the id that the backend knows', async (t) => {
  await from(TRUSTED, [['X-Request-Id', 'a-b-c']], '/id');
  t.equal((await proxy.logged('/id')).requestId, 'a-b-c');
  await from('127.0.0.8', [['X-Request-Id', 'a-b-c']], '/not-believed');
  t.match((await proxy.logged('/not-believed')).requestId, /^[0-9a-f]{32}$/);
});

t.test('an id that is none is made anew, for the backend and the log alike', async (t) => {
  for (const [i, fields] of [
    [['X-Request-Id', 'a b']],
    [['X-Request-Id', 'x'.repeat(129)]],
    [
      ['X-Request-Id', 'a'],
      ['x-request-id', 'b'],
    ],
  ].entries()) {
    const seen = await from(TRUSTED, fields as [string, string][], `/insane${i}`);
    const ids = fieldAll(seen, 'x-request-id');
    t.equal(ids.length, 1);
    t.match(ids[0], /^[0-9a-f]{32}$/);
    t.equal((await proxy.logged(`/insane${i}`)).requestId, ids[0]);
  }
});
