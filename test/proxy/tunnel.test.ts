import t from 'tap';
import { once } from 'node:events';
import { connect } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import { eventually, sleep, undisturbed } from '../helpers/wait.ts';
import { countedDuring, settledCounts, versionState } from './counts.ts';

const raw = await RawUpstream.start(t);
const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: (offered) => offered.values().next().value ?? false });
await once(sockets, 'listening');
t.teardown(() => sockets.close());
const address = sockets.address();
const socketsPort = typeof address === 'object' && address !== null ? address.port : 0;
sockets.on('connection', (socket) => {
  socket.on('message', (data: Buffer, binary) => {
    if (!binary && String(data) === 'bye') socket.close(4001, 'as you wish');
    else socket.send(data, { binary });
  });
});

const policy = { health: { kind: 'none' }, timeouts: { tunnel: '2m' } };
/** How long a client of the second proxy may be slow. */
const HASTY_MS = 1_500;
const proxy = await Proxy.start(t, {
  upstreams: {
    raw: catchAll({ v1: [raw.address] }, 'v1', { ...policy, routes: [{ path: '/raw' }] }),
    idle: catchAll({ v1: [raw.address] }, 'v1', { ...policy, timeouts: { tunnel: '1s' }, routes: [{ path: '/idle' }] }),
    ws: catchAll({ v1: [`127.0.0.1:${socketsPort}`] }, 'v1', { ...policy, routes: [{ path: '/ws' }] }),
  },
});
const hasty = await Proxy.start(t, {
  timeouts: { body: HASTY_MS },
  upstreams: { raw: catchAll({ v1: [raw.address] }, 'v1', { ...policy, routes: [{ path: '/raw' }] }) },
});
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n';
const LARGE = Buffer.alloc(6_000_000, 'tunnelled ');

function upgrade(target: string): Buffer {
  return requestBytes({
    target,
    fields: [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'echo'],
    ],
  });
}

let opened = 0;

/** A raw tunnel, both ends of it. */
async function open(path = '/raw', { port } = proxy): Promise<{ client: RawClient; backend: UpstreamConnection }> {
  const target = `${path}/${++opened}`;
  raw.use((_, connection) => {
    connection.write(SWITCH);
    return 'taken';
  }, target);
  const client = new RawClient(connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
  client.write(upgrade(target));
  const { status } = await client.response();
  if (status !== 101) throw new Error(`not switched: ${status}`);
  return { client, backend: (await raw.requestTo(target)).connection };
}

t.test('a WebSocket, both ways', async (t) => {
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/ws`, ['chat', 'other']);
  await once(socket, 'open');
  t.equal(socket.protocol, 'chat');
  for (const message of ['hello', 'x'.repeat(70_000), 'y'.repeat(1_000_000)]) {
    socket.send(message);
    const [data] = (await once(socket, 'message')) as [Buffer];
    t.ok(data.toString() === message, `${message.length} bytes`);
  }
  socket.ping('are you there');
  const [pong] = (await once(socket, 'pong')) as [Buffer];
  t.equal(pong.toString(), 'are you there');
  const state = await versionState(proxy, 'ws');
  t.match(state, { inFlight: 1, tunnels: 1 }, 'it is shown as a tunnel in flight');
  socket.send('bye');
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  t.equal(code, 4001);
  t.equal(reason.toString(), 'as you wish');
  t.strictSame(await settledCounts(proxy, 'ws'), { started: 1, completed: 1, clientAborted: 0, upstreamFailed: 0, killed: 0 });
});

t.test('bytes sent together with the handshake are not lost', async (t) => {
  raw.use((_, connection) => {
    connection.write(`${SWITCH}from the start`);
    return 'taken';
  }, '/raw/together');
  using client = await RawClient.connect(proxy.port);
  client.write(Buffer.concat([upgrade('/raw/together'), Buffer.from('GET / HTTP/1.1 is not a request here\r\n\r\n')]));
  const response = await client.response();
  t.equal(field(response, 'upgrade'), 'echo');
  t.equal(field(response, 'connection'), 'Upgrade');
  t.equal((await client.take(14)).toString(), 'from the start');
  const seen = await raw.requestTo('/raw/together');
  const { connection } = seen;
  connection.socket.on('end', () => connection.end());
  t.equal(await connection.takeUntil('\r\n\r\n'), 'GET / HTTP/1.1 is not a request here\r\n\r\n');
  t.equal(field(seen, 'upgrade'), 'echo');
});

t.test('each side may finish before the other, and slow ones get everything', async (t) => {
  const counts = await countedDuring(
    proxy,
    async () => {
      const { client, backend } = await open();
      client.write('question');
      client.end();
      t.equal((await backend.take(8)).toString(), 'question');
      t.equal(await backend.closed(), 'end');
      client.socket.pause();
      backend.write(LARGE);
      backend.end();
      await sleep(50);
      client.socket.resume();
      const all = await client.takeAll();
      t.ok(all.equals(LARGE), `the client got ${all.length} of ${LARGE.length} bytes after its own end`);
      t.equal(client.ending, 'end');
      client.end();

      const second = await open();
      second.backend.write('last words');
      second.backend.end();
      t.equal((await second.client.take(10)).toString(), 'last words');
      t.equal(await second.client.closed(), 'end');
      second.backend.socket.pause();
      second.client.write(LARGE);
      second.client.end();
      await sleep(50);
      second.backend.socket.resume();
      await eventually('the backend has everything', () => second.backend.total >= LARGE.length);
      t.ok(second.backend.pending.subarray(-LARGE.length).equals(LARGE), 'so did the backend after its own end');
      t.equal(await second.backend.closed(), 'end');
    },
    'raw',
  );
  t.strictSame(counts, { started: 2, completed: 2, clientAborted: 0, upstreamFailed: 0, killed: 0 });
});

t.test('a tunnel that had to wait for its reader once lives on', async (t) => {
  const { client, backend } = await undisturbed(HASTY_MS / 3, async () => {
    const both = await open('/raw', hasty);
    both.client.socket.pause();
    both.backend.write(LARGE);
    await sleep(200);
    both.client.socket.resume();
    await both.client.take(LARGE.length);
    return both;
  });
  await sleep(HASTY_MS * 1.5);
  backend.write('still here');
  t.equal((await client.take(10)).toString(), 'still here');
  backend.socket.pause();
  client.write(LARGE);
  await sleep(HASTY_MS * 1.5);
  backend.socket.resume();
  t.ok((await backend.take(LARGE.length)).equals(LARGE), 'a backend may take its time');
  client.reset();
  await settledCounts(hasty, 'raw');
});

t.test('a client that does not read its tunnel is cut', async (t) => {
  const { client, backend } = await open('/raw', hasty);
  client.socket.pause();
  backend.write(Buffer.alloc(20_000_000));
  t.not(await backend.closed(), 'open');
  client.destroy();
});

t.test('an idle tunnel is closed', async (t) => {
  const { client, backend } = await open('/idle');
  client.socket.on('end', () => client.end());
  t.equal(await client.closed(), 'end');
  t.not(await backend.closed(), 'open');
  t.match(await settledCounts(proxy, 'idle'), { started: 1, completed: 1 });
});

t.test('who breaks a tunnel is counted', async (t) => {
  t.match(
    await countedDuring(
      proxy,
      async () => {
        const { client, backend } = await open();
        client.reset();
        t.not(await backend.closed(), 'open');
      },
      'raw',
    ),
    { started: 1, clientAborted: 1 },
  );
  t.match(
    await countedDuring(
      proxy,
      async () => {
        const { client, backend } = await open();
        backend.reset();
        t.not(await client.closed(), 'open');
      },
      'raw',
    ),
    { started: 1, upstreamFailed: 1 },
  );
});

t.test('a backend that does not switch answers like any other', async (t) => {
  using client = await RawClient.connect(proxy.port);
  for (const status of [200, 403, 426]) {
    raw.use(answer('no tunnel here', status));
    client.write(upgrade('/raw'));
    const response = await client.response();
    t.match(response, { status, body: Buffer.from('no tunnel here') });
    raw.use(answer('and a request'));
    t.equal((await client.request({ target: '/raw' })).body.toString(), 'and a request', 'the connection goes on');
  }
});

t.test('what is no upgrade is not passed as one', async (t) => {
  raw.use(answer('plain'));
  using client = await RawClient.connect(proxy.port);
  for (const fields of [
    [['Upgrade', 'echo']],
    [
      ['Connection', 'Upgrade, HTTP2-Settings'],
      ['Upgrade', 'h2c'],
      ['HTTP2-Settings', 'AAA'],
    ],
    [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'echo'],
      ['Content-Length', '0'],
    ],
  ] as [string, string][][]) {
    const [seen, response] = await Promise.all([raw.request(raw.requests.length), client.request({ target: '/raw', fields })]);
    t.equal(response.status, 200);
    t.equal(field(seen, 'upgrade'), null);
    t.equal(field(seen, 'connection'), null);
    t.equal(field(seen, 'http2-settings'), null);
  }
});
