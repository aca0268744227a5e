import t from 'tap';
import { field } from '../helpers/message.ts';
import type { Response } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { undisturbed } from '../helpers/wait.ts';
import { settledCounts } from './counts.ts';

const backend = await RawUpstream.start(t, answer('ok'));
const quick = { health: { kind: 'none' } };
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  limits: { head: 2048, headers: 20, target: 512 },
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1', { ...quick, routes: [{ host: 'a', path: '/' }], limits: { body: 1000 } }),
    full: catchAll({ v1: [backend.address] }, 'v1', { ...quick, routes: [{ host: 'full', path: '/' }], limits: { connections: 1 } }),
    empty: { ...quick, routes: [{ host: 'empty' }] },
  },
});
const { port } = proxy;

function reasonOf(response: Response): string | undefined {
  return /^switchyard; error=[a-z_]+; details="(.*)"$/.exec(field(response, 'proxy-status') ?? '')?.[1];
}

const CHUNKED = 'Transfer-Encoding: chunked\r\n';

/** Bytes, the status they get, its reason, and whether the connection ends with it. */
const refusals: readonly (readonly [string, string, number, string, boolean])[] = [
  ['no route', 'GET / HTTP/1.1\r\nHost: other\r\n\r\n', 404, 'no-route', false],
  ['TRACE', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method-refused', false],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'bad-host', true],
  ['a body too large', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n', 413, 'body-too-large', true],
  ['a chunked body too large', `POST / HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n3e9\r\n${'x'.repeat(1001)}\r\n0\r\n\r\n`, 413, 'body-too-large', true],
  ['a broken chunk', `POST / HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\nzz\r\n`, 400, 'bad-chunk', true],
  ['a target too long', `GET /${'x'.repeat(512)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 'target-too-long', true],
  ['an unknown expectation', 'POST / HTTP/1.1\r\nHost: a\r\nExpect: coffee\r\nContent-Length: 1\r\n\r\n', 417, 'expectation-failed', true],
  ['a head too large', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(2100)}\r\n\r\n`, 431, 'head-too-large', true],
  ['too many fields', `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(20)}\r\n`, 431, 'head-too-large', true],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 501, 'not-implemented', true],
  ['an unknown coding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 501, 'not-implemented', true],
  ['another version', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'version', true],
  ['a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'tls-on-plain-port', true],
  ['an upstream with nothing in it', 'GET / HTTP/1.1\r\nHost: empty\r\n\r\n', 503, 'unavailable', false],
];

for (const [name, bytes, status, code, closes] of refusals) {
  t.test(`${name}: ${status}`, async (t) => {
    using client = await RawClient.connect(port);
    client.write(bytes);
    const response = await client.response();
    t.equal(response.status, status);
    t.equal(reasonOf(response), code);
    t.equal(field(response, 'connection'), closes ? 'close' : null);
    t.equal(field(response, 'cache-control'), 'no-store');
    t.equal(field(response, 'retry-after'), status === 503 ? '1' : null);
    t.equal(field(response, 'content-type'), 'text/plain; charset=utf-8');
    t.match(response.body.toString(), new RegExp(`^${status} [^\\n]+\\n$`), 'one sentence, and no trace of a stack');
    if (closes) t.equal(await client.closed(), 'end');
    else t.equal((await client.request({ host: 'a' })).status, 200, 'the connection goes on');
    t.equal(client.pending.length, 0, 'nothing more is said');
  });
}

t.test('a refused request leaves no trace at the backend', async (t) => {
  t.ok(
    backend.requests.every(({ head }) => head.startsWith('GET / HTTP/1.1\r\nHost: a\r\n') || head.includes('chunked')),
    'but for bodies that went wrong on their way',
  );
  t.match(await settledCounts(proxy), { upstreamFailed: 0, killed: 0 });
});

t.test('limits are exact', async (t) => {
  using client = await RawClient.connect(port);
  t.equal((await client.request({ method: 'POST', host: 'a', body: 'x'.repeat(1000) })).status, 200, 'a body of the limit');
  const chunked = await client.request({
    method: 'POST',
    host: 'a',
    fields: [['Transfer-Encoding', 'chunked']],
    body: `3e8\r\n${'x'.repeat(1000)}\r\n0\r\n\r\n`,
  });
  t.equal(chunked.status, 200, 'chunked, too');
  t.equal((await client.request({ host: 'a', target: `/${'x'.repeat(511)}` })).status, 200, 'a target of the limit');
  t.equal((await client.request({ host: 'a', fields: Array.from({ length: 19 }, () => ['X', 'y'] as const) })).status, 200, 'fields up to the limit');
  const start = 'GET / HTTP/1.1\r\nHost: a\r\nX: ';
  client.write(`${start}${'x'.repeat(2048 - start.length - 4)}\r\n\r\n`);
  t.equal((await client.response()).status, 200, 'a head of the limit');
});

t.test('the answer is seen although the body that caused it was not read', async (t) => {
  for (const request of [
    requestBytes({ method: 'POST', host: 'a', body: Buffer.alloc(200_000) }),
    requestBytes({ method: 'POST', host: 'other', body: Buffer.alloc(200_000) }),
    requestBytes({ method: 'POST', host: 'a', fields: [['Transfer-Encoding', 'chunked']], body: `30d40\r\n${'x'.repeat(200_000)}\r\n0\r\n\r\n` }),
    Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(200_000)}\r\n\r\n`),
  ]) {
    const { response, ending } = await undisturbed(
      1_000,
      async () => {
        using client = await RawClient.connect(port);
        client.write(request);
        return { response: await client.response(), ending: await client.closed() };
      },
      ({ ending: how }) => how === 'end',
    );
    t.ok([404, 413, 431].includes(response.status));
    t.equal(field(response, 'connection'), 'close');
    t.equal(ending, 'end', 'and no reset took it away');
  }
});

t.test('JSON for who asks for it, nothing for HEAD', async (t) => {
  using client = await RawClient.connect(port);
  const json = await client.request({ host: 'other', fields: [['Accept', 'text/html, application/json']] });
  t.equal(field(json, 'content-type'), 'application/json; charset=utf-8');
  t.match(JSON.parse(json.body.toString()), { status: 404, code: 'no-route', detail: /route/ });
  const head = await client.request({ method: 'HEAD', host: 'other' });
  t.equal(head.status, 404);
  t.ok(Number(field(head, 'content-length')) > 0);
  t.equal((await client.request({ host: 'a' })).status, 200);
});

t.test('a backend at its limit', async (t) => {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  backend.use(async (_, connection) => {
    await released;
    connection.respond(200, 'done');
  }, '/first');
  const first = proxy.send({ host: 'full', target: '/first' });
  await backend.requestTo('/first');
  const second = await proxy.send({ host: 'full' });
  t.match([second.status, reasonOf(second), field(second, 'retry-after')], [503, 'backends-full', '1']);
  release();
  t.equal((await first).body.toString(), 'done');
  t.equal((await proxy.send({ host: 'full' })).status, 200);
});
