import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';

const backend = createServer((request, response) => {
  if (request.url?.startsWith('/cut') === true) {
    response.writeHead(200, request.url === '/cut' ? { 'content-length': '10' } : {});
    response.write('12345', () => response.destroy());
    return;
  }
  let body = '';
  request.setEncoding('latin1').on('data', (text: string) => (body += text));
  request.on('end', () => {
    response.writeHead(200, { trailer: 'x-after', 'set-cookie': ['a=1', 'b=2'] });
    response.write(JSON.stringify({ method: request.method, headers: request.headers, body, trailers: request.trailers }));
    response.addTrailers({ 'x-after': 'yes' });
    response.end();
  });
});
backend.listen(0, '127.0.0.1');
await once(backend, 'listening');
t.teardown(() => backend.close().closeAllConnections());
const port = await freePort();
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  listeners: [{ host: '127.0.0.1', port, http2: true }],
  upstreams: { web: catchAll({ v1: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] }, 'v1', { health: { kind: 'none' } }) },
});

const session = connect(`http://127.0.0.1:${port}`);
t.teardown(() => session.destroy());

interface Answer {
  readonly headers: IncomingHttpHeaders & { ':status'?: number };
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
  readonly code: number;
}

function ask(headers: Record<string, string>, body = '', trailers: Record<string, string> | null = null): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = session.request(headers, { endStream: body === '' && trailers === null, waitForTrailers: trailers !== null });
    let found: Answer['headers'] = {};
    let after: IncomingHttpHeaders = {};
    let text = '';
    stream.on('response', (all) => (found = all));
    stream.on('trailers', (all: IncomingHttpHeaders) => (after = all));
    stream.setEncoding('latin1').on('data', (piece: string) => (text += piece));
    stream.on('error', () => undefined);
    stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}));
    stream.on('close', () => resolve({ headers: found, trailers: after, body: text, code: stream.rstCode ?? -1 }));
    if (body !== '' || trailers !== null) stream.end(body);
  });
}

interface Seen {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly trailers: Record<string, string>;
}

t.test('a stream is a request as any other', async (t) => {
  const got = await ask({ ':path': '/a?b', cookie: 'x=1', te: 'trailers' });
  const seen = JSON.parse(got.body) as Seen;
  t.equal(got.headers[':status'], 200);
  t.strictSame(got.headers['set-cookie'], ['a=1', 'b=2'], 'lines stay lines');
  t.strictSame([seen.method, seen.headers.host, seen.headers.cookie, seen.headers.te], ['GET', `127.0.0.1:${port}`, 'x=1', 'trailers']);
  t.match(seen.headers, { via: '1.1 switchyard', 'x-forwarded-for': '127.0.0.1' });
  t.equal(got.trailers['x-after'], 'yes');
});

t.test('a body without a length is framed by us, and its trailers go on', async (t) => {
  const got = await ask({ ':method': 'POST', ':path': '/up' }, 'x'.repeat(100_000), { 'x-sum': '7' });
  const seen = JSON.parse(got.body) as Seen;
  t.equal(seen.body.length, 100_000);
  t.equal(seen.headers['transfer-encoding'], 'chunked');
  t.strictSame(seen.trailers, { 'x-sum': '7' });
});

t.test('an answer that is cut is reset, never ended', async (t) => {
  for (const path of ['/cut', '/cut-without-length']) {
    const got = await ask({ ':path': path });
    t.strictSame([got.headers[':status'], got.code], [200, 2], `${path}: INTERNAL_ERROR`);
  }
});

t.test('what is refused is refused on its stream alone', async (t) => {
  t.match(await ask({ ':method': 'TRACE', ':path': '/' }), { headers: { ':status': 405 } });
  t.match(await ask({ ':path': `/${'x'.repeat(9000)}` }), { headers: { ':status': 414 } });
  t.match(await ask({ ':path': '/', 'x-fine': 'yes' }), { headers: { ':status': 200 } }, 'and the connection goes on');
});

t.test('of many streams, beside and after one another, each gets its own answer, whatever became of those before', async (t) => {
  const one = async (n: number): Promise<string | null> => {
    const id = `stream ${n}`;
    const headers = { ':path': '/echo', 'x-id': id };
    if (n % 7 === 5) return (await ask({ ...headers, ':path': '/cut' })).code === 2 ? null : `${id} was not reset`;
    if (n % 7 === 6) return (await ask({ ...headers, ':method': 'TRACE' })).headers[':status'] === 405 ? null : `${id} was not refused`;
    const body = n % 7 < 3 ? '' : `${id} `.repeat(n * 10);
    const length: Record<string, string> = n % 7 === 3 ? { 'content-length': String(body.length) } : {};
    const got = await ask(body === '' ? headers : { ...headers, ...length, ':method': 'POST' }, body);
    const seen = JSON.parse(got.body) as Seen;
    const isItsOwn = seen.headers['x-id'] === id && seen.body === body && seen.method === (body === '' ? 'GET' : 'POST');
    return isItsOwn && got.code === 0 && got.trailers['x-after'] === 'yes' ? null : `${id} got ${got.body.slice(0, 200)}, code ${got.code}`;
  };
  const wrong: (string | null)[] = [];
  for (let n = 0; n < 140; n += 7) wrong.push(...(await Promise.all(Array.from({ length: 7 }, (_, i) => one(n + ((i * n) % 7))))));
  for (let n = 1; n < 140; n += 5) wrong.push(await one(n));
  t.strictSame(
    wrong.filter((one) => one !== null),
    [],
  );
});

t.test('HTTP/1.1 is spoken beside it, and no connection is left', async (t) => {
  t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200);
  session.close();
  await once(session, 'close');
  const left = /^switchyard_client_connections [01]$/m;
  await eventually('no connection of HTTP/2 is left', async () => left.test(await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()));
  t.pass('all are closed');
});
