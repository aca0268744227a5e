import t from 'tap';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import type { UpstreamView } from '../../src/control/operations.ts';
import type { Receipt } from '../../src/pool/upstream.ts';
import { Backends } from '../helpers/backends.ts';
import { Events } from '../helpers/events.ts';
import { Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { eventually, sleep, within } from '../helpers/wait.ts';
import { verb } from './verb.ts';

const MESSAGE = 600_000;
/** Closes are spread over the last fifth before this deadline, and the first comes when they begin. */
const TUNNELS = '4s';

interface World {
  readonly proxy: Proxy;
  readonly backends: Backends;
  readonly events: Events;
}

async function start(t: Test): Promise<World> {
  const backends = await Backends.start(t);
  const v1 = await backends.listen('v1', 1);
  const proxy = await Proxy.start(t, {
    shutdown: { drain: '4s' },
    upstreams: {
      web: {
        routes: [{}],
        health: { interval: '200ms', admitInterval: '30ms' },
        drain: { requests: '1s', tunnels: TUNNELS },
        versions: { v1: { backends: v1 } },
      },
    },
  });
  return { proxy, backends, events: await Events.of(t, proxy.adminUrl) };
}

/** A WebSocket through the proxy, with what has come of it. */
class Socket {
  readonly ws: WebSocket;
  readonly messages: Buffer[] = [];
  readonly errors: Error[] = [];
  closed: { code: number; at: number } | null = null;

  constructor(t: Test, port: number, path: string) {
    this.ws = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    this.ws.on('message', (data: Buffer) => this.messages.push(data));
    this.ws.on('error', (error) => this.errors.push(error));
    this.ws.on('close', (code) => (this.closed = { code, at: performance.now() }));
    t.teardown(() => this.ws.terminate());
  }

  async text(index: number): Promise<string> {
    return (await eventually(`message ${index}`, () => this.messages[index])).toString();
  }
}

async function swap({ proxy, backends, events }: World): Promise<void> {
  await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: await backends.listen('v2', 1) } });
  await events.wait('draining', 'v1');
}

async function receipt({ proxy, events }: World): Promise<Receipt> {
  await events.wait('released', 'v1', 30_000);
  return (await proxy.admin('/v1/upstreams/web/versions/v1/receipt')).json as Receipt;
}

async function view({ proxy }: World): Promise<UpstreamView> {
  return (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
}

t.test('a WebSocket works on during the drain and is closed with 1012 at its deadline', async (t) => {
  const world = await start(t);
  const old = new Socket(t, world.proxy.port, '/ws');
  t.equal(await old.text(0), 'hello from v1');
  await swap(world);
  const drained = performance.now();
  t.match(
    (await view(world)).versions.find(({ id }) => id === 'v1'),
    { phase: 'draining', inFlight: 1, tunnels: 1, streams: 0 },
  );
  t.match((await verb(world.proxy, 'status', 'web')).stdout, /v1 .*draining.*1/);
  const young = new Socket(t, world.proxy.port, '/ws');
  t.equal(await young.text(0), 'hello from v2', 'a new one goes to the new version');
  old.ws.send('still there?');
  t.equal(await old.text(1), 'still there?', 'the old one still echoes');
  const { code, at } = await eventually('the close', () => old.closed, 30_000);
  t.equal(code, 1012);
  t.ok(at - drained > 500, 'not before the closes begin');
  t.strictSame(old.errors, []);
  const { counts, killedByKind } = await receipt(world);
  t.match(counts, { started: 1, completed: 0, killed: 1 });
  t.strictSame(killedByKind, { http: 0, stream: 0, tunnel: 1 });
  await eventually('its backend to be told', async () => (await world.backends.record('v1')).held === 0);
  young.ws.send('and you?');
  t.equal(await young.text(1), 'and you?');
});

t.test('the close comes between two frames, even while large messages in fragments pass', async (t) => {
  const world = await start(t);
  const socket = new Socket(t, world.proxy.port, '/ws?flood');
  await eventually('messages', () => socket.messages.length > 2);
  await swap(world);
  const before = socket.messages.length;
  t.equal((await eventually('the close', () => socket.closed, 30_000)).code, 1012);
  t.ok(socket.messages.length > before, 'messages went on during the drain');
  t.strictSame(socket.errors, [], 'no frame is broken');
  t.ok(
    socket.messages.every(({ length }) => length === MESSAGE),
    `${socket.messages.length} messages, all whole`,
  );
  t.match((await receipt(world)).killedByKind, { tunnel: 1 });
});

t.test('a WebSocket client that does not read is cut, and does not hold up the release', async (t) => {
  const world = await start(t);
  const stuck = new Socket(t, world.proxy.port, '/ws?flood');
  await eventually('a message', () => stuck.messages.length > 0);
  stuck.ws.pause();
  await swap(world);
  t.match((await receipt(world)).killedByKind, { tunnel: 1 });
});

t.test('an event stream ends cleanly after a whole event', async (t) => {
  const world = await start(t);
  using client = await RawClient.connect(world.proxy.port);
  const answered = client.request({ target: '/events?size=3000' }, 30_000);
  await eventually('events', () => client.total > 10_000);
  await swap(world);
  t.match(
    (await view(world)).versions.find(({ id }) => id === 'v1'),
    { phase: 'draining', inFlight: 1, tunnels: 0, streams: 1 },
  );
  const before = client.total;
  await eventually('more events', () => client.total > before + 10_000);
  const { killedByKind, counts } = await receipt(world);
  t.strictSame(killedByKind, { http: 0, stream: 1, tunnel: 0 });
  t.match(counts, { started: 1, killed: 1 });
  const { status, framing, body } = await answered;
  t.strictSame({ status, framing }, { status: 200, framing: 'chunked' }, 'the body is complete');
  const text = body.toString('latin1');
  t.match(text, /\ndata: end\n\n$/, 'the last event is whole');
  t.equal(text.split('\n\n').length - 1, text.split('id: ').length - 1, 'and so are the others');
  t.match(await client.request(), { status: 200 }, 'the connection can be used on');
  await eventually('its backend to be told', async () => (await world.backends.record('v1')).held === 0);
});

t.test('requests have a deadline of their own, long before that of streams', async (t) => {
  const world = await start(t);
  const socket = new Socket(t, world.proxy.port, '/ws');
  await socket.text(0);
  const slow = world.proxy.send({ target: '/hold' }, 30_000);
  await eventually('both', async () => (await world.backends.record('v1')).held === 2);
  await world.proxy.admin('/v1/upstreams/web/swap', {
    body: { to: 'v2', backends: await world.backends.listen('v2', 1), drain: { requests: '200ms', tunnels: '1h' } },
  });
  t.equal((await slow).status, 503);
  await sleep(300);
  socket.ws.send('on');
  t.equal(await socket.text(1), 'on');
  t.match(
    (await view(world)).versions.find(({ id }) => id === 'v1'),
    { phase: 'draining', inFlight: 1, tunnels: 1, counts: { killed: 1 } },
  );
  const explained = await verb(world.proxy, 'explain', 'web', 'v1');
  t.match(explained.stdout, /1 .*(tunnel|WebSocket)/i);
  socket.ws.close(1000);
  t.strictSame((await receipt(world)).counts, { started: 2, completed: 1, clientAborted: 0, upstreamFailed: 0, killed: 1 });
});

t.test('told to end, the proxy lets requests finish, closes WebSockets with 1012 and exits with 0', async (t) => {
  const world = await start(t);
  const socket = new Socket(t, world.proxy.port, '/ws');
  await socket.text(0);
  const slow = world.proxy.send({ target: '/hold' }, 30_000);
  using idle = await RawClient.connect(world.proxy.port);
  t.equal((await idle.request()).status, 200);
  await eventually('both', async () => (await world.backends.record('v1')).held === 2);
  const asked = performance.now();
  const ended = world.proxy.stop('SIGTERM');
  await eventually('readyz to say so', async () => (await world.proxy.admin('/readyz')).status === 503);
  const last = await idle.request().catch(() => null);
  // An idle connection is closed after a second; on a busy machine we may have been slower than that.
  if (last === null) t.ok(performance.now() - asked > 900 && idle.ending === 'end', 'closed, not reset');
  else t.match(last, { status: 200, head: /\r\nConnection: close\r\n/i }, 'a connection that was open may still ask');
  t.equal(await world.backends.letGo('v1'), 1);
  t.equal((await slow).status, 200);
  t.equal((await eventually('the close', () => socket.closed, 30_000)).code, 1012);
  t.strictSame(await within(30_000, 'the end', ended), { code: 0, signal: null }, world.proxy.output);
});
