import t from 'tap';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { exchange, RawClient } from '../helpers/raw_client.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import type { Response } from '../helpers/message.ts';
import { answer, RawUpstream } from '../helpers/raw_upstream.ts';
import type { SeenRequest } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const backend = await RawUpstream.start(t);
const raw = await RawUpstream.start(t, undefined, { onConnection: () => undefined });
const USER = { set: { 'X-Auth-User': 'none' } };

/** Routes of one upstream; each has a host of its own, `<name>.test`. */
const ROUTES: Record<string, Record<string, unknown>> = {
  secure: { redirect: { scheme: 'https' } },
  www: { redirect: { host: 'apex.test', status: 301 } },
  moved: { path: '/old', redirect: { path: '/new', status: 302 } },
  port: { redirect: { scheme: 'https', port: 8443, status: 307 } },
  app: { redirect: { path: '/app', status: 303 } },
  api: { path: '/api', rewrite: '/v2' },
  strip: { path: '/api', rewrite: '/' },
  below: { rewrite: '/v2' },
  fields: {
    headers: {
      request: { set: { 'X-Auth-User': 'none', 'X-From': '{client} {scheme}://{host} {{' }, add: { 'X-Tag': 'ours' }, remove: ['X-Debug', 'Cookie'] },
      response: { set: { Server: 'edge', 'X-Id': '{request_id}' }, add: { Vary: 'Origin', 'Set-Cookie': 'a=1' }, remove: ['X-Powered-By'] },
    },
  },
  host: { headers: { request: { set: { Host: 'inner.test:81' } } } },
  read: { methods: ['GET', 'HEAD'], headers: { response: { set: { 'Cache-Control': 'public' } } } },
  small: { limits: { body: 5 } },
  large: { limits: { body: null } },
  safe: { security: true },
  safer: { security: { hsts: { includeSubDomains: true }, frame: 'DENY', nosniff: false, referrer: false } },
};

const proxy = await Proxy.start(t, {
  dataThreads: 1,
  trustedProxies: ['127.0.0.2'],
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1', {
      health: { kind: 'none' },
      limits: { body: 10 },
      routes: [{ host: 'plain.test' }, ...Object.entries(ROUTES).map(([name, rules]) => Object.assign({ host: `${name}.test` }, rules))],
    }),
    raw: catchAll({ v1: [raw.address] }, 'v1', { health: { kind: 'none' }, routes: [{ host: 'trailers.test', headers: { request: USER, response: USER } }] }),
    any: { routes: [{ path: '/anywhere', redirect: { path: '/else' } }] },
    nowhere: { routes: [{ host: 'gone.test', redirect: { host: 'here.test' } }] },
    admin: catchAll({ v1: [backend.address] }, 'v1', {
      health: { kind: 'none' },
      routes: [{ host: 'two.test' }, { host: 'two.test', path: '/admin', methods: ['GET'] }, { host: 'two.test', path: '/same' }],
    }),
  },
});

let asked = 0;

/** What the backend saw and what the client got. */
async function through(name: string, spec: RequestSpec = {}, from = '127.0.0.1'): Promise<{ seen: SeenRequest | undefined; got: Response }> {
  const mark = String(++asked);
  using client = await RawClient.connect(proxy.port, { localAddress: from });
  const got = await client.request({ host: `${name}.test`, ...spec, fields: [...(spec.fields ?? []), ['X-Mark', mark]] });
  return { seen: backend.requests.find((request) => values(request, 'x-mark').includes(mark)), got };
}

const values = ({ fields }: { fields: readonly (readonly [string, string])[] }, name: string): string[] =>
  fields.filter(([field]) => field.toLowerCase() === name.toLowerCase()).map(([, value]) => value);

t.test('redirects', async (t) => {
  const cases: readonly (readonly [string, string, number, string])[] = [
    ['secure.test', '/a/../b%2f?x=//y', 308, 'https://secure.test/a/../b%2f?x=//y'],
    ['SECURE.test:8080', '/', 308, 'https://SECURE.test/'],
    ['secure.test', '//evil.test/x', 308, 'https://secure.test//evil.test/x'],
    ['secure.test', '/\\evil"<>', 308, 'https://secure.test/%5Cevil%22%3C%3E'],
    ['secure.test', 'http://secure.test', 308, 'https://secure.test/'],
    ['secure.test', 'http://secure.test?q', 308, 'https://secure.test/?q'],
    ['www.test:8080', '/x', 301, 'http://apex.test:8080/x'],
    ['gone.test', '/x?y', 308, 'http://here.test/x?y'],
    ['moved.test', '/old', 302, 'http://moved.test/new'],
    ['moved.test', '/old/?a=/old', 302, 'http://moved.test/new/?a=/old'],
    ['port.test:80', '/', 307, 'https://port.test:8443/'],
    ['app.test', '/x', 303, 'http://app.test/app/x'],
    ['app.test', '/apple', 303, 'http://app.test/app/apple'],
    ['[::1]:81', '/anywhere/x', 308, 'http://[::1]:81/else/x'],
  ];
  for (const [host, target, status, location] of cases) {
    const seen = backend.requests.length;
    const got = await proxy.send({ host, target });
    t.equal(got.status, status, `${host} ${target}`);
    t.strictSame(values(got, 'location'), [location], `${host} ${target}`);
    t.equal(backend.requests.length, seen, 'nothing was forwarded');
  }
  const { text } = await proxy.admin('/metrics');
  t.match(text, `\nswitchyard_redirects_total ${cases.length}\n`);
  t.notMatch(text, /reason="redirect"/, 'they are not refusals');
});

t.test('a redirect that leads to where the request is passes it on', async (t) => {
  const over = (scheme: string): RequestSpec => ({ fields: [['X-Forwarded-Proto', scheme]] });
  t.equal((await through('secure', over('https'), '127.0.0.2')).got.status, 200, 'a trusted proxy says https');
  t.equal((await through('secure', over('https'))).got.status, 308, 'a stranger says https');
  t.equal((await through('secure', over('https, http'), '127.0.0.2')).got.status, 308, 'a list says nothing');
  t.equal((await through('port', { ...over('https'), host: 'port.test:8443' }, '127.0.0.2')).got.status, 200, 'the same port');
  t.equal((await through('port', over('https'), '127.0.0.2')).got.status, 307, 'another port');
  t.equal((await through('app', { target: '/app/x' })).got.status, 200, 'what was redirected into the prefix');
  t.equal((await through('moved', { target: '/%6fld' })).got.status, 400, 'another spelling has two readings');
});

t.test('a client that names no host is sent to the address it has called', async (t) => {
  t.match(await exchange(proxy.port, 'GET /anywhere?q HTTP/1.0\r\n\r\n'), `\r\nLocation: http://127.0.0.1:${proxy.port}/else?q\r\n`);
});

t.test('a request for the whole server leads to a whole server', async (t) => {
  for (const target of ['*', 'http://secure.test']) {
    const got = await proxy.send({ method: 'OPTIONS', host: 'secure.test', target });
    t.equal(got.status, 308);
    t.strictSame(values(got, 'location'), ['https://secure.test'], 'RFC 9110 §7.1: the target URI has no path; a `*` behind the host would be another host');
  }
  const port = await proxy.send({ method: 'OPTIONS', host: 'port.test', target: '*' });
  t.strictSame(values(port, 'location'), ['https://port.test:8443']);
});

t.test('a redirect keeps the connection, and HEAD has no body', async (t) => {
  using client = await RawClient.connect(proxy.port);
  for (const method of ['GET', 'HEAD', 'GET']) {
    const got = await client.request({ host: 'www.test', method });
    t.equal(got.status, 301);
    t.equal(got.body.length > 0, method === 'GET');
  }
  const closed = await exchange(proxy.port, 'POST / HTTP/1.1\r\nHost: www.test\r\nContent-Length: 9\r\n\r\nabc');
  t.match(closed, /^HTTP\/1\.1 301 .*\r\nConnection: close\r\n/s, 'a body that is not read ends it');
});

t.test('rewriting', async (t) => {
  const cases: readonly (readonly [string, string, string | number, string | undefined])[] = [
    ['api', '/api/users?x=%2f', '/v2/users?x=%2f', '/api'],
    ['api', '/api', '/v2', '/api'],
    ['api', '/api/', '/v2/', '/api'],
    ['api', '/api?q', '/v2?q', '/api'],
    ['api', '/api//x', '/v2//x', '/api'],
    ['api', '/api/a%20b;c/./d', '/v2/a%20b;c/./d', '/api'],
    ['strip', '/api/users', '/users', '/api'],
    ['strip', '/api', '/', '/api'],
    ['strip', '/api?q', '/?q', '/api'],
    ['below', '/', '/v2/', undefined],
    ['below', 'http://below.test?q', '/v2/?q', undefined],
    ['below', '/a', '/v2/a', undefined],
    ['api', '//api/x', 400, undefined],
    ['api', '/./api/x', 400, undefined],
    ['strip', '/api//evil', 400, undefined],
    ['strip', '/api/\\evil', 400, undefined],
    ['below', '/../admin', 400, undefined],
    ['below', '/x/%2e%2e/%2e%2e/admin', 400, undefined],
    ['below', '/..;/admin', 400, undefined],
  ];
  for (const [name, target, expected, prefix] of cases) {
    const { seen, got } = await through(name, { target });
    if (typeof expected === 'number') t.equal(got.status, expected, `${name} ${target}`);
    else {
      t.equal(seen?.target, expected, `${name} ${target}`);
      t.strictSame(values(seen!, 'x-forwarded-prefix'), prefix === undefined ? [] : [prefix], 'and says what was stripped');
    }
  }
  const asterisk = await through('below', { method: 'OPTIONS', target: '*' });
  t.equal(asterisk.seen?.target, '*', 'the asterisk is no path');
});

t.test('the prefix that somebody says', async (t) => {
  const said: RequestSpec = { target: '/api/x', fields: [['X-Forwarded-Prefix', '/outer']] };
  const of = async (name: string, spec: RequestSpec, from?: string): Promise<string[]> => values((await through(name, spec, from)).seen!, 'x-forwarded-prefix');
  t.strictSame(await of('plain', said), [], 'a stranger’s is dropped');
  t.strictSame(await of('plain', said, '127.0.0.2'), ['/outer'], 'a trusted proxy’s goes on');
  t.strictSame(await of('api', said), ['/api']);
  t.strictSame(await of('api', said, '127.0.0.2'), ['/outer/api'], 'and ours behind it');
  t.strictSame(await of('api', { ...said, fields: [['X-Forwarded-Prefix', '//evil, /x']] }, '127.0.0.2'), ['/api'], 'unless it is no path');
});

t.test('fields of the request', async (t) => {
  const { seen } = await through('fields', {
    fields: [
      ['x-auth-user', 'root'],
      ['X_Auth_User', 'root'],
      ['X-AUTH-USER', 'root'],
      ['Connection', 'X-Auth-User, keep-alive'],
      ['X-Tag', 'theirs'],
      ['x-debug', '1'],
      ['X_Debug', '1'],
      ['Cookie', 'a=1'],
    ],
  });
  t.strictSame(values(seen!, 'x-auth-user'), ['none']);
  t.strictSame(values(seen!, 'x_auth_user'), []);
  t.strictSame(values(seen!, 'x-tag'), ['theirs', 'ours']);
  t.strictSame([...values(seen!, 'x-debug'), ...values(seen!, 'x_debug'), ...values(seen!, 'cookie')], []);
  t.strictSame(values(seen!, 'x-from'), ['127.0.0.1 http://fields.test {']);
});

t.test('a field that is set does not come back as a trailer', async (t) => {
  using client = await RawClient.connect(proxy.port);
  const trailers = '0\r\nX-Auth-User: root\r\nX_Auth_User: root\r\nX-Sum: 1\r\n\r\n';
  client.write(`POST / HTTP/1.1\r\nHost: trailers.test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n${trailers}`);
  const connection = await eventually('a request', () => raw.connections.find(({ pending }) => pending.length > 0));
  t.match(await connection.takeUntil('\r\n\r\n'), /\r\nX-Auth-User: none\r\n/);
  t.equal(await connection.takeUntil('\r\n\r\n'), '1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n');
  connection.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${trailers}`);
  t.match(await client.takeUntil('\r\n\r\n'), /^HTTP\/1.1 200 OK\r\n/);
  t.equal(await client.takeUntil('\r\n\r\n'), '0\r\nX-Sum: 1\r\n\r\n', 'nor in the answer');
});

t.test('Host is set for the backend, and the client’s is told', async (t) => {
  for (const target of ['/x', 'http://host.test/x']) {
    const { seen } = await through('host', { target });
    t.strictSame(values(seen!, 'host'), ['inner.test:81']);
    t.strictSame(values(seen!, 'x-forwarded-host'), ['host.test']);
  }
});

t.test('fields of the answer', async (t) => {
  backend.use(
    answer('ok', 200, [
      ['server', 'nginx'],
      ['X-Powered-By', 'x'],
      ['Vary', 'Accept'],
      ['Set-Cookie', 'b=2'],
      ['Content-Encoding', 'gzip'],
    ]),
  );
  const { seen, got } = await through('fields', { fields: [['Accept-Encoding', 'gzip, br']] });
  t.strictSame(values(got, 'server'), ['edge']);
  t.strictSame(values(got, 'x-powered-by'), []);
  t.strictSame(values(got, 'vary'), ['Accept', 'Origin']);
  t.strictSame(values(got, 'set-cookie'), ['b=2', 'a=1']);
  t.strictSame(values(got, 'x-id'), values(seen!, 'x-request-id'));
  t.strictSame([values(seen!, 'accept-encoding'), values(got, 'content-encoding')], [['gzip, br'], ['gzip']], 'compression is not touched');
});

t.test('an upgrade goes by the rules of the request, and its 101 and 1xx answers go as they are', async (t) => {
  backend.use(({ fields }, connection) => {
    connection.write(
      'HTTP/1.1 103 Early Hints\r\nServer: x\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nServer: x\r\n\r\n',
    );
    connection.write(values({ fields }, 'x-auth-user').join());
    return 'taken';
  });
  using client = await RawClient.connect(proxy.port);
  client.write('GET /ws HTTP/1.1\r\nHost: fields.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Auth-User: root\r\n\r\n');
  t.equal(await client.takeUntil('\r\n\r\n'), 'HTTP/1.1 103 Early Hints\r\nServer: x\r\n\r\n');
  const switched = await client.takeUntil('\r\n\r\n');
  t.match(switched, /^HTTP\/1\.1 101 /);
  t.match(switched, /\r\nServer: x\r\n/);
  t.notMatch(switched, /X-Id|edge/);
  t.equal((await client.take(4)).toString(), 'none');
});

t.test('methods', async (t) => {
  backend.use(answer('ok'));
  t.equal((await through('read')).got.status, 200);
  for (const method of ['POST', 'OPTIONS', 'get', 'TRACE']) {
    const { got } = await through('read', { method });
    t.equal(got.status, 405, method);
    if (method !== 'TRACE') t.strictSame(values(got, 'allow'), ['GET, HEAD'], method);
    if (method !== 'TRACE') t.strictSame(values(got, 'cache-control'), ['public'], 'the fields of the route are on the proxy’s own answers too');
  }
});

t.test('the body limit of a route', async (t) => {
  const sizes: readonly (readonly [string, number, number])[] = [
    ['plain', 10, 200],
    ['plain', 11, 413],
    ['small', 5, 200],
    ['small', 6, 413],
    ['large', 50_000, 200],
  ];
  for (const [name, size, status] of sizes) {
    const body = 'x'.repeat(size);
    t.equal((await through(name, { method: 'POST', body })).got.status, status, `${name} ${size}`);
    const chunked: RequestSpec = { method: 'POST', body: `${size.toString(16)}\r\n${body}\r\n0\r\n\r\n`, fields: [['Transfer-Encoding', 'chunked']] };
    t.equal((await through(name, chunked)).got.status, status, `${name} ${size} in chunks`);
  }
});

t.test('security fields, where the backend does not say them', async (t) => {
  const names = ['strict-transport-security', 'x-frame-options', 'x-content-type-options', 'referrer-policy'];
  const of = async (name: string, https: boolean): Promise<string[][]> => {
    const { got } = await through(name, https ? { fields: [['X-Forwarded-Proto', 'https']] } : {}, '127.0.0.2');
    return names.map((field) => values(got, field));
  };
  backend.use(answer('ok'));
  t.strictSame(await of('plain', true), [[], [], [], []]);
  t.strictSame(await of('safe', false), [[], ['SAMEORIGIN'], ['nosniff'], ['strict-origin-when-cross-origin']]);
  t.strictSame(await of('safe', true), [['max-age=31536000'], ['SAMEORIGIN'], ['nosniff'], ['strict-origin-when-cross-origin']]);
  t.strictSame(await of('safer', true), [['max-age=31536000; includeSubDomains'], ['DENY'], [], []]);
  backend.use(
    answer('ok', 200, [
      ['x-frame-options', 'ALLOW'],
      ['Referrer-Policy', 'no-referrer'],
    ]),
  );
  t.strictSame(await of('safe', true), [['max-age=31536000'], ['ALLOW'], ['nosniff'], ['no-referrer']]);
});

t.test('two routes of one upstream are two where their rules differ', async (t) => {
  backend.use(answer('ok'));
  const cases: readonly (readonly [string, number])[] = [
    ['/admin', 200],
    ['/x/../admin', 400],
    ['/admin;x=1', 400],
    ['/admin;x=1/y', 400],
    ['/adm%69n', 400],
    ['/;x/admin', 400],
    ['/same;x', 200],
    ['/x/../same', 200],
    ['/other;x', 200],
  ];
  for (const [target, status] of cases) t.equal((await through('two', { target })).got.status, status, target);
});
