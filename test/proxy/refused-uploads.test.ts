import { connect } from 'node:net';
import t from 'tap';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually, sleep, undisturbed } from '../helpers/wait.ts';

const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, limits: { body: 1_000_000 } }) },
});

const MB = Buffer.alloc(1_048_576, 0x61);
const CASES: readonly (readonly [string, string, number])[] = [
  ['a head that is not valid', 'POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n', 400],
  ['two framings', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
  ['a body that is too large', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n', 413],
  ['a body that turns out too large', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5000000\r\n', 413],
  ['a chunk that is none', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
];

/** A client that goes on sending when the proxy has ended its side. */
function halfOpen(): RawClient {
  return new RawClient(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }));
}

/** Sends so many megabytes, whatever comes back. */
async function pour(client: RawClient, count: number): Promise<void> {
  for (let i = 0; i < count && !client.socket.destroyed && client.socket.writable; i++) {
    client.write(MB);
    await sleep(20);
  }
}

for (const [name, head, status] of CASES) {
  t.test(`RFC 9112 §9.6: ${name}, while three megabytes are on their way`, async (t) => {
    // Who is held up for longer than the proxy reads on gets a reset.
    const found = await undisturbed(
      1_000,
      async () => {
        using client = halfOpen();
        const gone = new Promise<void>((resolve) => client.socket.once('close', () => resolve()));
        client.write(head);
        const pouring = pour(client, 3);
        const response = await client.response();
        await pouring;
        client.end();
        await gone;
        return [response.status, client.ending, client.pending.length];
      },
      ([, ending]) => ending === 'end',
    );
    t.strictSame(found, [status, 'end', 0], 'the connection ends, and is not reset; nothing more was said');
  });

  t.test(`RFC 9112 §9.6: ${name}, while forty megabytes are on their way`, async (t) => {
    using client = await RawClient.connect(proxy.port);
    client.write(head);
    const pouring = pour(client, 40);
    const response = await client.response();
    t.equal(response.status, status, 'the answer comes all the same');
    await client.closed();
    client.destroy();
    await pouring;
  });
}

t.test('what is refused does not stay: a client that goes on sending is hung up on', async (t) => {
  const began = performance.now();
  using client = halfOpen();
  client.write('GET / HTTP/1.1\r\n\r\n');
  const socketClosed = new Promise<void>((resolve) => client.socket.once('close', () => resolve()));
  t.equal((await client.response()).status, 400);
  const dripping = setInterval(() => client.socket.writable && client.write('x'), 50);
  await socketClosed;
  clearInterval(dripping);
  const took = performance.now() - began;
  t.ok(took > 1_000 && took < 20_000, `after two seconds, not for as long as it likes: ${took} ms`);
  await eventually('no connection is left', async () => /^switchyard_client_connections 0$/m.test((await proxy.admin('/metrics')).text));
});
