import t from 'tap';
import { readFile } from 'node:fs/promises';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, responseBytes } from '../helpers/raw_upstream.ts';
import type { Script, SeenRequest, UpstreamConnection } from '../helpers/raw_upstream.ts';
import { whileStopped } from '../helpers/still.ts';
import { sleep, undisturbed } from '../helpers/wait.ts';
import { settledCounts } from './counts.ts';

const MIB = 1_048_576;
const UPLOAD = 200 * MIB;
const PIECE = Buffer.alloc(262_144, 'u');
const ROUNDS = 12;

const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: { failures: 0 } }) },
});

async function residentBytes(): Promise<number> {
  return Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${proxy.process.pid}/status`, 'latin1'))?.[1]) * 1024;
}

/** Resolves when there is room to write, something to read, or an end. */
async function stirred({ socket }: RawClient): Promise<void> {
  const events = ['drain', 'data', 'close'];
  await new Promise<void>((resolve) => {
    const done = (): void => {
      for (const event of events) socket.off(event, done);
      resolve();
    };
    for (const event of events) socket.on(event, done);
  });
}

/** Sends a large body as fast as it is taken, and stops when it has an answer. @returns bytes sent. */
async function upload(client: RawClient, target: string): Promise<number> {
  client.write(`POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${UPLOAD}\r\n\r\n`);
  let sent = 0;
  while (sent < UPLOAD && client.total === 0 && client.ending === 'open' && !client.socket.destroyed) {
    sent += PIECE.length;
    const taken = client.socket.write(PIECE);
    await (taken ? new Promise((resolve) => setImmediate(resolve)) : stirred(client));
  }
  return sent;
}

/** Lets some of the body come, so that the answer falls into the middle of it. */
async function some({ connection }: SeenRequest, bytes: number): Promise<void> {
  await connection.until(() => connection.total > bytes, 'some of the body');
}

const TOO_LARGE = responseBytes(413, 'too large', [['Connection', 'close']]);

/** What a backend does once it has said 413 or 200 in the middle of the upload. */
const endings: readonly (readonly [string, (connection: UpstreamConnection) => unknown, number])[] = [
  ['and reads on', () => undefined, 413],
  ['and reads no more', (connection) => connection.socket.pause(), 413],
  ['and ends its side', (connection) => connection.end(), 413],
  ['and hangs up, with much unread', (connection) => connection.destroy(), 413],
  ['as a 200, and reads on', () => undefined, 200],
];

for (const [what, end, status] of endings) {
  t.test(`a backend that answers in the middle of an upload ${what}`, { timeout: 150_000 }, async (t) => {
    const before = await residentBytes();
    const script: Script = async (request, connection) => {
      connection.discard = true;
      await some(request, 2 * MIB);
      connection.socket.pause();
      // A kernel's buffer full of what it will never read.
      await sleep(20);
      connection.write(status === 413 ? TOO_LARGE : responseBytes(200, 'too large'));
      connection.socket.resume();
      await end(connection);
      return 'taken';
    };
    backend.use(script);
    for (let round = 0; round < ROUNDS; round++) {
      using client = await RawClient.connect(proxy.port);
      const target = `/${what}/${round}`.replaceAll(/[ ,]+/g, '-');
      const sent = await upload(client, target);
      const response = await client.response('POST');
      t.match(response, { status, body: Buffer.from('too large'), head: /\r\nConnection: close\r\n/i });
      t.ok(sent < UPLOAD, `${Math.round(sent / MIB)} MiB were sent by then`);
      t.equal(await client.closed(), 'end', 'and the end, not a reset');
      const { connection } = await backend.requestTo(target);
      connection.socket.resume();
      t.not(await connection.closed(), 'open', 'the connection to the backend is not used again');
    }
    const grown = (await residentBytes()) - before;
    t.ok(grown < 64 * MIB, `${Math.round(grown / MIB)} MiB more in memory`);
  });
}

t.test('an answer is taken even where the backend has hung up before the proxy writes again', async (t) => {
  for (const ending of ['end', 'reset'] as const) {
    const target = `/hangs-up/${ending}`;
    backend.use(() => 'taken', target);
    using client = await RawClient.connect(proxy.port);
    client.write(`POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${UPLOAD}\r\n\r\n`);
    const { connection } = await backend.requestTo(target);
    connection.socket.pause();
    client.write(Buffer.alloc(400_000, 'u'));
    await sleep(50);
    await whileStopped(proxy.process.pid, async () => {
      client.write('more of the body');
      await sleep(20);
      connection.write(TOO_LARGE);
      await sleep(20);
      if (ending === 'end') connection.end();
      // There are unread bytes: this is a reset.
      else connection.destroy();
      await sleep(20);
    });
    t.match(await client.response('POST'), { status: 413, body: Buffer.from('too large') }, ending);
  }
});

t.test('a client that has read slowly is not blamed for a backend that lets its upload wait', async (t) => {
  const BODY_MS = 1_500;
  const part = Buffer.alloc(16 * MIB, 'd');
  const patient = await Proxy.start(t, {
    dataThreads: 1,
    timeouts: { body: BODY_MS },
    upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: { failures: 0 } }) },
  });
  backend.use(async (_, connection) => {
    connection.discard = true;
    connection.socket.pause();
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${part.length + 4}\r\n\r\n`);
    await new Promise((resolve) => connection.socket.write(part, resolve));
    await sleep(BODY_MS * 2);
    connection.write('tail');
    return 'taken';
  });
  const tail = await undisturbed(BODY_MS / 3, async () => {
    using client = await RawClient.connect(patient.port);
    client.write(`POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: ${UPLOAD}\r\n\r\n`);
    client.socket.write(Buffer.alloc(32 * MIB, 'u'));
    await client.takeUntil('\r\n\r\n');
    client.socket.pause();
    await sleep(BODY_MS / 2);
    client.socket.resume();
    return (await client.take(part.length + 4)).subarray(-4).toString();
  });
  t.equal(tail, 'tail');
});

t.test('the books', async (t) => {
  const counts = await settledCounts(proxy);
  t.equal(counts.started, ROUNDS * endings.length + 2);
  t.equal(counts.upstreamFailed, 0);
});
