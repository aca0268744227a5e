import { once } from 'node:events';
import { connect } from 'node:http2';
import t from 'tap';
import { FLAG, FRAME, H2Raw, frame, get, hpack, post, settings, PREFACE, uint32 } from '../helpers/h2_raw.ts';
import type { Frame } from '../helpers/h2_raw.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, responseBytes } from '../helpers/raw_upstream.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { countedDuring } from '../proxy/counts.ts';

const backend = await RawUpstream.start(t);
const port = await freePort();
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  listeners: [{ host: '127.0.0.1', port, http2: true }],
  limits: { streams: 5 },
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1', {
      health: { kind: 'none' },
      outlier: { failures: 0 },
      limits: { body: 100_000 },
      drain: { requests: '300ms' },
    }),
    limited: catchAll({ v1: [backend.address] }, 'v1', {
      health: { kind: 'none' },
      routes: [{ path: '/limited' }],
      limits: { rate: { requests: 1, per: '1m' } },
    }),
  },
});
const hastyPort = await freePort();
const HASTY_MS = 1_500;
/** Waits for nobody for long. */
const hasty = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  listeners: [{ host: '127.0.0.1', port: hastyPort, http2: true }],
  timeouts: { body: HASTY_MS, clientHead: HASTY_MS, keepAlive: HASTY_MS },
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});
const INTERNAL_ERROR = 2;
const NO_ERROR = 0;
const PROTOCOL_ERROR = 1;
const CANCEL = 8;
const CALM = 11;
const REFUSED = 7;

/** Answers with these bytes once the head has come, whatever the body does. */
function answerAtOnce(bytes: string | Buffer): void {
  backend.use((_, connection) => void connection.write(bytes));
}

/** The lines of the log with this in them, once there are so many. */
async function lines({ process }: Proxy, part: string, count = 1): Promise<Record<string, unknown>[]> {
  const found = await eventually(`${count} lines with ${part}`, () => {
    const whole = process.stdout.split('\n').slice(0, -1);
    const those = whole.filter((line) => line.includes(part));
    return those.length >= count ? those : null;
  });
  return found.map((line) => JSON.parse(line) as Record<string, unknown>);
}

t.test('answers without a body end with their head; a body ends with its length', async (t) => {
  const cases: readonly (readonly [string, string, string, number])[] = [
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', '', 204],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', '', 304],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', '', 200],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '', 200],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', '', 200],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 'hello', 200],
    ['GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 'hello', 200],
    ['GET', 'HTTP/1.1 205 Reset\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', '', 205],
    [
      'GET',
      'HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: a/c\r\nETag: 1\r\nETag: 2\r\nTE: gzip\r\nHTTP2-Settings: x\r\n__proto__: 1\r\nContent-Length: 1\r\n\r\nx',
      'x',
      200,
    ],
    ['GET', 'HTTP/1.1 103 Early\r\nLink: a\r\nContent-Type: a\r\nContent-Type: b\r\nLink: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx', 'x', 200],
    [
      'GET',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nETag: 1\r\nETag: 2\r\nTE: x\r\n__proto__: a\r\n__proto__: b\r\nx-a: 1\r\n\r\n',
      'x',
      200,
    ],
  ];
  const counts = await countedDuring(proxy, async () => {
    for (const [method, answer, body, status] of cases) {
      backend.use((_, connection) => void connection.write(answer));
      using client = await H2Raw.open(port);
      client.headers(1, [[':method', method], ...get().slice(1)]);
      t.equal(await client.status(1), status, answer);
      if ((client.frames.at(-1)!.flags & FLAG.endStream) === 0) t.equal(await client.ending(1), 'end', answer);
      const data = client.frames.filter(({ type }) => type === FRAME.data).map(({ payload }) => payload);
      t.equal(Buffer.concat(data).toString(), body);
    }
  });
  t.match(counts, { started: cases.length, completed: cases.length });
  t.match((await lines(proxy, '"reason":null')).at(0), { protocol: 'HTTP/2', status: 204, method: 'GET', target: '/' });
});

t.test('an answer that comes before the body is sent whole; the rest of the body is not wanted', async (t) => {
  for (const answer of [
    responseBytes(413, 'too large'),
    responseBytes(200),
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-a: 1\r\n\r\n',
  ]) {
    answerAtOnce(answer);
    using client = await H2Raw.open(port);
    client.headers(1, post(), false);
    client.data(1, 'x'.repeat(1000));
    t.equal(await client.ending(1), 'end');

    t.equal(await client.ending(1), NO_ERROR, 'and then a reset that is no error');
    client.headers(3, get());
    t.equal(await client.ending(3), 'end', 'the connection goes on');
  }
});

t.test('a body that is too large is refused on its stream alone', async (t) => {
  backend.use(() => 'taken');
  using client = await H2Raw.open(port);
  client.headers(1, post('/too-large', ['content-length', '100001']), false);
  t.equal(await client.status(1), 413);
  t.equal(await client.ending(1), 'end');
  client.headers(3, post('/too-large'), false);
  client.data(3, 'x'.repeat(16_000));
  for (let i = 0; i < 7; i++) client.data(3, 'x'.repeat(16_000));
  t.equal(await client.status(3), 413);
});

t.test('a client that resets its stream is gone, at once, wherever the request is', async (t) => {
  const half = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf';
  const moments: readonly (readonly [string, boolean, string, string])[] = [
    ['before the answer', true, '', ''],
    ['within the answer', true, '', half],
    ['within the request', false, 'half', ''],
    ['within both', false, 'half', half],
  ];
  for (const code of [CANCEL, NO_ERROR]) {
    for (const [moment, end, body, answer] of moments) {
      const target = `/gone/${code}/${moment.replaceAll(' ', '-')}`;
      backend.use((_, connection) => {
        connection.write(answer);
        return 'taken';
      }, target);
      const counts = await countedDuring(proxy, async () => {
        using client = await H2Raw.open(port);
        client.headers(1, get(target), end);
        if (body !== '') client.data(1, body);
        const { connection } = await backend.requestTo(target);
        if (answer !== '') await client.status(1);
        client.send(frame(FRAME.reset, 0, 1, uint32(code)));
        t.not(await connection.closed(), 'open', `${moment}: the backend sees it`);
        t.notMatch(connection.pending.toString('latin1'), /\r\n0\r\n\r\n/, 'no body looks complete');
      });
      t.match(counts, { started: 1, completed: 0, clientAborted: 1 }, `${moment}, code ${code}`);
    }
  }
});

t.test('also one whose body waits for the backend', async (t) => {
  for (const code of [CANCEL, NO_ERROR]) {
    const target = `/unread/${code}`;
    backend.use((_, connection) => {
      connection.socket.pause();
      return 'taken';
    }, target);
    const counts = await countedDuring(proxy, async () => {
      using client = await H2Raw.open(port);
      client.headers(1, post(target), false);
      for (let i = 0; i < 4; i++) client.data(1, 'x'.repeat(16_000));
      const { connection } = await backend.requestTo(target);
      client.send(frame(FRAME.reset, 0, 1, uint32(code)));
      await sleep(50);
      connection.socket.resume();
      t.not(await connection.closed(), 'open');
    });
    t.match(counts, { started: 1, clientAborted: 1 }, `code ${code}`);
  }
});

t.test('deadlines: a slow body, a slow reader, nothing asked, nothing more asked', async (t) => {
  backend.use((_, connection) => {
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(200_000)}`);
    return 'taken';
  }, '/large');
  backend.use(() => 'taken', '/slow');
  using slow = await H2Raw.open(hastyPort);
  slow.headers(1, post('/slow'), false);
  using none = await H2Raw.open(hastyPort);
  using idle = await H2Raw.open(hastyPort);
  idle.headers(1, [[':method', 'TRACE'], ...get().slice(1)]);
  using reader = await H2Raw.open(hastyPort, { begin: Buffer.concat([Buffer.from(PREFACE), settings([1, 0], [4, 10])]) });
  reader.headers(1, get('/large'));
  t.equal(await reader.ending(1), INTERNAL_ERROR, 'who reads nothing for too long gets no more, and no end');
  t.equal(
    reader.frames.filter(({ type }) => type === FRAME.data).reduce((sum, { payload }) => sum + payload.length, 0),
    10,
    'no more than its window',
  );
  t.equal(await none.goaway(), NO_ERROR);
  t.equal(await idle.goaway(), NO_ERROR);
  t.not(await none.bytes.closed(), 'open');
  t.not(await idle.bytes.closed(), 'open');
  t.equal(await slow.status(1), 408);
});

t.test('half a preface has the time of one head, not of two', async (t) => {
  using preface = await RawClient.connect(hastyPort, { localAddress: '127.0.0.2' });
  preface.write(PREFACE.slice(0, 10));
  await sleep(HASTY_MS / 2);
  using later = await RawClient.connect(hastyPort, { localAddress: '127.0.0.3' });
  later.write('GET / HTTP/1.1\r\n');
  for (const client of [preface, later]) t.match((await client.take(12)).toString('latin1'), 'HTTP/1.1 408');
  const order = await lines(hasty, '"reason":"head-timeout"', 2);
  t.strictSame(
    order.map(({ client }) => client),
    ['127.0.0.2', '127.0.0.3'],
    'as the proxy itself has seen it',
  );
});

t.test('one stream too many is refused, and may come again', async (t) => {
  backend.use(() => 'taken');
  using client = await H2Raw.open(port);
  await client.until(({ type, flags }) => type === FRAME.settings && (flags & FLAG.ack) !== 0);
  const seen = (target: string, count: number): Promise<unknown> => eventually(`${count} of ${target}`, () => backend.requestsTo(target).length === count);
  for (let i = 0; i < 5; i++) client.headers(1 + 2 * i, get('/many'));
  await seen('/many', 5);
  // Who has acknowledged the limit and goes past it is not served at all (that is how nghttp2 sees it).
  client.headers(11, get('/many'));
  t.equal(await client.goaway(), PROTOCOL_ERROR);
  using early = await H2Raw.open(port, { acks: false });
  for (let i = 0; i < 6; i++) early.headers(1 + 2 * i, get('/early'));
  t.equal(await early.reset(11), REFUSED, 'who could not know of it is refused, and may come again');
  await seen('/early', 5);
  await sleep(20);
  t.same([backend.requestsTo('/many').length, backend.requestsTo('/early').length], [5, 5]);
});

t.test('so many streams at once that it would be ended for them reach no backend', async (t) => {
  answerAtOnce(responseBytes(200, 'fine'));
  const heads = (target: string, count: number): Buffer[] =>
    Array.from({ length: count }, (_, i) => frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1 + 2 * i, hpack(get(target))));
  using greedy = await H2Raw.open(port, { acks: false, localAddress: '127.0.0.4' });
  greedy.send(...heads('/greedy', 60));
  t.equal(await greedy.goaway(), CALM);
  t.equal(backend.requestsTo('/greedy').length, 0);
  using eager = await H2Raw.open(port, { acks: false, localAddress: '127.0.0.5' });
  eager.send(...heads('/eager', 20));
  t.equal(await eager.reset(39), REFUSED, 'a few more than allowed are refused one by one');
  await eventually('the others', () => backend.requestsTo('/eager').length === 5);
});

t.test('a client may err, but not again and again', async (t) => {
  answerAtOnce(responseBytes(200, 'fine'));
  using client = await H2Raw.open(port, { localAddress: '127.0.0.6' });
  const err = async (id: number): Promise<Frame> => {
    client.headers(id, get('/', ['host', 'another.example']));
    return client.until(({ type, stream }) => type === FRAME.goaway || (type === FRAME.reset && stream === id));
  };
  let id = 1;
  for (; id < 21; id += 2) t.equal((await err(id)).payload.readUInt32BE(0), PROTOCOL_ERROR);
  client.headers(id, get());
  t.equal(await client.status(id), 200);
  // One is forgiven each second.
  let last = await err((id += 2));
  while (last.type === FRAME.reset && id < 121) last = await err((id += 2));
  t.equal(last.type, FRAME.goaway, `after ${id}`);
  t.equal(last.payload.readUInt32BE(4), CALM);
});

t.test('a head that is too large is refused on its stream alone, one twice as large as it may be ends the connection', async (t) => {
  answerAtOnce(responseBytes(200, 'fine'));
  using client = await H2Raw.open(port);
  const large = get('/', ...Array.from({ length: 4 }, (_, i) => [`x-${i}`, 'x'.repeat(9000)] as const));
  // In two frames: a frame has at most 16384 bytes.
  const block = hpack(large);
  client.send(frame(FRAME.headers, FLAG.endStream, 1, block.subarray(0, 16_000)));
  client.send(frame(FRAME.continuation, 0, 1, block.subarray(16_000, 32_000)));
  client.send(frame(FRAME.continuation, FLAG.endHeaders, 1, block.subarray(32_000)));
  t.equal(await client.status(1), 431);
  client.headers(3, get('/', ...Array.from({ length: 110 }, (_, i) => [`x-${i}`, '1'] as const)));
  t.equal(await client.status(3), 431);
  client.headers(5, get());
  t.equal(await client.status(5), 200);
  client.headers(7, get('/', ...Array.from({ length: 210 }, (_, i) => [`x-${i}`, '1'] as const)));
  t.equal(await client.goaway(), CALM);
  using other = await H2Raw.open(port);
  const huge = hpack(get('/', ...Array.from({ length: 5 }, (_, i) => [`x-${i}`, 'x'.repeat(15_000)] as const)));
  other.send(frame(FRAME.headers, FLAG.endStream, 1, huge.subarray(0, 16_000)));
  for (let at = 16_000; at < huge.length; at += 16_000) {
    other.send(frame(FRAME.continuation, at + 16_000 < huge.length ? 0 : FLAG.endHeaders, 1, huge.subarray(at, at + 16_000)));
  }
  t.equal(await other.goaway(), CALM);
});

t.test('what waits for a slow reader stays with the backend', async (t) => {
  let written = 0;
  backend.use((_, { socket }) => {
    const piece = Buffer.alloc(100_000);
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n`);
    const more = (): void => {
      while (!socket.destroyed && written < 100_000_000 && !socket.writableNeedDrain) {
        written += piece.length;
        socket.write(piece);
      }
    };
    socket.on('drain', more);
    more();
    return 'taken';
  }, '/flood');
  using client = await H2Raw.open(port);
  client.headers(1, get('/flood'));
  await client.status(1);
  await sleep(400);
  t.ok(written < 20_000_000, `${written} bytes`);
});

t.test('what is still under way at the drain deadline is cut on its stream, and counted as killed', async (t) => {
  backend.use((_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n');
    return 'taken';
  }, '/half');
  backend.use(() => 'taken', '/none');
  using client = await H2Raw.open(port);
  client.headers(1, get('/half'));
  client.headers(3, get('/none'));
  await backend.requestTo('/none');
  t.equal(await client.status(1), 200);
  t.equal((await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: [backend.address] } })).status, 202);
  const ends: Frame[] = [];
  while (ends.length < 2) {
    const ended = ({ type, flags }: Frame): boolean => type === FRAME.reset || (type < 2 && (flags & FLAG.endStream) !== 0);
    ends.push(await client.until(ended));
  }
  const [half, none] = ends.toSorted((a, b) => a.stream - b.stream);
  t.strictSame([half.type, half.payload.readUInt32BE(0)], [FRAME.reset, INTERNAL_ERROR], 'half an answer never looks whole');
  t.equal(none.type, FRAME.data, 'who has none yet is told');
  answerAtOnce(responseBytes(200, 'fine'));
  client.headers(5, get());
  t.equal(await client.status(5), 200, 'the connection goes on, with the new version');
  const receipt = await eventually('the receipt', async () => {
    const { status, json } = await proxy.admin('/v1/upstreams/web/versions/v1/receipt');
    return status === 200 ? (json as { counts: { killed: number } }) : null;
  });
  t.equal(receipt.counts.killed, 2);
});

t.test('rates are by client, not by connection; a refusal says why', async (t) => {
  using client = await H2Raw.open(port);
  answerAtOnce(responseBytes(200, 'fine'));
  client.headers(1, get('/limited'));
  t.equal(await client.status(1), 200);
  client.headers(3, get('/limited'));
  t.equal(await client.status(3), 429);
  const { payload } = client.frames.at(-1)!;
  t.ok(payload.length > 0);
  const node = connect(`http://127.0.0.1:${port}`);
  const asked = node.request({ ':path': '/limited', 'x-forwarded-for': '192.0.2.7' });
  const [headers] = (await once(asked, 'response')) as [Record<string, unknown>];
  t.match(headers, { ':status': 429, 'proxy-status': /rate-limited/, 'retry-after': /^[0-9]+$/, 'x-forwarded-for': undefined });
  node.destroy();
});

t.test('a thread that ends says so, lets streams finish, and cuts none', async (t) => {
  let go = (): void => undefined;
  backend.use((_, connection) => {
    go = () => connection.write(responseBytes(200, 'at last'));
    return 'taken';
  }, '/last');
  using client = await H2Raw.open(port);
  client.headers(1, get('/last'));
  await backend.requestTo('/last');
  const stopped = proxy.stop();
  t.equal(await client.goaway(), NO_ERROR);
  go();
  const ends = (one: Frame): boolean => one.type === FRAME.data && one.payload.toString() === 'at last';
  await client.until(ends);
  t.not(await client.bytes.closed(), 'open');
  t.match(await stopped, { code: 0 });
});
