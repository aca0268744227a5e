import t from 'tap';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import type { ByteStream } from '../helpers/byte_stream.ts';
import { readHead } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import { eventually, sleep, undisturbed } from '../helpers/wait.ts';
import { countedDuring, settledCounts, versionState } from './counts.ts';

const MB = 1_000_000;
const SIZE = 200 * MB;
const PIECE = 50_000;
/** How long the second proxy waits for anything. */
const HASTY_MS = 1_500;
/** A peer of it that is held up for so long is the slow one itself. */
const STEADY_MS = 700;
/** What the proxy may need more while one side is slow. */
const GROWTH = 30 * MB;

const backend = await RawUpstream.start(t);
/** Reads what it is sent itself; `behave` says how, once the head is there. */
const sink = await RawUpstream.start(t, undefined, {
  async onConnection(connection) {
    // A connection may also be given up before anything was asked on it.
    await connection.until(() => connection.pending.length > 0 || connection.ending !== 'open', 'a request', 600_000, true);
    if (connection.pending.length === 0) return connection.end();
    await readHead(connection);
    await behave(connection);
  },
});
let behave: (connection: UpstreamConnection) => Promise<unknown> = async () => undefined;
function start(client: Record<string, unknown>, upstream: Record<string, unknown>): Promise<Proxy> {
  const policy = { health: { kind: 'none' }, timeouts: upstream };
  return Proxy.start(t, {
    dataThreads: 1,
    timeouts: client,
    upstreams: {
      web: catchAll({ v1: [backend.address] }, 'v1', policy),
      sink: catchAll({ v1: [sink.address] }, 'v1', { ...policy, routes: [{ path: '/sink' }] }),
    },
  });
}

const proxy = await start({}, {});
/** For those who stop for good. */
const hasty = await start({ body: HASTY_MS }, { head: HASTY_MS, idle: HASTY_MS });

/** Resident memory of the proxy, in bytes. */
function resident(): number {
  const pages = Number(readFileSync(`/proc/${proxy.process.pid}/statm`, 'latin1').split(' ')[1]);
  return pages * 4096;
}

/** Runs, and gives back the most resident memory that was seen meanwhile. */
async function peakDuring(run: () => Promise<unknown>): Promise<number> {
  let most = resident();
  const timer = setInterval(() => (most = Math.max(most, resident())), 20);
  try {
    await run();
  } finally {
    clearInterval(timer);
  }
  return Math.max(most, resident());
}

/** Writes SIZE bytes, a piece at a time and no faster than they are taken; gives back their hash. */
async function pour(into: ByteStream, chunked: boolean): Promise<string> {
  const hash = createHash('sha1');
  const piece = Buffer.alloc(PIECE);
  for (let sent = 0; sent < SIZE; sent += PIECE) {
    piece.fill(`${sent} bytes were before these. `);
    hash.update(piece);
    const framed = chunked ? Buffer.concat([Buffer.from(`${PIECE.toString(16)}\r\n`), piece, Buffer.from('\r\n')]) : Buffer.from(piece);
    if (!into.socket.write(framed)) await once(into.socket, 'drain');
  }
  if (chunked) into.write('0\r\n\r\n');
  return hash.digest('hex');
}

/** Reads SIZE bytes, with a pause now and then if it `stops`; gives back their hash. */
async function drink(from: ByteStream, chunked: boolean, stops = true): Promise<string> {
  const hash = createHash('sha1');
  for (let got = 0; got < SIZE;) {
    let size = Math.min(SIZE - got, PIECE);
    if (chunked) size = Number.parseInt(await from.takeUntil('\r\n'), 16);
    hash.update(await from.take(size));
    if (chunked) await from.take(2);
    if (stops && Math.floor(got / (50 * MB)) !== Math.floor((got + size) / (50 * MB))) {
      from.socket.pause();
      await sleep(300);
      from.socket.resume();
    }
    got += size;
  }
  return hash.digest('hex');
}

/** A large answer and a large request between quick peers: what memory that takes is not counted against the slow ones. */
async function warmUp(): Promise<void> {
  backend.use(async (_, connection) => {
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
    await pour(connection, false);
  });
  using client = await RawClient.connect(proxy.port);
  client.write(requestBytes());
  await client.takeUntil('\r\n\r\n');
  await drink(client, false, false);
  behave = async (connection) => {
    await drink(connection, false, false);
    connection.respond(200, 'thanks', [['Connection', 'close']]);
    connection.end();
  };
  client.write(requestBytes({ method: 'POST', target: '/sink', fields: [['Content-Length', String(SIZE)]] }));
  await pour(client, false);
  await client.response('POST');
}

const ceiling = await peakDuring(warmUp);

for (const chunked of [false, true]) {
  const framing: [string, string] = chunked ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', String(SIZE)];
  const name = chunked ? 'chunked' : 'of a known length';

  t.test(`a large answer ${name}, to a client that stops now and then`, async (t) => {
    let poured = Promise.resolve('');
    backend.use(async (_, connection) => {
      connection.write(`HTTP/1.1 200 OK\r\n${framing.join(': ')}\r\n\r\n`);
      poured = pour(connection, chunked);
      await poured;
    });
    const counts = await countedDuring(proxy, async () => {
      using client = await RawClient.connect(proxy.port);
      const peak = await peakDuring(async () => {
        client.write(requestBytes());
        await client.takeUntil('\r\n\r\n');
        const got = await drink(client, chunked);
        t.equal(got, await poured, 'every byte');
        if (chunked) await client.takeUntil('0\r\n\r\n');
      });
      t.ok(peak < ceiling + GROWTH, `${((peak - ceiling) / MB).toFixed(1)} MB more memory than with quick peers`);
    });
    t.match(counts, { started: 1, completed: 1 });
  });

  t.test(`a large request ${name}, to a backend that stops now and then`, async (t) => {
    let drunk = '';
    behave = async (connection) => {
      drunk = await drink(connection, chunked);
      if (chunked) await connection.takeUntil('0\r\n\r\n');
      connection.respond(200, 'thanks', [['Connection', 'close']]);
      connection.end();
    };
    const counts = await countedDuring(
      proxy,
      async () => {
        using client = await RawClient.connect(proxy.port);
        const peak = await peakDuring(async () => {
          client.write(requestBytes({ method: 'POST', target: '/sink', fields: [framing] }));
          const poured = await pour(client, chunked);
          const response = await client.response('POST');
          t.equal(response.body.toString(), 'thanks');
          t.equal(drunk, poured, 'every byte');
        });
        t.ok(peak < ceiling + GROWTH, `${((peak - ceiling) / MB).toFixed(1)} MB more memory than with quick peers`);
      },
      'sink',
    );
    t.match(counts, { started: 1, completed: 1 });
  });

  t.test(`a client that reads no more of an answer ${name} is cut`, async (t) => {
    const counts = await undisturbed(
      STEADY_MS,
      (round) => {
        const target = `/unread/${chunked}/${round}`;
        backend.use(async (_, connection) => {
          connection.write(`HTTP/1.1 200 OK\r\n${framing.join(': ')}\r\n\r\n`);
          const ended = connection.closed();
          await Promise.race([pour(connection, chunked).catch(() => ''), ended]);
          await ended;
        }, target);
        return countedDuring(hasty, async () => {
          using client = await RawClient.connect(hasty.port);
          client.write(requestBytes({ target }));
          await client.takeUntil('\r\n\r\n');
          client.socket.pause();
          // Its backend is free again.
          await (await backend.requestTo(target)).connection.closed();
        });
      },
      ({ clientAborted }) => clientAborted === 1,
    );
    t.match(counts, { started: 1, clientAborted: 1 });
  });

  t.test(`a backend that reads no more of a request ${name} is too slow`, async (t) => {
    behave = async (connection) => connection.socket.pause();
    const found = await undisturbed(
      STEADY_MS,
      async () => {
        let status = 0;
        const counts = await countedDuring(
          hasty,
          async () => {
            using client = await RawClient.connect(hasty.port);
            client.write(requestBytes({ method: 'POST', target: '/sink', fields: [framing] }));
            const poured = pour(client, chunked).catch(() => '');
            ({ status } = await client.response('POST'));
            client.destroy();
            await Promise.race([poured, sleep(100)]);
          },
          'sink',
        );
        return { status, counts };
      },
      ({ status }) => status === 504,
    );
    t.match(found, { status: 504, counts: { started: 1, upstreamFailed: 1 } });
  });
}

t.test('a client of HTTP/1.0 that read too slowly sees that its answer was cut', async (t) => {
  backend.use(async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    await Promise.race([pour(connection, true).catch(() => ''), connection.closed()]);
  }, '/old');
  using client = await RawClient.connect(hasty.port);
  client.write('GET /old HTTP/1.0\r\n\r\n');
  await client.takeUntil('\r\n\r\n');
  client.socket.pause();
  await (await backend.requestTo('/old')).connection.closed();
  client.socket.resume();
  t.equal(await client.closed(), 'reset', 'its body has no other end than that of the connection');
});

t.test('an echo that nobody reads is cut too', async (t) => {
  behave = async (connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    connection.socket.removeAllListeners('data');
    connection.socket.pipe(connection.socket);
  };
  const echo = async (): Promise<void> => {
    using client = await RawClient.connect(hasty.port);
    client.write(requestBytes({ method: 'POST', target: '/sink', fields: [['Transfer-Encoding', 'chunked']] }));
    await client.takeUntil('\r\n\r\n');
    client.socket.pause();
    const poured = pour(client, true).catch(() => '');
    await eventually('the backend is free', async () => (await versionState(hasty, 'sink')).inFlight === 0);
    client.destroy();
    await Promise.race([poured, sleep(100)]);
  };
  const counts = await undisturbed(
    STEADY_MS,
    () => countedDuring(hasty, echo, 'sink'),
    ({ clientAborted }) => clientAborted === 1,
  );
  t.match(counts, { started: 1, clientAborted: 1 });
});

t.test('the books', async (t) => {
  t.match(await settledCounts(proxy), { started: 3, completed: 3 });
  t.match(await settledCounts(hasty), { completed: 0, killed: 0 });
  await eventually('no connection is left', () => backend.open <= 1);
});
