import { createServer } from 'node:http2';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { FLAG, FRAME, RawH2Backend, fieldBlock, frame, headers, words, type H2Script } from '../helpers/h2_backend.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import type { ProxyConfig } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { eventually, sleep } from '../helpers/wait.ts';

const OK: [string, string] = [':status', '200'];
const hello = (stream: number): Buffer[] => [headers(stream, [OK]), frame(FRAME.data, FLAG.endStream, stream, Buffer.from('hello'))];
const data = (stream: number, text: string, flags = 0): Buffer => frame(FRAME.data, flags, stream, Buffer.from(text));
const rst = (stream: number, code: number): Buffer => frame(FRAME.rst, 0, stream, words(code));
const goaway = (last: number, code: number): Buffer => frame(FRAME.goaway, 0, 0, words(last, code));

type Time = 'dial' | 'head' | 'idle';

/** @param soon what is over after a second, by upstream: all else has two minutes. */
function byHost(addresses: Readonly<Record<string, string>>, soon: Readonly<Record<string, Time | undefined>> = {}): ProxyConfig {
  const upstreams = Object.entries(addresses).map(([name, address]) => {
    const timeouts = { dial: '2m', head: '2m', idle: '2m', ...(soon[name] && { [soon[name]]: '1s' }) };
    const common = { routes: [{ host: `${name}.example` }], protocol: 'h2', health: { kind: 'none' }, outlier: false, timeouts };
    return [name, catchAll({ v1: [address] }, 'v1', common)] as const;
  });
  return { accessLog: 'full', dataThreads: 1, upstreams: Object.fromEntries(upstreams) };
}

interface Case {
  readonly what: string;
  readonly script: H2Script;
  /** 0 = the answer begins with a 200 and is cut. */
  readonly status: number;
  readonly reason: string | null;
  readonly request?: RequestSpec;
  /** Heads that the backend must have seen. */
  readonly heads?: number;
  /** What it waits for in vain. */
  readonly over?: Time;
}

const POST: RequestSpec = { method: 'POST', body: 'x' };
const many = Array.from({ length: 1000 }, (_, i): [string, string] => [`x-${i}`, 'y'.repeat(100)]);

/** What a backend does, and what the client gets for it. */
const CASES: readonly Case[] = [
  { what: 'a whole answer', script: (peer, id) => peer.write(...hello(id)), status: 200, reason: null },
  { what: 'an answer without a body', script: (peer, id) => peer.write(headers(id, [OK], FLAG.endStream)), status: 200, reason: null },
  {
    what: 'unknown frames, PING, empty DATA and padding around an answer',
    script: (peer, id) =>
      peer.write(
        frame(0xfa, 0xff, id, Buffer.from('what')),
        frame(FRAME.ping, 0, 0, Buffer.alloc(8)),
        headers(id, [OK]),
        data(id, ''),
        frame(FRAME.data, 8, id, Buffer.from('\x04hell....', 'latin1')),
        data(id, 'o', FLAG.endStream),
      ),
    status: 200,
    reason: null,
  },
  { what: 'a reset before the answer', script: (peer, id) => peer.write(rst(id, 8)), status: 502, reason: 'stream-reset', heads: 1 },
  { what: 'an internal error', script: (peer, id) => peer.write(rst(id, 2)), status: 502, reason: 'stream-reset', heads: 1 },
  {
    what: 'refused once, a POST',
    script: (peer, id, index) => peer.write(...(index === 0 ? [rst(id, 7)] : hello(id))),
    status: 200,
    reason: null,
    request: POST,
    heads: 2,
  },
  {
    what: 'going away, not having looked at a POST',
    script: (peer, id, index) => peer.write(...(index === 0 ? [goaway(0, 0)] : hello(id))),
    status: 200,
    reason: null,
    request: POST,
    heads: 2,
  },
  {
    what: 'going away with an error, not having looked at a POST',
    script: (peer, id, index) => peer.write(...(index === 0 ? [goaway(0, 11)] : hello(id))),
    status: 200,
    reason: null,
    request: POST,
    heads: 2,
  },
  {
    what: 'going away with an error, having looked at a POST',
    script: (peer, id, index) => peer.write(...(index === 0 ? [goaway(id, 2)] : hello(id))),
    status: 502,
    reason: 'reset',
    request: POST,
    heads: 1,
  },
  {
    what: 'going away, but with an answer',
    script: (peer, id) => peer.write(goaway(id, 0), ...hello(id)),
    status: 200,
    reason: null,
    heads: 1,
  },
  {
    what: 'the connection is lost before the answer to a POST',
    script: (peer) => void peer.socket.destroy(),
    status: 502,
    reason: 'reset',
    request: POST,
    heads: 1,
  },
  { what: 'no answer', script: () => undefined, status: 504, reason: 'response-timeout', over: 'head' },
  {
    what: 'a reset without an error in the middle',
    script: (peer, id) => peer.write(headers(id, [OK]), data(id, 'half'), rst(id, 0)),
    status: 0,
    reason: 'truncated',
  },
  { what: 'a reset in the middle', script: (peer, id) => peer.write(headers(id, [OK]), data(id, 'half'), rst(id, 8)), status: 0, reason: 'truncated' },
  {
    what: 'the connection is lost in the middle',
    script: (peer, id) => {
      peer.write(headers(id, [OK]), data(id, 'half'));
      setTimeout(() => peer.socket.destroy(), 50);
    },
    status: 0,
    reason: 'truncated',
  },
  { what: 'no more in the middle', script: (peer, id) => peer.write(headers(id, [OK]), data(id, 'half')), status: 0, reason: 'body-idle', over: 'idle' },
  {
    what: 'less than was promised',
    script: (peer, id) => peer.write(headers(id, [OK, ['content-length', '9']]), data(id, 'half', FLAG.endStream)),
    status: 0,
    reason: 'truncated',
  },
  { what: 'a body before the head', script: (peer, id) => peer.write(data(id, 'early', FLAG.endStream)), status: 502, reason: 'any' },
  {
    what: 'framing of HTTP/1.1',
    script: (peer, id) => peer.write(headers(id, [OK, ['transfer-encoding', 'chunked']]), data(id, '0', FLAG.endStream)),
    status: 502,
    reason: 'bad-response',
  },
  {
    what: 'two lengths',
    script: (peer, id) => peer.write(headers(id, [OK, ['content-length', '1'], ['content-length', '2']]), data(id, '0', FLAG.endStream)),
    status: 502,
    reason: 'bad-response',
  },
  { what: 'no status', script: (peer, id) => peer.write(headers(id, [['x-a', 'b']], FLAG.endStream)), status: 502, reason: 'bad-response' },
  { what: 'a switch of protocols', script: (peer, id) => peer.write(headers(id, [[':status', '101']], FLAG.endStream)), status: 502, reason: 'bad-response' },
  { what: 'a status of seven', script: (peer, id) => peer.write(headers(id, [[':status', '700']], FLAG.endStream)), status: 502, reason: 'bad-response' },
  {
    what: 'interim answers without end',
    script: (peer, id) => peer.write(...Array.from({ length: 50 }, () => headers(id, [[':status', '103']]))),
    status: 502,
    reason: 'bad-response',
  },
  { what: 'a thousand fields', script: (peer, id) => sendInPieces(peer, id, fieldBlock([OK, ...many])), status: 502, reason: 'any' },
  {
    what: 'a head without end',
    script: (peer, id) => {
      peer.write(frame(FRAME.headers, 0, id, fieldBlock([OK])));
      for (let i = 0; i < 2000; i++) peer.write(frame(FRAME.continuation, 0, id, fieldBlock([['x-more', 'y'.repeat(200)]])));
    },
    status: 502,
    reason: 'any',
  },
  {
    what: 'a promise',
    script: (peer, id) => peer.write(frame(FRAME.push, FLAG.endHeaders, id, Buffer.concat([words(2), fieldBlock([])]))),
    status: 502,
    reason: 'any',
  },
  {
    what: 'a field block that cannot be decoded',
    script: (peer, id) => peer.write(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))),
    status: 502,
    reason: 'any',
  },
  {
    what: 'a frame that is too large',
    script: (peer, id) => peer.write(headers(id, [OK]), frame(FRAME.data, 0, id, Buffer.alloc(20_000))),
    status: 0,
    reason: 'truncated',
  },
];

function sendInPieces(peer: Parameters<H2Script>[0], id: number, block: Buffer): void {
  const size = 16_000;
  for (let at = 0; at < block.length; at += size) {
    const end = at + size >= block.length ? FLAG.endHeaders : 0;
    peer.write(frame(at === 0 ? FRAME.headers : FRAME.continuation, end | (at === 0 ? FLAG.endStream : 0), id, block.subarray(at, at + size)));
  }
}

t.test('what a backend may do, and what the client gets for it', async (t) => {
  const backends = await Promise.all(CASES.map(({ script }) => RawH2Backend.start(t, script)));
  const soon = Object.fromEntries(CASES.map(({ over }, i) => [`c${i}`, over]));
  const proxy = await Proxy.start(t, byHost(Object.fromEntries(backends.map(({ address }, i) => [`c${i}`, address])), soon));
  for (const [i, { what, status, reason, request, heads }] of CASES.entries()) {
    await t.test(what, async (t) => {
      using client = await RawClient.connect(proxy.port);
      client.write(requestBytes({ ...request, host: `c${i}.example` }));
      const end = status === 0 ? await cut(client) : (await client.response(request?.method)).status;
      t.equal(end, status === 0 ? 'cut' : status);
      const line = await eventually('the log', () => proxy.process.stdout.split('\n').find((each) => each.includes(`"host":"c${i}.example"`)));
      if (reason !== 'any') t.equal((JSON.parse(line) as { reason: unknown }).reason, reason);
      if (heads !== undefined) t.equal(backends[i].requests, heads, 'requests at the backend');
    });
  }
  const memory = /^process_resident_memory_bytes (\S+)/m.exec((await proxy.admin('/metrics')).text);
  t.ok(Number(memory?.[1]) < 400e6, `${memory?.[1]} bytes`);
});

/** How an answer that has begun with a 200 ends. */
async function cut(client: RawClient): Promise<string> {
  const all = (await client.takeAll()).toString('latin1');
  if (!all.startsWith('HTTP/1.1 200 ')) return all.slice(0, 20);
  return /\r\n0\r\n(?:.*\r\n)*\r\n$/.test(all) ? 'complete' : 'cut';
}

t.test('what does not speak HTTP/2', async (t) => {
  const old = await RawUpstream.start(t, undefined, { onConnection: (connection) => connection.write('HTTP/1.1 400 Bad Request\r\n\r\n') });
  const rude = await RawUpstream.start(t, undefined, { onConnection: (connection) => connection.end() });
  const silent = await RawUpstream.start(t, undefined, { onConnection: () => undefined });
  const proxy = await Proxy.start(t, byHost({ old: old.address, rude: rude.address, silent: silent.address }, { silent: 'dial' }));
  const outcome = async (name: string): Promise<unknown[]> => {
    const { status } = await proxy.send({ host: `${name}.example` });
    const line = await eventually('the log', () => proxy.process.stdout.split('\n').find((each) => each.includes(`"host":"${name}.example"`)));
    return [status, (JSON.parse(line) as { reason: unknown }).reason];
  };
  t.strictSame(await outcome('old'), [502, 'http2-not-spoken']);
  t.strictSame(await outcome('rude'), [502, 'http2-not-spoken']);
  t.strictSame(await outcome('silent'), [504, 'dial-timeout']);
});

t.test('half a request never looks whole to a backend, and is cancelled at once', async (t) => {
  const backend = await RawH2Backend.start(t, () => undefined);
  const proxy = await Proxy.start(t, byHost({ web: backend.address }));
  using client = await RawClient.connect(proxy.port);
  client.write('POST / HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  await eventually('the first half', () => backend.all(FRAME.data).length > 0);
  client.destroy();
  const [reset] = await eventually('a reset', () => (backend.all(FRAME.rst).length > 0 ? backend.all(FRAME.rst) : null));
  t.equal(reset.payload.readUInt32BE(0), 8, 'CANCEL');
  t.strictSame(
    backend.all(FRAME.data).map(({ flags, payload }) => [flags & FLAG.endStream, payload.toString()]),
    [[0, 'hello']],
    'without END_STREAM',
  );
  t.equal(backend.all(FRAME.headers)[0].flags & FLAG.endStream, 0);
});

t.test('as many streams as the backend allows; more go over further connections', async (t) => {
  const waiting: (() => void)[] = [];
  const backend = await RawH2Backend.start(t, (peer, id) => waiting.push(() => peer.write(...hello(id))), Buffer.from([0, 3, 0, 0, 0, 2]));
  const proxy = await Proxy.start(t, byHost({ web: backend.address }));
  const answers = Array.from({ length: 5 }, () => proxy.send({ host: 'web.example' }));
  await eventually('all five are there', () => waiting.length === 5);
  t.equal(backend.peers.length, 3);
  for (const go of waiting) go();
  t.strictSame(
    (await Promise.all(answers)).map(({ status }) => status),
    [200, 200, 200, 200, 200],
  );
  t.match((await proxy.admin('/v1/upstreams/web')).json, { versions: [{ backends: [{ openSockets: 3 }] }] });
});

t.test('a client that does not read stops the backend, and only there', async (t) => {
  let sent = 0;
  const server = createServer((request, response) => {
    if (request.url === '/quick') return response.end('quick');
    const more = (): void => {
      for (let room = !response.destroyed; room; sent += 65_536) room = response.write(Buffer.alloc(65_536));
    };
    response.on('drain', more);
    more();
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const proxy = await Proxy.start(t, byHost({ web: `127.0.0.1:${(server.address() as AddressInfo).port}` }));
  using client = await RawClient.connect(proxy.port);
  client.socket.pause();
  client.write(requestBytes({ host: 'web.example' }));
  await eventually('it flows', () => sent > 0);
  let before = 0;
  await eventually('it stands still, and not because the proxy does', async () => {
    before = sent;
    await sleep(200);
    t.equal((await proxy.send({ host: 'web.example', target: '/quick' })).body.toString(), 'quick', 'over the same connection');
    await sleep(100);
    return sent === before;
  });
  t.ok(before < 16e6, `${before} bytes were taken`);
  client.socket.resume();
  client.discard = true;
  await eventually('it goes on', () => sent > before + 10e6, 30_000);
});

t.test('a backend that does not read stops the client', async (t) => {
  // It opens no window: 64 KiB are all that may come.
  const backend = await RawH2Backend.start(t, () => undefined);
  const proxy = await Proxy.start(t, byHost({ web: backend.address }));
  using client = await RawClient.connect(proxy.port);
  const size = 60_000_000;
  let sent = 0;
  client.write(`POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: ${size}\r\n\r\n`);
  const more = (): void => {
    for (let room = !client.socket.destroyed; room && sent < size; sent += 60_000) room = client.socket.write(Buffer.alloc(60_000));
  };
  client.socket.on('drain', more);
  more();
  await eventually('its window is full', () => backend.all(FRAME.data).reduce((sum, { payload }) => sum + payload.length, 0) === 65_535);
  await eventually('it stands still, and not because the proxy does', async () => {
    const before = sent;
    await sleep(200);
    t.equal((await proxy.send({ host: 'nobody.example' })).status, 404);
    await sleep(100);
    return sent === before;
  });
  t.ok(sent < 16e6, `${sent} bytes were taken`);
});

t.test('trailers go both ways', async (t) => {
  const trailers: [string, string][] = [
    ['x-sum', '1'],
    ['grpc-status', '0'],
  ];
  const backend = await RawH2Backend.start(t, (peer, id, index) => {
    // The second block of fields is the trailers of the request.
    if (index === 1) peer.write(headers(id, [OK]), data(id, 'body'), headers(id, trailers, FLAG.endStream));
  });
  const proxy = await Proxy.start(t, byHost({ web: backend.address }));
  using client = await RawClient.connect(proxy.port);
  client.write('POST / HTTP/1.1\r\nHost: web.example\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Up: 2\r\n\r\n');
  const text = await client.takeUntil('\r\nx-sum: 1\r\ngrpc-status: 0\r\n\r\n');
  t.match(text, /\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\ngrpc-status: 0\r\n\r\n$/);
  const heads = backend.all(FRAME.headers);
  t.equal(heads.length, 2, 'a head and trailers');
  t.equal(heads[1].flags & FLAG.endStream, FLAG.endStream);
});

t.test('a field that is none goes no further', async (t) => {
  const backend = await RawH2Backend.start(t, (peer, id) =>
    peer.write(
      headers(id, [OK, ['x-a', 'b\r\nx-c: d'], ['x-e\r\nx-f', 'g'], ['x-h', 'i']]),
      data(id, 'body'),
      headers(id, [['x-a\r\nx-b', 'c']], FLAG.endStream),
    ),
  );
  const proxy = await Proxy.start(t, byHost({ web: backend.address }));
  using client = await RawClient.connect(proxy.port);
  client.write(requestBytes({ host: 'web.example' }));
  const text = await client.takeUntil('\r\n0\r\n\r\n');
  t.match(text, /\r\nx-h: i\r\n/);
  t.notMatch(text, /x-[abcef]/);
});

t.test('a retired backend has its connections closed', async (t) => {
  const [one, two] = [await RawH2Backend.start(t, (peer, id) => peer.write(...hello(id))), await RawH2Backend.start(t, (peer, id) => peer.write(...hello(id)))];
  const proxy = await Proxy.start(t, byHost({ web: one.address }));
  t.equal((await proxy.send({ host: 'web.example' })).status, 200);
  t.equal((await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: [two.address] } })).status, 202);
  await eventually('closed', () => one.peers.every(({ socket }) => socket.destroyed || socket.readableEnded));
  t.equal((await proxy.send({ host: 'web.example' })).status, 200);
  t.equal(two.requests, 1);
});
