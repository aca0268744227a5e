import t from 'tap';
import { readFileSync } from 'node:fs';
import { field } from '../helpers/message.ts';
import type { Response } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, responseBytes } from '../helpers/raw_upstream.ts';
import type { SeenRequest, UpstreamConnection } from '../helpers/raw_upstream.ts';
import { eventually, sleep, undisturbed } from '../helpers/wait.ts';
import { versionState } from '../proxy/counts.ts';

const MB = 1024 * 1024;
const LARGE = 32 * MB;
const LARGE_ANSWER = responseBytes(200, Buffer.alloc(LARGE, 'x'));
const READERS = 8;
const CLIENT_BODY_MS = 600;
/** Longer than that this process may not stand still where a client of it is to be in time. */
const HELD_UP_MS = 200;

/** Answers by the path. */
async function script(request: SeenRequest, connection: UpstreamConnection): Promise<void> {
  if (request.target === '/early') return connection.respond(200, 'early');
  if (request.target === '/large') return connection.write(LARGE_ANSWER);
  if (request.target === '/unhurried') {
    connection.socket.pause();
    await sleep(4_000);
    connection.socket.resume();
  }
  const { length } = await request.body;
  return connection.respond(200, String(length));
}

const backend = await RawUpstream.start(t, script);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  timeouts: { clientHead: '600ms', keepAlive: '30s', body: CLIENT_BODY_MS },
  limits: { bodyRate: 200 },
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});
const { port } = proxy;

async function nothingInFlight(): Promise<void> {
  await eventually('nothing is in flight', async () => (await versionState(proxy)).inFlight === 0);
}

/** What the client is told while it sends a piece each so many ms. */
async function told(client: RawClient, head: string, piece: string, everyMs: number): Promise<[number, string | undefined]> {
  client.write(head);
  const timer = setInterval(() => client.write(piece), everyMs);
  try {
    const response = await client.response('POST', 30_000);
    return [response.status, /details="(.*)"/.exec(field(response, 'proxy-status') ?? '')?.[1]];
  } finally {
    clearInterval(timer);
  }
}

const POST = 'POST / HTTP/1.1\r\nHost: a\r\n';

t.test('a head is due at the deadline, however it dribbles', async (t) => {
  for (const [first, more] of [
    ['G', ''],
    ['GET / HTTP/1.1\r\n', 'a: b\r\n'],
    ['GET / HTTP/1.1\r\nX: ', 'x'],
    ['\r\n', ''],
  ]) {
    const began = performance.now();
    using client = await RawClient.connect(port);
    t.strictSame(await told(client, first, more, 50), [408, 'head-timeout']);
    t.ok(performance.now() - began > 500, 'not before');
    t.not(await client.closed(), 'open');
  }
});

t.test('a body that dribbles for ever is cut, one that is only slow is not', async (t) => {
  using length = await RawClient.connect(port);
  t.strictSame(await told(length, `${POST}Content-Length: 1000000\r\n\r\n`, 'x', 100), [408, 'body-timeout']);
  using chunked = await RawClient.connect(port);
  t.strictSame(await told(chunked, `${POST}Transfer-Encoding: chunked\r\n\r\n`, '1\r\nx\r\n', 100), [408, 'body-timeout']);
  using framing = await RawClient.connect(port);
  t.strictSame(await told(framing, `${POST}Transfer-Encoding: chunked\r\n\r\n1;`, 'extension', 100), [408, 'body-timeout'], 'framing is no body');
  await nothingInFlight();

  const slowly = async (): Promise<[number, string | undefined]> => {
    using slow = await RawClient.connect(port);
    return await told(slow, `${POST}Content-Length: 4000\r\n\r\n`, 'x'.repeat(200), 100);
  };
  t.strictSame(await undisturbed(HELD_UP_MS, slowly, ([status]) => status === 200), [200, undefined]);
});

t.test('a client is not blamed for a backend that makes its body wait', async (t) => {
  // What the buffers on the way take at once earns it a second or two; the wait is longer.
  const hasty = await Proxy.start(t, {
    dataThreads: 1,
    timeouts: { body: CLIENT_BODY_MS },
    limits: { bodyRate: 4 * MB },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
  });
  const upload = async (): Promise<Response> => {
    using client = await RawClient.connect(hasty.port);
    client.write(requestBytes({ method: 'POST', target: '/unhurried', fields: [['Content-Length', String(LARGE)]] }));
    client.write(Buffer.alloc(LARGE, 'x'));
    return await client.response('POST', 30_000);
  };
  const response = await undisturbed(HELD_UP_MS, upload, ({ status }) => status === 200);
  t.equal(response.status, 200);
  t.equal(response.body.toString(), String(LARGE));
});

t.test('who reads nothing of a large answer is cut, and holds neither memory nor backend', async (t) => {
  const rss = (): number => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${proxy.process.pid}/status`, 'utf8'))?.[1]) * 1024;
  const clients = await Promise.all(Array.from({ length: READERS }, () => RawClient.connect(port)));
  t.teardown(() => clients.forEach((client) => client.destroy()));
  const before = rss();
  for (const client of clients) {
    client.socket.pause();
    client.write(requestBytes({ target: '/large' }));
  }
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, rss())), 20);
  t.teardown(() => clearInterval(watch));
  const large = (): SeenRequest[] => backend.requests.filter(({ target }) => target === '/large');
  await eventually('all are with the backend', () => large().length === READERS, 20_000);
  await nothingInFlight();
  t.ok(most - before < 60 * MB, `${Math.round((most - before) / MB)} MB more for ${(READERS * LARGE) / MB} MB of answers`);
  for (const request of large()) t.not(await request.connection.closed(), 'open');
  for (const client of clients) {
    client.discard = true;
    client.socket.resume();
    await client.closed();
    t.ok(client.total < LARGE, 'cut');
  }
});

t.test('an answer before the body: it is delivered, and the rest of the body is read for a bounded time', async (t) => {
  using client = await RawClient.connect(port);
  client.write(requestBytes({ method: 'POST', target: '/early', fields: [['Content-Length', '1000000000']] }));
  const response = await client.response('POST');
  t.equal(response.body.toString(), 'early');
  t.equal(field(response, 'connection'), 'close');
  const sending = setInterval(() => client.write('x'), 50);
  t.teardown(() => clearInterval(sending));
  t.not(await client.closed(30_000), 'open', 'not as long as it sends');
  clearInterval(sending);
  await nothingInFlight();
  await eventually('the connection to the backend is not used again', async () => (await versionState(proxy)).backends[0].openSockets === 0);

  using flood = await RawClient.connect(port);
  flood.write(requestBytes({ method: 'POST', target: '/early', fields: [['Content-Length', '1000000000']] }));
  await flood.response('POST');
  flood.write(Buffer.alloc(16 * MB, 'x'));
  t.not(await flood.closed(30_000), 'open', 'nor as much as it sends');
});

t.test('a client that vanishes without a word is found out: the kernel asks after it', async (t) => {
  using client = await RawClient.connect(port);
  t.equal((await client.request({ fields: [] })).status, 200);
  const mine = (client.socket.localPort ?? 0).toString(16).toUpperCase().padStart(4, '0');
  const theirs = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/)).find(([, local, remote]) => local?.endsWith(`:${theirs}`) && remote?.endsWith(`:${mine}`));
  const [kind, ticks] = (fields?.[5] ?? '').split(':');
  t.equal(kind, '02', 'the timer of this connection is that of TCP keepalive');
  t.ok(parseInt(ticks, 16) <= 60 * 100, 'due within a minute');
});
