import { once } from 'node:events';
import { connect, createServer } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { ControlLedger } from '../../src/ledger/control.ts';
import { EDGE } from '../../src/ledger/layout.ts';
import { ThreadLedger } from '../../src/ledger/thread.ts';
import { Backlog } from '../../src/listen/_h2-backlog.ts';
import { UnreadBodies } from '../../src/proxy/unread.ts';
import { FLAG, FRAME, H2Raw, post } from '../helpers/h2_raw.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import type { Teardown } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

const MIB = 1_048_576;
const STREAM_WINDOW = 262_144;
/** What may be read before a stream is known to be stalled. */
const READ = 65_536;

t.test('the window and what lies here are never more than the limit', (t) => {
  const ledger = new ControlLedger(1, 1);
  const all = new UnreadBodies(new ThreadLedger(ledger.buffer, 0), () => Infinity);
  let window = MIB;
  let calls = 0;
  const set = (size: number): boolean => {
    window = size;
    return ++calls > Infinity;
  };
  const backlog = new Backlog(MIB, all, { isShut: false, set });
  const stream = { unread: 0 };
  backlog.expect(65_536);
  backlog.settle();
  t.equal(calls, 0, 'while all is taken nothing changes');
  backlog.stall(stream);
  for (let came = 0; came < MIB; came += 65_536) {
    backlog.expect(65_536);
    t.ok(window + stream.unread + 65_536 <= MIB || window === 0, `${window} beside ${stream.unread}`);
    stream.unread += 65_536;
    backlog.settle();
    t.equal(ledger.edge(EDGE.unread), stream.unread);
  }
  t.equal(window, 0);
  const half = calls;
  for (; stream.unread > MIB / 2; stream.unread -= 16_384) {
    backlog.settle();
    t.ok(window + stream.unread <= MIB);
    t.ok(calls <= half + 4);
  }
  backlog.flow(stream);
  backlog.settle();
  t.equal(ledger.edge(EDGE.unread), stream.unread, 'what is read again still lies here');
  t.ok(window + stream.unread <= MIB);
  backlog.stall(stream);
  backlog.flow(stream);
  stream.unread = 0;
  backlog.settle();
  t.equal(window, MIB);
  t.equal(ledger.edge(EDGE.unread), 0);
  t.end();
});

t.test('others wait only while the client may send next to nothing, and who had to is told of', (t) => {
  const ledger = new ControlLedger(1, 1);
  const all = new UnreadBodies(new ThreadLedger(ledger.buffer, 0), () => Infinity);
  const window = { isShut: false, set: (): boolean => window.isShut };
  const backlog = new Backlog(MIB, all, window);
  const stream = { unread: 0 };
  window.isShut = true;
  t.notOk(backlog.isShut, 'nothing lies here');
  backlog.stall(stream);
  stream.unread = MIB;
  backlog.expect(1);
  t.ok(backlog.isShut);
  window.isShut = false;
  t.notOk(backlog.isShut, 'there is room beside it');
  t.notOk(backlog.settle());
  window.isShut = true;
  backlog.flow(stream);
  stream.unread = 0;
  t.ok(backlog.settle());
  t.notOk(backlog.settle());
  t.end();
});

t.test('past the limit of all, clients are held until there is room', (t) => {
  const ledger = new ControlLedger(1, 1);
  const all = new UnreadBodies(new ThreadLedger(ledger.buffer, 0), () => 100);
  const went: string[] = [];
  const [a, b] = ['a', 'b'].map((name) => ({ proceed: () => void went.push(name) }));
  all.change(100);
  t.notOk(all.isFull);
  all.change(50);
  t.ok(all.isFull);
  all.hold(a);
  all.hold(a);
  all.hold(b);
  t.equal(ledger.edge(EDGE.heldBack), 2);
  all.forget(b);
  all.change(-10);
  t.strictSame(went, []);
  all.change(-40);
  t.strictSame(went, ['a']);
  t.end();
});

/** A backend that reads no body before it is told to, and answers with what it has got then. */
class Sluggish {
  readonly streams: ServerHttp2Stream[] = [];
  address = '';
  private goes = false;

  static async start(): Promise<Sluggish> {
    const backend = new Sluggish();
    const server = createServer({ settings: { initialWindowSize: 65_535, maxConcurrentStreams: 250 } });
    server.on('stream', (stream) => {
      backend.streams.push(stream as ServerHttp2Stream);
      stream.on('error', () => undefined);
      if (backend.goes) read(stream as ServerHttp2Stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    backend.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return backend;
  }

  go(): void {
    this.goes = true;
    for (const stream of this.streams) read(stream);
  }
}

function read(stream: ServerHttp2Stream): void {
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
  stream.on('end', () => {
    if (stream.destroyed) return;
    stream.respond();
    stream.end(String(bytes));
  });
}

/** A proxy with a backend that reads at `/quick`, and others that do not at `/a`, `/b`, `/c`. */
class World {
  readonly slow: Sluggish[] = [];
  proxy!: Proxy;
  port = 0;

  static async start(more: Record<string, unknown>): Promise<World> {
    const world = new World();
    world.port = await freePort();
    const common = { protocol: 'h2', health: { kind: 'none' }, outlier: false, timeouts: { head: '60s' } };
    const upstreams: Record<string, unknown> = {};
    for (const name of ['quick', 'a', 'b', 'c']) {
      const backend = await Sluggish.start();
      upstreams[name] = catchAll({ v1: [backend.address] }, 'v1', { ...common, routes: [{ path: `/${name}` }] });
      if (name === 'quick') backend.go();
      else world.slow.push(backend);
    }
    const listeners = [{ host: '127.0.0.1', port: world.port, http2: true }];
    world.proxy = await Proxy.start(t, { dataThreads: 1, listeners, upstreams, ...more });
    return world;
  }
}

function visit(t: Teardown, port: number): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000 });
  session.on('error', () => undefined);
  t.teardown(() => session.destroy());
  return session;
}

/** A POST, or a GET when there is no body; the answer is its status and text. */
function send(session: ClientHttp2Session, path: string, body: Buffer | null, ends = true): { stream: ClientHttp2Stream; answer: Promise<string> } {
  const stream = session.request({ ':method': body === null ? 'GET' : 'POST', ':path': path }, { endStream: body === null });
  const answer = new Promise<string>((resolve) => {
    let status = 0;
    let text = '';
    stream.on('response', (fields) => (status = Number(fields[':status'])));
    stream.setEncoding('latin1').on('data', (piece: string) => (text += piece));
    stream.on('error', () => undefined);
    stream.on('close', () => resolve(`${status} ${status === 200 ? text : ''}`));
  });
  if (body !== null && ends) stream.end(body);
  else if (body !== null) stream.write(body);
  return { stream, answer };
}

async function metric(proxy: Proxy, name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\S+)`, 'm').exec((await proxy.admin('/metrics')).text)?.[1]);
}

const unread = (proxy: Proxy): Promise<number> => metric(proxy, 'switchyard_unread_body_bytes');

/** What lies in the proxy when no more comes. */
async function settled(proxy: Proxy, least: number): Promise<number> {
  let [before, looks] = [-1, 0];
  return eventually('no more comes', async () => {
    const now = await unread(proxy);
    looks = now === before && now >= least ? looks + 1 : 0;
    before = now;
    return looks === 5 ? now : null;
  });
}

const world = await World.start({ timeouts: { body: '3s' } });
const small = await World.start({ limits: { unread: STREAM_WINDOW, unreadTotal: MIB } });

t.test('all streams of a client together have a window, and go on when they are read', async (t) => {
  const { proxy, port, slow } = world;
  const session = visit(t, port);
  const sent = Array.from({ length: 60 }, () => send(session, '/a', Buffer.alloc(400_000)));
  const bytes = await settled(proxy, MIB / 2);
  t.ok(bytes <= MIB + READ, `${bytes} bytes`);
  t.equal(await send(session, '/quick', null).answer, '200 0', 'others are answered on the same connection');
  slow[0].go();
  t.strictSame(new Set(await Promise.all(sent.map(({ answer }) => answer))), new Set(['200 400000']));
  await eventually('nothing is left', async () => (await unread(proxy)) === 0);
});

t.test('a stream that nobody reads leaves room for the others', async (t) => {
  const { proxy, port } = world;
  const session = visit(t, port);
  const stuck = send(session, '/b', Buffer.alloc(400_000));
  const bytes = await settled(proxy, STREAM_WINDOW / 2);
  t.ok(bytes <= STREAM_WINDOW + READ, `${bytes} bytes`);
  t.equal(await send(session, '/quick', Buffer.alloc(5_000_000)).answer, '200 5000000');
  stuck.stream.destroy();
  await eventually('what nobody will read is not counted', async () => (await unread(proxy)) === 0);
});

t.test('so that who sends nothing beside it has no excuse', async (t) => {
  const { proxy, port } = world;
  const client = await H2Raw.open(port);
  await client.until(({ type, flags }) => type === FRAME.settings && (flags & FLAG.ack) !== 0);
  client.headers(1, post('/b'), false);
  for (let i = 0; i < 16; i++) client.data(1, Buffer.alloc(16_384));
  t.ok((await settled(proxy, 1)) <= STREAM_WINDOW);
  client.headers(3, post('/quick'), false);
  client.data(3, 'x');
  t.equal(await client.status(3), 408);
  client.bytes.destroy();
  await eventually('it is gone', async () => (await unread(proxy)) === 0);
});

t.test('who waits for the room of others is not blamed for it', async (t) => {
  const { proxy, port } = world;
  const session = visit(t, port);
  const stuck = Array.from({ length: 8 }, () => send(session, '/c', Buffer.alloc(400_000)));
  await settled(proxy, MIB / 2);
  const innocent = send(session, '/quick', Buffer.alloc(STREAM_WINDOW));
  const idler = send(visit(t, port), '/quick', Buffer.alloc(1), false);
  t.equal(await idler.answer, '408 ', 'the time for a body is over');
  t.notOk(innocent.stream.closed);
  for (const { stream } of stuck) stream.destroy();
  t.equal(await innocent.answer, `200 ${STREAM_WINDOW}`);
});

t.test('a smaller limit', async (t) => {
  const { proxy, port, slow } = small;
  const session = visit(t, port);
  const sent = Array.from({ length: 3 }, () => send(session, '/a', Buffer.alloc(400_000)));
  t.ok((await settled(proxy, STREAM_WINDOW / 2)) <= STREAM_WINDOW + READ);
  slow[0].go();
  t.strictSame(new Set(await Promise.all(sent.map(({ answer }) => answer))), new Set(['200 400000']));
});

t.test('past the limit of the process clients with unread bodies are not read from', async (t) => {
  const { proxy, port, slow } = small;
  const sent = [];
  for (let i = 0; i < 8; i++) {
    const session = visit(t, port);
    for (let j = 0; j < 3; j++) sent.push(send(session, '/b', Buffer.alloc(400_000)));
  }
  await eventually('one is held back', async () => (await metric(proxy, 'switchyard_unread_body_holds_total')) > 0);
  const bytes = await settled(proxy, MIB / 2);
  t.ok(bytes <= MIB + 8 * READ, `${bytes} bytes`);
  t.equal(await send(visit(t, port), '/quick', Buffer.alloc(100_000)).answer, '200 100000', 'others are read from');
  slow[1].go();
  t.strictSame(new Set(await Promise.all(sent.map(({ answer }) => answer))), new Set(['200 400000']));
  await eventually('nothing is left', async () => (await unread(proxy)) === 0);
});
