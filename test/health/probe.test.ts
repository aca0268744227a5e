import t from 'tap';
import { parseUpstream } from '../../src/config/parse.ts';
import type { HealthInput } from '../../src/config/input.ts';
import type { Probe } from '../../src/health/evidence.ts';
import { probeOnce } from '../../src/health/probe.ts';
import { freePort } from '../helpers/ports.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

/** A server that writes these bytes on each connection, then does what `then` says. */
function raw(
  t: Parameters<typeof RawUpstream.start>[0],
  bytes: string,
  then: (connection: UpstreamConnection) => void = () => undefined,
): Promise<RawUpstream> {
  return RawUpstream.start(t, undefined, {
    async onConnection(connection) {
      if (bytes !== '') connection.write(bytes);
      then(connection);
    },
  });
}

function probe(port: number, health: HealthInput = {}, signal = new AbortController().signal, proxyProtocol: false | 'v1' | 'v2' = false): Promise<Probe> {
  const { policy } = parseUpstream('web', { routes: [{}], proxyProtocol, health: { timeout: '30s', ...health } });
  return probeOnce({ host: '127.0.0.1', port }, policy.health, signal);
}

/** Reads the request first: an answer that comes before it would be out of place. */
async function answered(t: Parameters<typeof RawUpstream.start>[0], status: number, fields: [string, string][] = [], body = 'x'): Promise<RawUpstream> {
  return RawUpstream.start(t, (_, connection) => connection.respond(status, body, fields));
}

t.test('what is asked', async (t) => {
  const server = await answered(t, 200);
  const { at, ms, ...finding } = await probe(server.port, { path: '/up?x=1' });
  t.strictSame(finding, { ok: true, status: 200, error: null });
  t.ok(Math.abs(Date.now() - at) < 60_000 && ms > 0 && ms < 30_000);
  const request = await server.request(0);
  t.equal(`${request.method} ${request.target}`, 'GET /up?x=1');
  const fields = new Map(request.fields.map(([name, value]) => [name.toLowerCase(), value]));
  t.equal(fields.get('host'), server.address);
  t.equal(fields.get('user-agent'), 'switchyard-probe');
  t.equal(fields.get('connection'), 'close');
  await eventually('the connection is closed', () => server.open === 0);
  await probe(server.port, { host: 'app.example' });
  t.ok((await server.request(1)).fields.some(([name, value]) => name.toLowerCase() === 'host' && value === 'app.example'));
});

t.test('which answers pass', async (t) => {
  const cases: readonly (readonly [number, [string, string][], HealthInput, string | null])[] = [
    [200, [], {}, null],
    [299, [], {}, null],
    [302, [['Location', '/healthz2']], {}, 'status 302 (redirects are not followed), expected 2xx'],
    [404, [], {}, 'status 404, expected 2xx'],
    [500, [], {}, 'status 500, expected 2xx'],
    [418, [], { expectStatus: 418 }, null],
    [200, [], { expectStatus: [204, 418] }, 'status 200, expected 204 or 418'],
    [200, [['X-Ready', 'yes']], { expectHeader: { 'x-ready': 'yes' } }, null],
    [200, [['X-Ready', 'no']], { expectHeader: { 'x-ready': 'yes' } }, "header x-ready is 'no', expected 'yes'"],
    [200, [], { expectHeader: { 'x-ready': 'yes' } }, "no header x-ready, expected 'yes'"],
  ];
  for (const [status, fields, health, error] of cases) {
    const server = await answered(t, status, fields);
    const found = await probe(server.port, health);
    t.strictSame({ ok: found.ok, status: found.status, error: found.error }, { ok: error === null, status, error }, `${status} ${error}`);
    t.equal(server.requests.length, 1, 'one request, no more');
  }
});

t.test('what is no answer', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\n';
  const cases: readonly (readonly [string, string, (connection: UpstreamConnection) => void, string])[] = [
    ['silence', '', () => undefined, 'no answer within 250 ms'],
    ['half a head', `${head}Content-Le`, () => undefined, 'no answer within 250 ms'],
    ['half a body', `${head}Content-Length: 10\r\n\r\nfive5`, () => undefined, 'no answer within 250 ms'],
    [
      'an endless trickle',
      head,
      (connection) => {
        const timer = setInterval(() => connection.write('X-A: b\r\n'), 20);
        connection.socket.on('close', () => clearInterval(timer));
      },
      'no answer within 250 ms',
    ],
    ['closed at once', '', (connection) => connection.end(), 'the connection was closed before the answer was complete'],
    ['closed half-way', `${head}Content-Length: 10\r\n\r\nfive5`, (connection) => connection.end(), 'the connection was closed before the answer was complete'],
    ['TLS garbage', '\x15\x03\x01\x00\x02\x02\x46', (connection) => connection.end(), 'the answer is not valid HTTP'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n', () => undefined, 'the answer is not valid HTTP'],
    ['a head without end', `${head}X: ${'y'.repeat(40_000)}\r\n\r\n`, () => undefined, 'the head of the answer is too large'],
  ];
  for (const [what, bytes, then, error] of cases) {
    const server = await RawUpstream.start(t, undefined, {
      async onConnection(connection) {
        await connection.until(() => connection.pending.includes('\r\n\r\n') || connection.ending !== 'open', 'the request', undefined, true);
        if (bytes !== '') connection.write(bytes);
        then(connection);
      },
    });
    const found = await probe(server.port, { timeout: error.endsWith('250 ms') ? 250 : '30s' });
    t.strictSame({ ok: found.ok, status: found.status, error: found.error }, { ok: false, status: null, error }, what);
    t.ok(found.ms < 20_000, 'long before the 30 s that others have');
    await eventually('nothing is left open', () => server.connections.every(({ socket, ending }) => socket.destroyed || ending !== 'open'));
  }
});

t.test('a reset', async (t) => {
  const server = await raw(t, '', (connection) => connection.reset());
  t.match(await probe(server.port), { ok: false, status: null, error: /connection (reset|was closed)/ });
  const asked = await RawUpstream.start(t, (_, connection) => connection.reset());
  t.match(await probe(asked.port), { ok: false, status: null, error: /connection (reset|was closed)/ }, 'it is not of TLS');
});

t.test('nobody there', async (t) => {
  const port = await freePort();
  t.match(await probe(port), { ok: false, status: null, error: 'connection refused' });
  t.match(await probe(port, { kind: 'tcp' }), { ok: false, status: null, error: 'connection refused' });
});

t.test('an endless body is not waited for', async (t) => {
  const server = await RawUpstream.start(t, (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n');
    const timer = setInterval(() => connection.write('x'.repeat(8192)), 1);
    connection.socket.on('close', () => clearInterval(timer));
    return 'taken';
  });
  t.match(await probe(server.port), { ok: true, status: 200 });
  await eventually('the connection is closed', () => server.connections.every(({ socket }) => socket.destroyed));
});

t.test('TCP', async (t) => {
  const server = await raw(t, '');
  t.match(await probe(server.port, { kind: 'tcp' }), { ok: true, status: null, error: null });
  await eventually('the connection is closed', () => server.open === 0);
});

t.test('another port than the traffic goes to', async (t) => {
  const server = await answered(t, 200);
  t.match(await probe(await freePort(), { port: server.port }), { ok: true });
});

t.test('IPv6', async (t) => {
  const server = await RawUpstream.start(t, (_, connection) => connection.respond(200), { host: '::1' });
  const { policy } = parseUpstream('web', { routes: [{}] });
  t.match(await probeOnce({ host: '::1', port: server.port }, policy.health, new AbortController().signal), { ok: true, error: null });
  t.ok((await server.request(0)).fields.some(([name, value]) => name.toLowerCase() === 'host' && value === server.address));
});

t.test('stopped from outside', async (t) => {
  const server = await raw(t, '');
  for (const kind of ['http', 'tcp'] as const) {
    const stopped = AbortSignal.abort();
    t.match(await probe(server.port, { kind }, stopped), { ok: false, error: 'the probe was stopped' });
  }
  const controller = new AbortController();
  const running = probe(server.port, {}, controller.signal);
  await eventually('the probe has connected', () => server.connections.length > 0);
  controller.abort();
  t.match(await running, { ok: false, error: 'the probe was stopped' });
});

t.test('a backend that wants a PROXY protocol header gets one that names nobody', async (t) => {
  const headers = { v1: 'PROXY UNKNOWN\r\n', v2: '\r\n\r\n\0\r\nQUIT\n\x20\0\0\0' };
  for (const version of ['v1', 'v2'] as const) {
    const server = await RawUpstream.start(t, undefined, {
      async onConnection(connection) {
        connection.socket.on('end', () => connection.end());
        const first = (await connection.take(headers[version].length)).toString('latin1');
        if (first !== headers[version]) throw new Error(`begins with ${JSON.stringify(first)}`);
        await connection.until(() => connection.pending.length > 0 || connection.ending !== 'open', 'a request', undefined, true);
        if (connection.pending.length > 0) connection.respond(200, 'x');
      },
    });
    const signal = new AbortController().signal;
    t.match(await probe(server.port, {}, signal, version), { ok: true, status: 200 });
    t.match(await probe(server.port, { kind: 'tcp' }, signal, version), { ok: true, status: null });
    await eventually('both have come', () => server.connections.length === 2 && server.open === 0);
    t.equal(server.connections[1].total, headers[version].length, 'a TCP probe sends all of it');
    const other = await answered(t, 200);
    t.match(await probe(server.port, { port: other.port }, signal, version), { ok: true, status: 200 }, 'another port is asked without one');
    const nobody = await freePort();
    t.match(await probe(nobody, {}, signal, version), { ok: false, error: 'connection refused' });
  }
});
