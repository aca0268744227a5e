import t from 'tap';
import { connect } from 'node:net';
import { once } from 'node:events';
import WebSocket from 'ws';
import { startAdmin } from '../../src/admin/server.ts';
import { isLoopback } from '../../src/admin/_guard.ts';
import { FakeOperations } from '../helpers/fake-operations.ts';
import { testAdmin } from '../helpers/admin-server.ts';

const TOKENS = [
  { name: 'ci', token: 'operate-secret', scope: 'operate' as const },
  { name: 'grafana', token: 'read-secret', scope: 'read' as const },
];
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

t.test('tokens and their scopes', async (t) => {
  const { ask, operations, log } = await testAdmin(t, { tokens: TOKENS });
  const cases: readonly [string, string, Record<string, string>, number][] = [
    ['GET', '/v1/upstreams', {}, 401],
    ['GET', '/v1/upstreams', bearer('wrong'), 401],
    ['GET', '/v1/upstreams', bearer('read-secre'), 401],
    ['GET', '/v1/upstreams', { authorization: 'Basic cmVhZC1zZWNyZXQ=' }, 401],
    ['GET', '/v1/upstreams', bearer('read-secret'), 200],
    ['GET', '/v1/upstreams', { authorization: 'bearer  operate-secret' }, 200],
    ['GET', '/metrics', {}, 401],
    ['GET', '/metrics', bearer('read-secret'), 200],
    ['GET', '/v1/openapi.json', {}, 401],
    ['GET', '/v1/events', {}, 401],
    ['GET', '/v1/unknown', {}, 401],
    ['GET', '/livez', {}, 200],
    ['GET', '/readyz', {}, 200],
    ['POST', '/v1/upstreams/web/hold', {}, 401],
    ['POST', '/v1/upstreams/web/hold', bearer('read-secret'), 403],
    ['POST', '/v1/upstreams/web/hold', bearer('operate-secret'), 200],
  ];
  for (const [method, path, headers, status] of cases) {
    const reply = await ask(method, path, undefined, headers);
    t.equal(reply.status, status, `${method} ${path} ${JSON.stringify(headers)}`);
    if (status === 401) t.match(reply, { headers: { 'www-authenticate': /^Bearer/ }, json: { code: 'unauthorized' } });
    if (status === 403) t.match(reply.json, { code: 'forbidden', detail: /"grafana" may only read/ });
  }
  t.equal(operations.calls.length, 1, 'only the allowed call was made');
  t.same(operations.calls[0].args, [true, 'ci'], 'by the name of the token');
  t.notMatch(JSON.stringify(log), /secret/, 'tokens are never logged');
});

t.test('the actor is appended, bounded and cleaned', async (t) => {
  const { ask, operations } = await testAdmin(t, { tokens: TOKENS });
  const by = async (actor: string): Promise<unknown> => {
    await ask('POST', '/v1/upstreams/web/hold', undefined, { ...bearer('operate-secret'), 'x-switchyard-actor': actor });
    return operations.calls.at(-1)?.args.at(-1);
  };
  t.equal(await by('alice'), 'ci/alice');
  t.equal(await by('a b\tc'), 'ci/a_b_c');
  t.equal(await by('x'.repeat(500)), `ci/${'x'.repeat(64)}`);
});

t.test('a foreign Host, Origin or site is refused, everywhere', async (t) => {
  const { ask, port, operations } = await testAdmin(t, { allowedHosts: ['Admin.Example'] });
  const allowed: Record<string, string>[] = [
    { host: '127.0.0.1' },
    { host: `localhost:${port}` },
    { host: 'LOCALHOST' },
    { host: '[::1]:9900' },
    { host: 'admin.example:9900' },
    { host: '127.1.2.3:1' },
    { host: `localhost:${port}`, origin: `http://localhost:${port}` },
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
  ];
  for (const headers of allowed) t.equal((await ask('POST', '/v1/upstreams/web/hold', undefined, headers)).status, 200, JSON.stringify(headers));
  const made = operations.calls.length;
  const refused: Record<string, string>[] = [
    { host: 'evil.example' },
    { host: 'localhost.evil.example' },
    { host: '127.0.0.1.evil.example' },
    { host: '10.0.0.1' },
    { host: '[::2]' },
    { host: `localhost:${port}`, origin: 'http://evil.example' },
    { host: `localhost:${port}`, origin: 'http://localhost:3000' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ];
  for (const headers of refused) {
    for (const [method, path] of [
      ['POST', '/v1/upstreams/web/hold'],
      ['GET', '/livez'],
      ['GET', '/metrics'],
      ['GET', '/v1/events'],
    ] as const) {
      const reply = await ask(method, path, undefined, headers);
      t.match(reply, { status: 403, json: { code: 'foreign-origin' } }, `${method} ${path} ${JSON.stringify(headers)}`);
    }
  }
  t.equal(operations.calls.length, made, 'none of them was done');
});

t.test('the WebSocket upgrade is guarded in the same way', async (t) => {
  const { port } = await testAdmin(t, { tokens: TOKENS });
  const attempt = async (path: string, headers: Record<string, string>): Promise<number> => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
    const status = new Promise<number>((resolve) => {
      socket.once('unexpected-response', (_request, response) => {
        resolve(response.statusCode ?? 0);
        response.resume();
      });
      socket.once('open', () => resolve(101));
      socket.on('error', () => {});
    });
    const answer = await status;
    socket.terminate();
    return answer;
  };
  t.equal(await attempt('/v1/events', {}), 401);
  t.equal(await attempt('/v1/events', bearer('read-secret')), 101);
  t.equal(await attempt('/v1/events', { ...bearer('read-secret'), origin: 'http://evil.example' }), 403);
  t.equal(await attempt('/v1/events', { ...bearer('read-secret'), host: 'evil.example' }), 403);
  t.equal(await attempt('/v1/upstreams', bearer('read-secret')), 404);
  t.equal(await attempt('/v1/events?upstream=nope', bearer('read-secret')), 404);
  t.equal(await attempt('/v1/events?x=1', bearer('read-secret')), 400);
});

t.test('an HTTP/1.0 request without Host is served', async (t) => {
  const { port } = await testAdmin(t);
  const socket = connect(port, '127.0.0.1');
  socket.end('GET /readyz HTTP/1.0\r\n\r\n');
  const chunks = [];
  for await (const chunk of socket) chunks.push(chunk);
  t.match(Buffer.concat(chunks).toString(), /^HTTP\/1\.[01] 200 /);
});

t.test('it does not start where others can reach it without a token', async (t) => {
  const options = { port: 0, operations: new FakeOperations(), metrics: async () => ({ contentType: '', text: '' }), log: () => {} };
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.com']) {
    await t.rejects(
      startAdmin({ ...options, host, tokens: [] }),
      { name: 'Refusal', message: /token because .* other machines/, fault: { code: 'invalid' } },
      host,
    );
  }
  const server = await startAdmin({ ...options, host: '0.0.0.0', tokens: TOKENS });
  t.teardown(() => server.close());
  t.ok(server.address.port > 0);
});

t.test('an address that is taken is named', async (t) => {
  const { port } = await testAdmin(t);
  const start = testAdmin(t, { port });
  await t.rejects(start, { fault: { code: 'invalid' }, message: `admin: cannot listen on 127.0.0.1:${port}: another process listens on it already` });
});

t.test('what is loopback', async (t) => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', '::ffff:127.0.0.1']) t.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.example.com', '128.0.0.1', 'localhost.example']) t.notOk(isLoopback(host), host);
});

t.test('an open WebSocket is closed with 1001 when the server closes', async (t) => {
  const admin = await testAdmin(t, { tokens: TOKENS });
  const socket = new WebSocket(`ws://127.0.0.1:${admin.port}/v1/events`, { headers: bearer('operate-secret') });
  await once(socket, 'open');
  const closed = once(socket, 'close');
  await admin.close();
  t.equal((await closed)[0], 1001);
});
