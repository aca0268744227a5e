import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import t from 'tap';
import { FRAME, H2Raw, frame, get, uint32 } from '../helpers/h2_raw.ts';
import type { Field } from '../helpers/h2_raw.ts';
import { field } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { SeenRequest } from '../helpers/raw_upstream.ts';
import { eventually, sleep } from '../helpers/wait.ts';
import { countedDuring } from '../proxy/counts.ts';

const backend = await RawUpstream.start(t);
const port = await freePort();
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  listeners: [{ host: '127.0.0.1', port, http2: true }],
  shutdown: { drain: '4s' },
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: { failures: 0 } }) },
});
const CONNECT: Field[] = [[':method', 'CONNECT'], [':protocol', 'websocket'], ...get('/chat').slice(1)];
const BROWSER: Record<string, string> = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat', 'sec-websocket-version': '13' };
const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: inner\r\n\r\n';
const NO_ERROR = 0;
const INTERNAL_ERROR = 2;
const CANCEL = 8;

function acceptOf(request: SeenRequest): string {
  return createHash('sha1')
    .update(`${field(request, 'sec-websocket-key')}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
}

/** Accepts, and says these bytes at once. */
function accepting(first = '', accept = acceptOf): void {
  backend.use((request, connection) => {
    const protocol = field(request, 'sec-websocket-protocol');
    const chosen = protocol === null ? '' : `Sec-WebSocket-Protocol: ${protocol.split(', ').at(-1)}\r\n`;
    connection.write(
      `HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept(request)}\r\n${chosen}\r\n${first}`,
    );
    return 'taken';
  });
}

async function session(): Promise<ClientHttp2Session> {
  const client = connect(`http://127.0.0.1:${port}`);
  t.teardown(() => client.destroy());
  await once(client, 'remoteSettings');
  return client;
}

async function open(
  client: ClientHttp2Session,
  headers = BROWSER,
): Promise<{ stream: ClientHttp2Stream; answer: IncomingHttpHeaders; seen: SeenRequest; closed: Promise<unknown> }> {
  const from = backend.requests.length;
  const stream = client.request(headers, { endStream: false });
  stream.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => void stream.once('close', resolve));
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  return { stream, answer, seen: await backend.request(from), closed };
}

t.test('a WebSocket inside a stream is one to the backend', async (t) => {
  accepting('hello');
  const client = await session();
  t.equal(client.remoteSettings.enableConnectProtocol, true, 'it is offered');
  const { stream, answer, seen, closed } = await open(client, { ...BROWSER, 'sec-websocket-protocol': 'a, chat', origin: 'http://o' });
  t.match(answer, { ':status': 200, 'sec-websocket-protocol': 'chat' });
  t.equal(answer['sec-websocket-accept'], undefined, 'what is of HTTP/1.1 stays there');
  t.strictSame(
    [seen.method, seen.target, field(seen, 'upgrade'), field(seen, 'origin'), field(seen, 'sec-websocket-version')],
    ['GET', '/chat', 'websocket', 'http://o', '13'],
  );
  t.equal(Buffer.from(field(seen, 'sec-websocket-key') ?? '', 'base64').length, 16);
  let got = '';
  stream.setEncoding('latin1').on('data', (text: string) => (got += text));
  stream.write(Buffer.from('\x81\x03abc', 'latin1'));
  t.equal((await seen.connection.take(5)).toString('latin1'), '\x81\x03abc');
  seen.connection.write('\x81\x02yo');
  await eventually('both messages', () => got === 'hello\x81\x02yo');
  const large = Buffer.alloc(3_000_000, 'w');
  stream.write(large);
  t.equal((await seen.connection.take(large.length)).compare(large), 0, 'much of it, with flow control');
  stream.end();
  await eventually('the end to arrive', () => seen.connection.ending === 'end');
  seen.connection.write('last words');
  seen.connection.end();
  await closed;
  t.equal(got.slice(-10), 'last words');
  t.equal(stream.rstCode, NO_ERROR);
});

t.test('the backend may end it first', async (t) => {
  accepting();
  const client = await session();
  const counts = await countedDuring(proxy, async () => {
    const { stream, seen, closed } = await open(client);
    stream.resume();
    seen.connection.end();
    await once(stream, 'end');
    stream.end('bye');
    t.equal((await seen.connection.take(3)).toString(), 'bye');
    await closed;
    t.equal(stream.rstCode, NO_ERROR);
  });
  t.match(counts, { started: 1, completed: 1 });
});

t.test('a client that resets it is gone; a backend that is lost resets it', async (t) => {
  accepting();
  const client = await session();
  const byClient = await open(client);
  byClient.stream.close(8);
  t.not(await byClient.seen.connection.closed(), 'open');
  const byBackend = await open(client);
  byBackend.stream.resume();
  byBackend.seen.connection.reset();
  await byBackend.closed;
  t.equal(byBackend.stream.rstCode, INTERNAL_ERROR);
});

t.test('nothing is left of one that is reset while its backend does not read', async (t) => {
  const hastyPort = await freePort();
  await Proxy.start(t, {
    dataThreads: 1,
    listeners: [{ host: '127.0.0.1', port: hastyPort, http2: true }],
    timeouts: { keepAlive: '1s' },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: { failures: 0 } }) },
  });
  for (const code of [NO_ERROR, CANCEL]) {
    accepting();
    const target = `/unread/${code}`;
    using client = await H2Raw.open(hastyPort);
    client.headers(1, [...CONNECT.slice(0, 2), ...get(target).slice(1)], false);
    const { connection } = await backend.requestTo(target);
    connection.socket.pause();
    await client.status(1);
    const piece = Buffer.alloc(16_384);
    let window = 262_144;
    // Until nothing more is taken: what is between us and the backend is full.
    for (let more = true; more;) {
      for (; window >= piece.length; window -= piece.length) client.data(1, piece);
      const update = await client.until(({ type, stream }) => type === FRAME.windowUpdate && stream === 1, 700).catch(() => null);
      if (update === null) more = false;
      else window += update.payload.readUInt32BE(0);
    }
    client.send(frame(FRAME.reset, 0, 1, uint32(code)));
    t.equal(await client.goaway(), NO_ERROR, `code ${code}: the connection has no streams, and ends as one that is idle`);
  }
});

t.test('one that the backend refuses is an answer, and what came with it is no request', async (t) => {
  backend.use((_, connection) => connection.respond(403, 'no'));
  const from = backend.requests.length;
  using client = await H2Raw.open(port);
  client.headers(1, CONNECT, false);
  client.data(1, HIDDEN);
  t.equal(await client.status(1), 403);
  t.equal(await client.ending(1), 'end');
  client.data(1, HIDDEN);
  t.equal(await client.reset(1), NO_ERROR, 'nothing more is wanted');
  await sleep(50);
  t.equal(backend.requests.length, from + 1);
});

t.test('a backend that does not know what it accepts is not believed', async (t) => {
  for (const accept of [() => 'wrong', () => '']) {
    accepting('', accept);
    using client = await H2Raw.open(port);
    client.headers(1, CONNECT, false);
    t.equal(await client.ending(1), INTERNAL_ERROR);
    t.not(await backend.requests.at(-1)!.connection.closed(), 'open');
  }
});

t.test('other protocols are not spoken in a stream, and nobody is connected to elsewhere', async (t) => {
  using client = await H2Raw.open(port);
  const from = backend.requests.length;
  client.headers(1, [...CONNECT.slice(0, 1), [':protocol', 'connect-udp'], ...CONNECT.slice(2)], false);
  t.equal(await client.reset(1), 1);
  client.headers(
    3,
    [
      [':method', 'CONNECT'],
      [':authority', 'elsewhere.example:443'],
    ],
    false,
  );
  t.equal(await client.status(3), 501);
  client.send(frame(FRAME.reset, 0, 3, uint32(8)));
  t.equal(backend.requests.length, from);
});

t.test('when the thread ends it is told to come again (1012)', async (t) => {
  accepting();
  const client = await session();
  const { stream, closed } = await open(client);
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  const stopped = proxy.stop();
  await once(stream, 'end');
  t.equal(Buffer.concat(pieces).subarray(0, 4).toString('hex'), '880203f4'.slice(0, 8), 'a close frame at a frame boundary');
  stream.end();
  await closed;
  await stopped;
});
