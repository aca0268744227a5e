import { once } from 'node:events';
import { Client, credentials, status } from '@grpc/grpc-js';
import type { sendUnaryData, ServerDuplexStream, ServerReadableStream, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import t from 'tap';
import type { Receipt } from '../../src/pool/upstream.ts';
import { Authority } from '../helpers/certificates.ts';
import { ECHO, grpcServer } from '../helpers/grpc.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import type { Teardown } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

const ROUNDS = 6;
/** Every third swap goes by steps. They are not judged: a backend that stands still for a moment is no worse. */
const CANARY = [10, 40, 75].map((weight) => ({ weight, hold: '150ms' }));
const MESSAGES = 20;
const MESSAGE = Buffer.alloc(3_000, 'm');
const same = (bytes: Buffer): Buffer => bytes;

/** A backend whose answers begin with the name of its version. */
function version(t: Teardown, id: string): Promise<string> {
  return grpcServer(t, [
    [
      ECHO,
      {
        Unary: (_: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => done(null, Buffer.from(id)),
        Gather(call: ServerReadableStream<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
          let size = 0;
          call.on('data', (chunk: Buffer) => (size += chunk.length));
          call.on('end', () => done(null, Buffer.from(`${id} ${size}`)));
        },
        Spread(call: ServerWritableStream<Buffer, Buffer>): void {
          call.write(Buffer.from(id));
          let left = MESSAGES;
          const timer = setInterval(() => {
            call.write(MESSAGE);
            if (--left > 0) return;
            clearInterval(timer);
            call.end();
          }, 10);
          call.on('cancelled', () => clearInterval(timer));
        },
        Chat(call: ServerDuplexStream<Buffer, Buffer>): void {
          call.on('data', (chunk: Buffer) => call.write(Buffer.from(`${id} ${chunk.toString()}`)));
          call.on('end', () => call.end());
        },
      },
    ],
  ]);
}

interface Ended {
  readonly kind: string;
  readonly version: string;
  /** '' = OK, and with all that belongs to it. */
  readonly problem: string;
}

type Failure = { code?: number; details?: string } | null;
const problemOf = (error: Failure): string => (error === null ? '' : `${error.code}: ${error.details}`);

const KINDS: Readonly<Record<string, (client: Client) => Promise<Omit<Ended, 'kind'>>>> = {
  unary: (client) =>
    new Promise((resolve) => {
      client.makeUnaryRequest('/test.Echo/Unary', same, same, MESSAGE, (error, value) => resolve({ version: String(value), problem: problemOf(error) }));
    }),
  'client streams': (client) =>
    new Promise((resolve) => {
      const call = client.makeClientStreamRequest('/test.Echo/Gather', same, same, (error, value) => {
        const [id, size] = String(value).split(' ');
        resolve({ version: id, problem: problemOf(error) || (size === `${MESSAGES * MESSAGE.length}` ? '' : `the backend has got ${size} bytes`) });
      });
      let left = MESSAGES;
      const timer = setInterval(() => {
        call.write(MESSAGE);
        if (--left > 0) return;
        clearInterval(timer);
        call.end();
      }, 10);
    }),
  'server streams': (client) =>
    new Promise((resolve) => {
      const call = client.makeServerStreamRequest('/test.Echo/Spread', same, same, Buffer.alloc(0));
      const got: Buffer[] = [];
      call.on('data', (message: Buffer) => got.push(message));
      call.on('error', () => undefined);
      call.on('status', ({ code, details }) =>
        setImmediate(() => {
          const problem = code === status.OK ? '' : `${code}: ${details}`;
          resolve({ version: String(got[0]), problem: problem || (got.length === MESSAGES + 1 ? '' : `${got.length - 1} messages`) });
        }),
      );
    }),
};

t.test(`${ROUNDS} swaps, some by canary, over TLS while calls of each kind are under way: each ends well`, { timeout: 170_000 }, async (t) => {
  const authority = await Authority.create(t);
  const pair = await authority.issue();
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, tls: { certificates: [{ cert: pair.certFile, key: pair.keyFile }] } }],
    upstreams: {
      web: catchAll({ v0: [await version(t, 'v0')] }, 'v0', { protocol: 'h2', health: { kind: 'tcp', interval: '200ms', admitInterval: '30ms' } }),
    },
  });
  const open = (): Client => {
    // Each with a connection of its own: by itself this client shares one for all.
    const client = new Client(`localhost:${port}`, credentials.createSsl(Buffer.from(authority.cert)), { 'grpc.use_local_subchannel_pool': 1 });
    t.teardown(() => client.close());
    return client;
  };
  const clients = [open(), open()];
  const ended: Ended[] = [];
  let running = true;
  const callers = clients.flatMap((client) =>
    Object.entries(KINDS).flatMap(([kind, call]) =>
      Array.from({ length: kind === 'unary' ? 6 : 3 }, async () => {
        while (running) ended.push({ kind, ...(await call(client)) });
      }),
    ),
  );
  const long = clients[0].makeBidiStreamRequest('/test.Echo/Chat', same, same);
  const say = async (word: string): Promise<string> => {
    const heard = once(long, 'data');
    long.write(Buffer.from(word));
    return String(((await heard) as [Buffer])[0]);
  };
  t.equal(await say('before'), 'v0 before');
  await eventually('calls of each kind', () => Object.keys(KINDS).every((kind) => ended.some((one) => one.kind === kind)), 20_000);

  const receiptOf = (id: string): Promise<Receipt> =>
    eventually(
      `the receipt of ${id}`,
      async () => {
        const answer = await proxy.admin(`/v1/upstreams/web/versions/${id}/receipt`);
        return answer.status === 200 ? (answer.json as Receipt) : null;
      },
      20_000,
    );
  const live = (id: string): Promise<unknown> =>
    eventually(`${id} is live`, async () => JSON.stringify((await proxy.admin('/v1/upstreams/web')).json).includes(`"split":{"${id}":100}`), 20_000);
  for (let n = 1; n <= ROUNDS; n++) {
    // The long call is at v0: that is still draining while the others come and go.
    const body = { to: `v${n}`, backends: [await version(t, `v${n}`)], ...(n % 3 === 2 ? { strategy: { canary: CANARY, analysis: false } } : {}) };
    await eventually(`the swap to v${n} may begin`, async () => (await proxy.admin('/v1/upstreams/web/swap', { body })).status === 202, 20_000, 50);
    await live(`v${n}`);
    if (n === 1) {
      t.equal(await say('after'), 'v0 after', 'a long call goes on where it is');
      const over = once(long, 'status');
      long.end();
      long.resume();
      t.match(await over, [{ code: status.OK }]);
    }
    await receiptOf(`v${n - 1}`);
    await eventually(`calls at v${n}`, () => Object.keys(KINDS).every((kind) => ended.some((one) => one.kind === kind && one.version === `v${n}`)), 20_000);
  }
  running = false;
  await Promise.all(callers);
  t.comment(`${ended.length} calls`);
  t.strictSame(ended.filter(({ problem }) => problem !== '').slice(0, 3), [], 'no call has failed');
  let started = 0;
  for (let n = 0; n < ROUNDS; n++) {
    const { counts } = await receiptOf(`v${n}`);
    started += counts.started;
    t.strictSame([counts.completed, counts.killed, counts.upstreamFailed, counts.clientAborted], [counts.started, 0, 0, 0], `v${n}: ${counts.started} calls`);
  }
  const atLast = ended.filter(({ version: id }) => id === `v${ROUNDS}`).length;
  t.equal(started + atLast, ended.length + 1, 'each call was counted once, at one version');
});

t.test('a call that outlives the drain is cut, with a status that its client understands, and counted', async (t) => {
  const port = await freePort();
  const proxy = await Proxy.start(t, {
    listeners: [{ host: '127.0.0.1', port, http2: true }],
    dataThreads: 1,
    upstreams: { web: catchAll({ v0: [await version(t, 'v0')] }, 'v0', { protocol: 'h2', drain: { requests: '100ms', tunnels: '500ms' } }) },
  });
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  t.teardown(() => client.close());
  const call = client.makeBidiStreamRequest('/test.Echo/Chat', same, same);
  const over = new Promise<number>((resolve) => call.on('status', ({ code }) => resolve(code)));
  call.on('error', () => undefined);
  call.write(Buffer.from('x'));
  await once(call, 'data');
  call.resume();
  t.equal((await proxy.admin('/v1/upstreams/web/swap', { body: { to: 'v1', backends: [await version(t, 'v1')] } })).status, 202);
  t.equal(await over, status.UNAVAILABLE, 'it may be asked for again');
  t.match(await KINDS.unary(client), { version: 'v1', problem: '' }, 'its connection goes on');
  const receipt = await eventually('the receipt', async () => {
    const answer = await proxy.admin('/v1/upstreams/web/versions/v0/receipt');
    return answer.status === 200 ? (answer.json as Receipt) : null;
  });
  t.match(receipt, { counts: { started: 1, killed: 1 }, killedByKind: { http: 0, stream: 1, tunnel: 0 } });
});
