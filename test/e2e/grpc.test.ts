import { once } from 'node:events';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import {
  Metadata,
  status,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import t from 'tap';
import { Authority } from '../helpers/certificates.ts';
import { ECHO, EchoClient, HEALTH, grpcServer } from '../helpers/grpc.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import type { Teardown } from '../helpers/temp.ts';
import { eventually, sleep } from '../helpers/wait.ts';

const same = (bytes: Buffer): Buffer => bytes;

/** What the server has seen. */
interface Seen {
  /** What was asked for by calls that were cancelled. */
  cancelled: Set<string>;
  metadata: Metadata[];
}

function echo(seen: Seen = { cancelled: new Set(), metadata: [] }) {
  return {
    Unary(call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
      seen.metadata.push(call.metadata);
      const text = call.request.toString();
      call.on('cancelled', () => seen.cancelled.add(text));
      const trailers = new Metadata();
      trailers.set('x-told', 'yes');
      if (text === 'wrong') return done({ code: status.INVALID_ARGUMENT, details: 'that is ünwise', metadata: trailers });
      if (text.startsWith('never')) return undefined;
      done(null, Buffer.from(`echo ${text}`), trailers);
    },
    Gather(call: ServerReadableStream<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
      let size = 0;
      call.on('data', (chunk: Buffer) => (size += chunk.length));
      call.on('end', () => done(null, Buffer.from(`${size}`)));
    },
    Spread(call: ServerWritableStream<Buffer, Buffer>): void {
      const [count, size] = call.request.toString().split(' ').map(Number);
      call.on('cancelled', () => seen.cancelled.add(call.request.toString()));
      for (let i = 0; i < count; i++) call.write(Buffer.alloc(size, i));
      if (size !== 1) call.end();
    },
    Chat(call: ServerDuplexStream<Buffer, Buffer>): void {
      call.on('data', (chunk: Buffer) => call.write(Buffer.from(`you said ${chunk.toString()}`)));
      call.on('end', () => call.end());
    },
  };
}

/** A backend that sends one message and then, when it is told to, is gone. */
class Leaver {
  readonly address: string;
  private readonly sessions: readonly ServerHttp2Session[];

  private constructor(address: string, sessions: readonly ServerHttp2Session[]) {
    this.address = address;
    this.sessions = sessions;
  }

  static async start(t: Teardown): Promise<Leaver> {
    const sessions: ServerHttp2Session[] = [];
    const server = createServer().on('session', (session) => void sessions.push(session));
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => undefined);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.write(Buffer.from('\0\0\0\0\x04half'));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.teardown(() => server.close());
    return new Leaver(`127.0.0.1:${(server.address() as AddressInfo).port}`, sessions);
  }

  leave(): void {
    for (const session of this.sessions) session.destroy();
  }
}

const H2 = { protocol: 'h2', health: { kind: 'none' } };

async function proxied(
  t: Teardown,
  address: string,
  more: Record<string, unknown> = {},
  top: Record<string, unknown> = {},
): Promise<{ proxy: Proxy; echo: EchoClient }> {
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, http2: true }],
    accessLog: 'full',
    dataThreads: 1,
    ...top,
    upstreams: { web: catchAll({ v1: [address] }, 'v1', { ...H2, ...more }) },
  });
  return { proxy, echo: new EchoClient(t, port) };
}

t.test('calls of each kind, with metadata and statuses both ways', async (t) => {
  const seen: Seen = { cancelled: new Set(), metadata: [] };
  const { proxy, echo: client } = await proxied(t, await grpcServer(t, [[ECHO, echo(seen)]]), { timeouts: { head: '3s' } });

  await t.test('unary', async (t) => {
    const metadata = new Metadata();
    metadata.set('x-asked', 'plain');
    metadata.set('x-asked-bin', Buffer.from([0, 1, 255]));
    const ended = await client.unary('hello', { metadata });
    t.match(ended, { code: status.OK, answer: 'echo hello' });
    t.strictSame(ended.metadata.get('x-told'), ['yes'], 'trailers come through');
    t.strictSame(seen.metadata[0].get('x-asked'), ['plain']);
    t.strictSame(seen.metadata[0].get('x-asked-bin'), [Buffer.from([0, 1, 255])]);
  });

  await t.test('a failure, in a head that is all there is', async (t) => {
    const ended = await client.unary('wrong');
    t.match(ended, { code: status.INVALID_ARGUMENT, details: 'that is ünwise', answer: '' });
    t.strictSame(ended.metadata.get('x-told'), ['yes']);
  });

  await t.test('a method that is not there', async (t) => {
    const code = await new Promise((resolve) => {
      client.client.makeUnaryRequest('/test.Echo/Nothing', same, same, Buffer.alloc(0), (error) => resolve(error?.code));
    });
    t.equal(code, status.UNIMPLEMENTED);
  });

  await t.test('the client streams, more than any window holds', async (t) => {
    const answer = await new Promise<string>((resolve, reject) => {
      const call = client.client.makeClientStreamRequest('/test.Echo/Gather', same, same, (error, value) =>
        error === null ? resolve(value!.toString()) : reject(error),
      );
      for (let i = 0; i < 100; i++) call.write(Buffer.alloc(50_000));
      call.end();
    });
    t.equal(answer, '5000000');
  });

  await t.test('the server streams, to a slow reader', async (t) => {
    const call = client.client.makeServerStreamRequest('/test.Echo/Spread', same, same, Buffer.from('100 50000'));
    let size = 0;
    for await (const chunk of call as AsyncIterable<Buffer>) {
      if (size === 0) await sleep(200);
      size += chunk.length;
    }
    t.equal(size, 5_000_000);
  });

  await t.test('both talk in turns', async (t) => {
    const call = client.client.makeBidiStreamRequest('/test.Echo/Chat', same, same);
    const ended = once(call, 'status');
    for (const word of ['a', 'b', 'c']) {
      call.write(Buffer.from(word));
      const [answer] = (await once(call, 'data')) as [Buffer];
      t.equal(answer.toString(), `you said ${word}`);
    }
    t.match(await eventually('in flight as a stream', async () => /"streams":1/.exec(JSON.stringify((await proxy.admin('/v1/upstreams/web')).json))), [
      '"streams":1',
    ]);
    call.end();
    call.resume();
    t.match(await ended, [{ code: status.OK }]);
  });

  await t.test('a deadline of the client ends the call there and at the server', async (t) => {
    t.match(await client.unary('never: a deadline', { deadline: Date.now() + 1_500 }), { code: status.DEADLINE_EXCEEDED });
    await eventually('cancelled at the server', () => seen.cancelled.has('never: a deadline'));
  });

  await t.test('the head deadline of the upstream is a 504, which is UNAVAILABLE', async (t) => {
    t.match(await client.unary('never: a head'), { code: status.UNAVAILABLE });
  });

  await t.test('a cancelled stream is cancelled at the server', async () => {
    const call = client.client.makeServerStreamRequest('/test.Echo/Spread', same, same, Buffer.from('3 1'));
    call.on('error', () => undefined);
    await once(call, 'data');
    call.cancel();
    await eventually('cancelled at the server', () => seen.cancelled.has('3 1'));
    await eventually('nothing is in flight', async () => /"inFlight":0/.test(JSON.stringify((await proxy.admin('/v1/upstreams/web')).json)));
  });

  await t.test('all of it over one connection', async (t) => {
    const { json } = await proxy.admin('/v1/upstreams/web');
    t.match(json, { protocol: 'h2', versions: [{ backends: [{ openSockets: 1 }] }] });
  });
});

t.test('over TLS, with the health checks of gRPC', async (t) => {
  const authority = await Authority.create(t);
  let serving = 1;
  const asked: string[] = [];
  const health = {
    Check(call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
      asked.push(call.request.toString('latin1'));
      done(null, Buffer.from([0x08, serving]));
    },
  };
  const address = await grpcServer(
    t,
    [
      [ECHO, echo()],
      [HEALTH, health],
    ],
    await authority.issue(),
  );
  const { proxy, echo: client } = await proxied(t, address, {
    tls: { ca: authority.certFile },
    health: { kind: 'grpc', service: 'test.Echo', interval: '50ms', fall: 1 },
  });
  t.match(await client.unary('hello'), { code: status.OK, answer: 'echo hello' });
  t.equal(asked[0], '\n\x09test.Echo');
  serving = 2;
  await eventually('NOT_SERVING is the evidence', async () =>
    /the service says NOT_SERVING/.test(JSON.stringify((await proxy.admin('/v1/upstreams/web')).json)),
  );
});

t.test('a swap while calls are under way fails none', async (t) => {
  const [one, two] = [await grpcServer(t, [[ECHO, echo()]]), await grpcServer(t, [[ECHO, echo()]])];
  const { proxy, echo: client } = await proxied(t, one);
  const long = client.client.makeBidiStreamRequest('/test.Echo/Chat', same, same);
  long.write(Buffer.from('before'));
  await once(long, 'data');
  let running = true;
  const codes: Record<number, number> = {};
  const callers = Array.from({ length: 8 }, async () => {
    while (running) {
      const { code } = await client.unary('x');
      codes[code] = (codes[code] ?? 0) + 1;
    }
  });
  await eventually('calls', () => codes[status.OK] > 50);
  const swapped = await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: [two] } });
  t.equal(swapped.status, 202);
  await eventually('v2 is live', async () => /"split":\{"v2":100\}/.test(JSON.stringify((await proxy.admin('/v1/upstreams/web')).json)));
  const before = codes[status.OK];
  await eventually('more calls', () => codes[status.OK] > before + 50);
  running = false;
  await Promise.all(callers);
  t.strictSame(Object.keys(codes), [`${status.OK}`], `${codes[0]} calls`);
  long.write(Buffer.from('after'));
  t.equal(((await once(long, 'data')) as [Buffer])[0].toString(), 'you said after', 'the stream goes on at the outgoing version');
  const ended = once(long, 'status');
  long.end();
  long.resume();
  t.match(await ended, [{ code: status.OK }]);
  const receipt = await eventually('released', async () => {
    const answer = await proxy.admin('/v1/upstreams/web/versions/v1/receipt');
    return answer.status === 200 ? answer.json : null;
  });
  t.match(receipt, { counts: { clientAborted: 0, upstreamFailed: 0, killed: 0 } });
});

t.test('a call may be silent for long in both directions, and is cut at the drain deadline of streams', async (t) => {
  const [one, two] = [await grpcServer(t, [[ECHO, echo()]]), await grpcServer(t, [[ECHO, echo()]])];
  const short = { timeouts: { idle: '1s', head: '1s' }, drain: { requests: '100ms', tunnels: '600ms' } };
  const { proxy, echo: client } = await proxied(t, one, short, { timeouts: { body: '1s' }, limits: { bodyRate: 1_000_000 } });
  const call = client.client.makeBidiStreamRequest('/test.Echo/Chat', same, same);
  const ended = new Promise((resolve) => call.on('status', resolve));
  call.on('error', () => undefined);
  call.write(Buffer.from('a'));
  await once(call, 'data');
  await sleep(2_000);
  call.write(Buffer.from('b'));
  t.equal(((await once(call, 'data')) as [Buffer])[0].toString(), 'you said b');
  call.resume();
  t.equal((await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v2', backends: [two] } })).status, 202);
  t.match(await ended, { code: status.UNAVAILABLE, details: 'The drain deadline of this version has passed.' }, 'it may be asked for again');
  const receipt = await eventually('released', async () => {
    const answer = await proxy.admin('/v1/upstreams/web/versions/v1/receipt');
    return answer.status === 200 ? answer.json : null;
  });
  t.match(receipt, { killedByKind: { http: 0, stream: 1, tunnel: 0 } });
});

t.test('what the proxy itself has to say ends a call as gRPC does', async (t) => {
  const seen: Seen = { cancelled: new Set(), metadata: [] };
  const [one, two] = [await grpcServer(t, [[ECHO, echo(seen)]]), await grpcServer(t, [[ECHO, echo()]])];
  const routes = [{ path: '/test.Echo/' }];
  const limits = { routes, limits: { body: 1_000 }, timeouts: { head: '1500ms' }, drain: { requests: '100ms' } };
  const { proxy, echo: client } = await proxied(t, one, limits);
  const ended = (path: string, message: string): Promise<unknown> =>
    new Promise((resolve) => client.client.makeUnaryRequest(path, same, same, Buffer.from(message), (error) => resolve(error)));
  const swapTo = async (to: string, address: string): Promise<void> => {
    const body = { to, backends: [address] };
    // The swap before may still wait for the acks of its drain.
    await eventually(`the swap to ${to}`, async () => (await proxy.admin('/v1/upstreams/web/swap', { body })).status === 202, 20_000);
    await eventually(`${to} is live`, async () => (await proxy.admin('/v1/upstreams/web')).text.includes(`"split":{"${to}":100}`), 20_000);
  };

  await t.test('a service that is not routed is not implemented', async (t) => {
    t.match(await ended('/other.Service/Do', ''), { code: status.UNIMPLEMENTED, details: 'No route matches this host and path.' });
  });
  await t.test('a message that is too large', async (t) => {
    t.match(await ended('/test.Echo/Unary', 'x'.repeat(2_000)), { code: status.RESOURCE_EXHAUSTED });
  });
  await t.test('a server that does not answer in time', async (t) => {
    t.match(await client.unary('never'), { code: status.UNAVAILABLE, details: 'The backend did not answer in time.' });
  });
  await t.test('a server that goes in the middle of its answer', async (t) => {
    const gone = await Leaver.start(t);
    await swapTo('v2', gone.address);
    const call = client.client.makeServerStreamRequest('/test.Echo/Spread', same, same, Buffer.alloc(0));
    const over = new Promise((resolve) => call.on('status', resolve));
    call.on('error', () => undefined);
    const [message] = (await once(call, 'data')) as [Buffer];
    t.equal(message.toString(), 'half');
    gone.leave();
    t.match(await over, { code: status.UNAVAILABLE, details: 'The backend ended its answer before it was complete.' });
    await swapTo('v3', two);
    t.match(await client.unary('x'), { code: status.OK }, 'the connection of the client goes on');
  });
  await t.test('nobody is there', async (t) => {
    await swapTo('v4', `127.0.0.1:${await freePort()}`);
    t.match(await client.unary('x'), { code: status.UNAVAILABLE, details: 'The connection to the backend could not be made.' });
    const { metadata } = await client.unary('x');
    t.match(metadata.get('proxy-status'), ['switchyard; error=connection_refused; details="dial-failed"']);
  });
});
