import t from 'tap';
import { connect } from 'node:net';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, responseBytes } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import { eventually, sleep, undisturbed } from '../helpers/wait.ts';
import { countedDuring, settledCounts, versionState } from './counts.ts';

/** How long one side of a tunnel may be silent when the other has ended. */
const PAUSE_MS = 1_500;
const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: {
    web: catchAll({ v1: [backend.address] }, 'v1', {
      health: { kind: 'none' },
      outlier: { failures: 0 },
      timeouts: { tunnel: '2m' },
    }),
    pausing: catchAll({ v1: [backend.address] }, 'v1', {
      health: { kind: 'none' },
      routes: [{ path: '/pausing' }],
      timeouts: { idle: PAUSE_MS, tunnel: '2m' },
    }),
  },
});

type Fields = readonly (readonly [string, string])[];
const WEBSOCKET: Fields = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Version', '13'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
];
const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n';

function switching(...lines: readonly string[]): string {
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
}
const SWITCHED = switching('Connection: Upgrade', 'Upgrade: websocket');

/** Answers the upgrade by these bytes, and any other request by its target. */
function answerUpgrade(bytes: string | Buffer): void {
  backend.use(async ({ target, body }, connection) => {
    await body;
    connection.write(target === '/up' ? bytes : responseBytes(200, target));
  });
}

t.test('bytes behind an upgrade that the backend refuses are requests, not a tunnel', async (t) => {
  const refused: readonly (readonly [number, Fields])[] = [
    [426, WEBSOCKET.map(([name, value]) => [name, value === '13' ? '12' : value] as const)],
    [400, WEBSOCKET.slice(0, 3)],
    [403, WEBSOCKET],
    [200, WEBSOCKET],
    [503, [...WEBSOCKET, ['Sec-WebSocket-Protocol', 'chat']]],
  ];
  for (const [status, fields] of refused) {
    const from = backend.requests.length;
    answerUpgrade(responseBytes(status, 'no', [['Upgrade', 'websocket']]));
    using client = await RawClient.connect(proxy.port);
    client.write(Buffer.concat([requestBytes({ target: '/up', fields }), Buffer.from(HIDDEN)]));
    const answer = await client.response();
    t.match(answer, { status, body: Buffer.from('no') });
    t.equal((await client.response()).body.toString(), '/hidden');
    const [asked, hidden] = backend.requests.slice(from);
    t.strictSame(field(asked, 'sec-websocket-version'), fields.find(([name]) => name.endsWith('Version'))?.[1], 'the version is the backend’s business');
    t.match(field(hidden, 'via'), /switchyard/, 'it was read and written like any request');
    t.notMatch(field(hidden, 'x-forwarded-for'), '10.0.0.1');
  }
});

t.test('garbage behind it is refused, and no byte of it reaches the backend', async (t) => {
  answerUpgrade(responseBytes(426, 'no'));
  using client = await RawClient.connect(proxy.port);
  const seen = backend.request(backend.requests.length);
  client.write(Buffer.concat([requestBytes({ target: '/up', fields: WEBSOCKET }), Buffer.from('\x81\x05hello')]));
  t.equal((await client.response()).status, 426);
  t.equal((await client.response()).status, 400);
  t.equal(await client.closed(), 'end');
  const { connection, head } = await seen;
  await sleep(50);
  t.equal(connection.pending.length, 0);
  t.ok(connection.total >= head.length);
});

t.test('a switch to what was not asked for is a bad answer', async (t) => {
  const cases: readonly (readonly [string, Fields, string])[] = [
    ['another protocol', WEBSOCKET, switching('Connection: Upgrade', 'Upgrade: h2c')],
    ['a version of it', WEBSOCKET, switching('Connection: Upgrade', 'Upgrade: websocket/2')],
    ['two', WEBSOCKET, switching('Connection: Upgrade', 'Upgrade: websocket, echo')],
    ['two lines', WEBSOCKET, switching('Connection: Upgrade', 'Upgrade: websocket', 'Upgrade: websocket')],
    ['an empty one', WEBSOCKET, switching('Connection: Upgrade', 'Upgrade:')],
    ['none', WEBSOCKET, switching('Connection: Upgrade')],
    ['nothing was asked', [], SWITCHED],
    [
      'h2c was',
      [
        ['Connection', 'Upgrade, HTTP2-Settings'],
        ['Upgrade', 'h2c'],
        ['HTTP2-Settings', 'AAMAAABkAAQAAP__'],
      ],
      switching('Connection: Upgrade', 'Upgrade: h2c'),
    ],
    [
      'a list with h2c was',
      [
        ['Connection', 'Upgrade'],
        ['Upgrade', 'websocket, h2c'],
      ],
      SWITCHED,
    ],
    [
      'two lines were',
      [
        ['Connection', 'Upgrade'],
        ['Upgrade', 'websocket'],
        ['Upgrade', 'echo'],
      ],
      SWITCHED,
    ],
    ['Connection did not name it', [['Upgrade', 'websocket']], SWITCHED],
    ['with a body', [...WEBSOCKET, ['Content-Length', '5']], SWITCHED],
  ];
  for (const [what, fields, answer] of cases) {
    answerUpgrade(`${answer}${responseBytes(200, 'from the tunnel').toString('latin1')}`);
    using client = await RawClient.connect(proxy.port);
    const body = fields.some(([name]) => name === 'Content-Length') ? '12345' : undefined;
    const counts = await countedDuring(proxy, async () => {
      const seen = backend.request(backend.requests.length);
      client.write(Buffer.concat([requestBytes({ target: '/up', fields, body }), Buffer.from(HIDDEN)]));
      t.match(await client.response(), { status: 502, head: /bad-response/ }, what);
      t.not(await (await seen).connection.closed(), 'open', 'its connection is gone');
      t.equal((await client.response()).body.toString(), '/hidden', 'and what followed is a request');
    });
    t.match(counts, { started: 2, completed: 1, upstreamFailed: 1 }, what);
  }
});

t.test('an upgrade of HTTP/1.0, or with a chunked body, is a plain request', async (t) => {
  answerUpgrade(responseBytes(200, 'plain'));
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
  for (const bytes of [
    `GET /up HTTP/1.0\r\n${upgrade}\r\n`,
    `POST /up HTTP/1.1\r\nHost: a\r\n${upgrade}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
  ]) {
    const seen = backend.request(backend.requests.length);
    using client = await RawClient.connect(proxy.port);
    client.write(bytes);
    t.equal((await client.response()).body.toString(), 'plain');
    t.equal(field(await seen, 'upgrade'), null);
  }
});

t.test('any of those that were asked for may be switched to; framing fields of the 101 mean nothing', async (t) => {
  const asked: Fields = [
    ['Connection', 'keep-alive, Upgrade'],
    ['Upgrade', 'echo/2, WebSocket'],
  ];
  for (const protocol of ['websocket', 'echo/2', 'Echo/2']) {
    backend.use((_, connection) => {
      connection.write(`${switching('Connection: Upgrade', `Upgrade: ${protocol}`, 'Content-Length: 3')}first words`);
      return 'taken';
    });
    const seen = backend.request(backend.requests.length);
    using client = await RawClient.connect(proxy.port);
    client.write(requestBytes({ target: '/up', fields: asked }));
    const answer = await client.response();
    t.equal(answer.status, 101);
    t.equal(field(answer, 'content-length'), null);
    t.equal(field(await seen, 'upgrade'), 'echo/2, WebSocket');
    t.equal((await client.take(11)).toString(), 'first words');
    client.write('GET / HTTP/1.1\r\n\r\n');
    t.equal(await (await seen).connection.takeUntil('\r\n\r\n'), 'GET / HTTP/1.1\r\n\r\n', 'now it is a tunnel');
    client.reset();
  }
  await settledCounts(proxy);
});

let opened = 0;

async function open(path = '/open'): Promise<{ client: RawClient; connection: UpstreamConnection }> {
  const target = `${path}/${++opened}`;
  backend.use((_, connection) => {
    connection.write(SWITCHED);
    return 'taken';
  }, target);
  const client = new RawClient(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }));
  client.write(requestBytes({ target, fields: WEBSOCKET }));
  t.equal((await client.response()).status, 101);
  return { client, connection: (await backend.requestTo(target)).connection };
}

t.test('a tunnel with one end closed lives as long as a body may pause, and while there are bytes', async (t) => {
  const whole = await open('/pausing');
  t.equal((await versionState(proxy, 'pausing')).inFlight, 1, 'it is in flight');
  const [byClient, byBackend] = await undisturbed(PAUSE_MS / 2, async () => {
    const halves = [await open('/pausing'), await open('/pausing')];
    halves[0].client.end();
    halves[1].connection.end();
    for (let i = 0; i < 6; i++) {
      await sleep(PAUSE_MS / 3);
      halves[0].connection.write('.');
      halves[1].client.write('.');
    }
    // Twice as long as they may be silent.
    await halves[0].client.take(6);
    await halves[1].connection.take(6);
    return halves;
  });
  t.equal(await byClient.client.closed(), 'end');
  t.not(await byBackend.connection.closed(), 'open');
  await eventually('two of three to be over', async () => (await versionState(proxy, 'pausing')).inFlight === 1);
  whole.client.write('still here');
  t.equal((await whole.connection.take(10)).toString(), 'still here', 'one that nobody has closed may be silent longer');
  for (const { client, connection } of [whole, byClient, byBackend]) {
    client.destroy();
    connection.destroy();
  }
  await settledCounts(proxy, 'pausing');
});

t.test('the books of a tunnel close with it, though its last bytes are still on their way', async (t) => {
  const { client, connection } = await open('/pausing');
  connection.socket.pause();
  connection.end();
  // More than the kernels take.
  client.write(Buffer.alloc(24_000_000));
  const over = await eventually('the tunnel to be over', async () => {
    const version = await versionState(proxy, 'pausing');
    return version.inFlight === 0 ? version : null;
  });
  t.equal(over.backends[0].openSockets, 0, 'the row may be that of another version from now on');
  const before = connection.total;
  connection.socket.resume();
  t.equal(await connection.closed(), 'end', 'what the proxy had taken is sent, and then an end');
  t.ok(connection.total > before, `${connection.total} bytes`);
  await sleep(100);
  t.equal((await versionState(proxy, 'pausing')).backends[0].openSockets, 0, 'and nothing is written to that row afterwards');
  client.destroy();
});
