import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { field, fieldAll } from '../helpers/message.ts';
import type { Response } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { exchange, RawClient } from '../helpers/raw_client.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { answer, RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const JSON_PLEASE: RequestSpec['fields'] = [['Accept', 'application/json']];
const nobody = `127.0.0.1:${await freePort()}`;
const backend = await RawUpstream.start(t);
const web = (more: Record<string, unknown> = {}): Record<string, unknown> =>
  catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, routes: [{ host: 'web.test' }, { host: 'open.test', maintenance: false }], ...more });
const rest = {
  down: catchAll({ v1: [nobody] }, 'v1', {
    health: { kind: 'none' },
    routes: [{ host: 'down.test' }],
    errorPages: { '502': { body: '{"id":"{request_id}"}', type: 'json' } },
  }),
  empty: {
    routes: [{ host: 'empty.test', headers: { response: { set: { 'Retry-After': '7' } } } }],
    maintenance: { status: 418, page: { body: 'tea {status}', type: 'txt' } },
  },
};
const proxy = await Proxy.start(t, { dataThreads: 2, accessLog: 'full', trustedProxies: ['127.0.0.2'], upstreams: { web: web(), ...rest } });

const get = (host: string, fields: RequestSpec['fields'] = []): Promise<Response> => proxy.send({ host, fields });
const bodyOf = ({ body }: Response): string => body.toString('utf8');

async function reload(change: (config: Record<string, unknown>) => Record<string, unknown>, done: () => Promise<boolean>): Promise<void> {
  await proxy.editConfig(change);
  await eventually('the new configuration', done);
}

t.test('maintenance begins and ends with a table, and what is in flight is not disturbed', async (t) => {
  let release = (): void => undefined;
  backend.use(async ({ target }, connection) => {
    if (target === '/late') await new Promise<void>((resolve) => (release = resolve));
    connection.respond(200, target);
  });
  using client = await RawClient.connect(proxy.port);
  const late = client.request({ host: 'web.test', target: '/late' });
  await backend.request(0);
  await reload(
    (config) => ({ ...config, upstreams: { web: web({ maintenance: { retryAfter: '90s', allow: ['127.0.0.3', '10.0.0.0/8'] } }), ...rest } }),
    async () => (await get('web.test')).status === 503,
  );
  const refused = await get('web.test');
  t.equal(field(refused, 'retry-after'), '90');
  t.match(field(refused, 'proxy-status'), /details="maintenance"/);
  t.match(bodyOf(refused), /^503 Service Unavailable: /);
  release();
  t.equal(bodyOf(await late), '/late', 'the one in flight');
  t.equal((await get('open.test')).status, 200, 'a route may say otherwise');
  using allowed = await RawClient.connect(proxy.port, { localAddress: '127.0.0.3' });
  t.equal((await allowed.request({ host: 'web.test' })).status, 200, 'and some may pass');
  using trusted = await RawClient.connect(proxy.port, { localAddress: '127.0.0.2' });
  const said = (client: string): RequestSpec => ({ host: 'web.test', fields: [['X-Forwarded-For', client]] });
  t.equal((await trusted.request(said('10.1.2.3'))).status, 200, 'as a trusted proxy tells');
  t.equal((await trusted.request(said('192.0.2.1'))).status, 503);
  t.equal((await proxy.send(said('10.1.2.3'))).status, 503, 'and a stranger does not');
  const version = (await proxy.admin('/v1/upstreams/web')).json as { versions: { phase: string }[]; maintenance: boolean };
  t.match(version, { maintenance: true, versions: [{ phase: 'live' }] }, 'the version is as live as before');
  await reload(
    (config) => ({ ...config, upstreams: { web: web(), ...rest } }),
    async () => (await get('web.test')).status === 200,
  );
});

t.test('it is counted and logged with its reason', async (t) => {
  const count = async (): Promise<number> =>
    Number(/switchyard_rejected_requests_total\{reason="maintenance"\} (\d+)/.exec((await proxy.admin('/metrics')).text)?.[1]);
  const before = await count();
  await proxy.send({ host: 'empty.test', target: '/logged' });
  await eventually('the count', async () => (await count()) > before);
  t.equal(await count(), before + 1);
  const line = await eventually('the line', () => proxy.process.stdout.split('\n').find((text) => text.includes('"/logged"')));
  t.match(JSON.parse(line), { status: 418, reason: 'maintenance', upstream: 'empty', version: null });
});

t.test('it works with no version live, with a status and page of its own', async (t) => {
  const refused = await get('empty.test');
  t.equal(refused.line, 'HTTP/1.1 418 Error');
  t.equal(bodyOf(refused), 'tea 418');
  t.strictSame(fieldAll(refused, 'content-type'), ['text/plain; charset=utf-8']);
  t.strictSame(fieldAll(refused, 'retry-after'), ['7'], 'the fields of the route replace the proxy’s own');
  t.match(JSON.parse(bodyOf(await get('empty.test', JSON_PLEASE))), { status: 418, code: 'maintenance' }, 'JSON for those who ask');
});

t.test('a PUT puts it in force too', async (t) => {
  const spec = web({ maintenance: { page: { body: '<h1>{status}</h1>' } } });
  t.equal((await proxy.admin('/v1/upstreams/web', { method: 'PUT', body: spec })).status, 200);
  const refused = await get('web.test');
  t.equal(bodyOf(refused), '<h1>503</h1>');
  t.equal(field(refused, 'content-type'), 'text/html; charset=utf-8');
  const named = await proxy.admin('/v1/upstreams/web', { method: 'PUT', body: web({ errorPages: { '404': 'x.html' } }) });
  t.equal(named.status, 400, 'but it cannot name files of the proxy’s machine');
  t.match(named.text, /only a configuration file may name files/);
  t.equal((await proxy.admin('/v1/upstreams/web', { method: 'PUT', body: web() })).status, 200);
  t.equal((await get('web.test')).status, 200);
});

t.test('pages of your own, for the proxy’s own answers only', async (t) => {
  await writeFile(join(proxy.dir, '404.html'), '<p>{status} {reason} {code} {request_id} { color: red } ü</p>');
  await writeFile(join(proxy.dir, 'all.txt'), 'sorry: {code}\n');
  await reload(
    (config) => ({ ...config, errorPages: { '404': '404.html', '4xx': 'all.txt', '5xx': 'all.txt' } }),
    async () => bodyOf(await get('nobody.test')).startsWith('<p>'),
  );
  const missing = await get('nobody.test');
  t.match(bodyOf(missing), /^<p>404 Not Found no-route [0-9a-f]{32} \{ color: red \} ü<\/p>$/);
  t.equal(field(missing, 'content-length'), `${missing.body.length}`, 'bytes, not characters');
  const head = await proxy.send({ host: 'nobody.test', method: 'HEAD' });
  t.strictSame([head.body.length, field(head, 'content-length')], [0, field(missing, 'content-length')]);
  t.match(JSON.parse(bodyOf(await get('nobody.test', JSON_PLEASE))), { status: 404, code: 'no-route' });
  t.match(await exchange(proxy.port, 'nonsense\r\n\r\n'), /\r\n\r\nsorry: [a-z-]+\n$/, 'a head that cannot be read');
  const failed = await get('down.test', JSON_PLEASE);
  t.equal(failed.status, 502);
  t.match(JSON.parse(bodyOf(failed)), { id: /^[0-9a-f]{32}$/ }, 'the upstream’s own goes first; one that is JSON is for those who ask for JSON too');
  backend.use(answer('theirs', 404));
  t.equal(bodyOf(await get('web.test')), 'theirs');
});

t.test('values are escaped', async (t) => {
  using trusted = await RawClient.connect(proxy.port, { localAddress: '127.0.0.2' });
  const got = await trusted.request({ host: 'nobody.test', fields: [['X-Request-Id', '<script>&']] });
  t.notMatch(bodyOf(got), '<script>');
});

t.test('a page that is gone is an error that names it, and the running configuration stays', async (t) => {
  await proxy.editConfig((config) => ({ ...config, errorPages: { '404': 'gone.html' }, upstreams: {} }));
  await eventually('the error', () => /errorPages\.404: expected a file .* got 'gone\.html', which is not there/.test(proxy.output));
  t.match(bodyOf(await get('nobody.test')), /^<p>404/);
  t.equal((await get('empty.test')).status, 418);
});
