import t from 'tap';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import { sleep } from '../helpers/wait.ts';
import { settledCounts } from './counts.ts';

/** Surely taken by the kernels between the proxy and a client that does not read. */
const BULK = 3_500_000;
const PIECE = 30_000;
const MOST_PIECES = 2_000;
/** Longer than the proxy waits for a client to hang up, once it has sent everything. */
const LINGERED_MS = 2_600;

const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, { dataThreads: 1, upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) } });

/** Bytes between the proxy and this client that the kernel holds. */
async function queued(client: RawClient): Promise<number> {
  const hex = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const [theirs, ours] = [hex(proxy.port), hex(client.socket.localPort ?? 0)];
  let sum = 0;
  for (const line of (await readFile('/proc/net/tcp', 'latin1')).split('\n')) {
    const [, local, remote, , queues] = line.trim().split(/\s+/);
    if (queues === undefined) continue;
    const [sending, receiving] = queues.split(':').map((count) => Number.parseInt(count, 16));
    if (local.endsWith(theirs) && remote.endsWith(ours)) sum += sending;
    if (local.endsWith(ours) && remote.endsWith(theirs)) sum += receiving;
  }
  return sum;
}

/** A client that has asked and does not read. */
async function ask(fields: readonly [string, string][]): Promise<RawClient> {
  const client = new RawClient(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }));
  client.write(requestBytes({ fields }));
  await client.takeUntil('\r\n\r\n');
  client.socket.pause();
  return client;
}

/** Writes until the kernels take no more and a last piece waits in the proxy; gives back how much was written. */
async function fill(connection: UpstreamConnection, client: RawClient, frame: (size: number) => Buffer): Promise<number> {
  connection.write(frame(BULK));
  await sleep(100);
  let before = await queued(client);
  for (let pieces = 1; pieces <= MOST_PIECES; pieces++) {
    connection.write(frame(PIECE));
    let now = before;
    for (let i = 0; i < 5 && now === before; i++) {
      await sleep(3);
      now = await queued(client);
    }
    if (now === before) return BULK + pieces * PIECE;
    before = now;
  }
  throw new Error('the kernels take everything');
}

t.test('an answer that ends its connection is complete, however late its client reads it', async (t) => {
  const seen = backend.request(0);
  backend.use((_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n');
    return 'taken';
  });
  const client = await ask([['Connection', 'close']]);
  const { connection } = await seen;
  await fill(connection, client, (size) => Buffer.concat([Buffer.from(`${size.toString(16)}\r\n`), Buffer.alloc(size, 0x61), Buffer.from('\r\n')]));
  connection.write('0\r\n\r\n');
  await sleep(LINGERED_MS);
  client.socket.resume();
  const all = (await client.takeAll()).toString('latin1');
  t.ok(all.endsWith('\r\n0\r\n\r\n'), `${all.length} bytes, and its last chunk`);
  client.destroy();
});

t.test('so is a tunnel whose two sides have ended', async (t) => {
  const seen = backend.request(1);
  backend.use((_, connection) => {
    connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    return 'taken';
  });
  const client = await ask([
    ['Connection', 'Upgrade'],
    ['Upgrade', 'echo'],
  ]);
  const { connection } = await seen;
  client.end();
  await connection.closed();
  const size = await fill(connection, client, (length) => Buffer.alloc(length, 0x61));
  connection.end();
  await sleep(100);
  client.socket.resume();
  t.equal((await client.takeAll()).length, size);
  client.destroy();
});

t.test('the books', async (t) => {
  t.match(await settledCounts(proxy), { started: 2, completed: 2 });
});
