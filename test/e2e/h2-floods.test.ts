import t from 'tap';
import { readFileSync } from 'node:fs';
import { FLAG, FRAME, frame, get, H2Raw, hpack, post, settings, uint32 } from '../helpers/h2_raw.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const backend = await RawUpstream.start(t, answer('fine'));
const port = await freePort();
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  listeners: [{ host: '127.0.0.1', port, http2: true }],
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});
/** What one flooder may cost at most, whatever it sends. */
const GROWTH = 96 * 1_048_576;
const MOST_SENT = 400_000_000;

const many = (one: Buffer, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => one));
/** As many streams as that, from `first` on. */
const streams = (first: number, each: (id: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: 300 }, (_, i) => each(first + 2 * i)));
const head = (id: number, end = true): Buffer => frame(FRAME.headers, FLAG.endHeaders | (end ? FLAG.endStream : 0), id, hpack(end ? get() : post()));
/** A field of 3900 bytes, and then 12000 times a reference to it: 47 MB in 16 KB (RFC 7541 §7.3). */
const BOMB = Buffer.concat([hpack(get()), Buffer.from([0x40, 1, 0x78, 127, 0xbd, 0x1d]), Buffer.alloc(3900, 'y'), Buffer.alloc(12_000, 0xbe)]);

/** What is sent in the n-th piece. `counted`: under `h2-flood`; others are ended by nghttp2 without a word to us. */
const floods: Record<string, (n: number) => Buffer> = {
  ping: () => many(frame(FRAME.ping, 0, 0, '12345678'), 5_000),
  settings: () => many(settings([3, 100]), 5_000),
  'empty settings': () => many(settings(), 5_000),
  'empty DATA': (n) => Buffer.concat([n === 0 ? head(1, false) : Buffer.alloc(0), many(frame(FRAME.data, 0, 1), 5_000)]),
  'window updates': () => many(frame(FRAME.windowUpdate, 0, 0, uint32(1)), 5_000),
  priority: () => many(frame(FRAME.priority, 0, 1, Buffer.from([0, 0, 0, 0, 1])), 5_000),
  'unknown frames': () => many(frame(0x42, 0, 0), 5_000),
  'rapid reset': (n) => streams(1 + 600 * n, (id) => Buffer.concat([head(id), frame(FRAME.reset, 0, id, uint32(8))])),
  'rapid reset that is no error': (n) => streams(1 + 600 * n, (id) => Buffer.concat([head(id), frame(FRAME.reset, 0, id, uint32(0))])),
  'resets that it makes us send': (n) => streams(1 + 600 * n, (id) => Buffer.concat([head(id), frame(FRAME.windowUpdate, 0, id, uint32(0))])),
  'malformed heads': (n) => streams(1 + 600 * n, (id) => frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, hpack(get('/', ['connection', 'x'])))),
  'more streams than it may': (n) => streams(1 + 600 * n, (id) => head(id)),
  continuation: (n) => Buffer.concat([n === 0 ? frame(FRAME.headers, 0, 1, hpack(get())) : Buffer.alloc(0), many(frame(FRAME.continuation, 0, 1), 5_000)]),
  'continuation with fields': (n) =>
    Buffer.concat([
      n === 0 ? frame(FRAME.headers, 0, 1, hpack(get())) : Buffer.alloc(0),
      many(frame(FRAME.continuation, 0, 1, hpack([['x', 'y'.repeat(4000)]])), 50),
    ]),
  'header bombs': (n) => Buffer.concat(Array.from({ length: 10 }, (_, i) => frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1 + 20 * n + 2 * i, BOMB))),
};

async function metrics(): Promise<string> {
  return (await proxy.admin('/metrics')).text;
}

async function counted(): Promise<number> {
  return [...(await metrics()).matchAll(/^switchyard_rejected_requests_total\{reason="h2-(?:flood|protocol)"\} (\d+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

function resident(): number {
  return Number(readFileSync(`/proc/${proxy.process.pid}/statm`, 'latin1').split(' ')[1]) * 4096;
}

t.test('each kind of flood ends its connection, is counted, and costs the others nothing but their turn', { timeout: 120_000 }, async (t) => {
  using other = await RawClient.connect(port);
  await other.request();
  for (const [kind, make] of Object.entries(floods)) {
    const memory = resident();
    const before = await counted();
    using client = await H2Raw.open(port);
    client.bytes.discard = true;
    const { socket } = client.bytes;
    let sent = 0;
    for (let n = 0; client.bytes.ending === 'open' && sent < MOST_SENT; n++) {
      const piece = make(n);
      sent += piece.length;
      socket.write(piece);
      if (n % 4 === 0) t.equal((await other.request({}, 20_000)).status, 200, kind);
      await eventually('room to write, or an end', () => socket.writableLength < 1_000_000 || client.bytes.ending !== 'open' || socket.destroyed, 20_000, 1);
    }
    t.not(client.bytes.ending, 'open', `${kind}: ended after ${sent} bytes were written`);
    await eventually(`${kind}: it is counted`, async () => (await counted()) > before);
    t.ok(resident() - memory < GROWTH, `${kind}: ${resident() - memory} bytes of memory`);
  }
  t.notMatch(proxy.output, /died/, 'the data thread is still the first');
});

t.test('who takes back a request now and then, or asks for much, is none', async (t) => {
  const before = await counted();
  using client = await H2Raw.open(port);
  for (let id = 1; id < 121; id += 2) {
    client.headers(id, get());
    client.send(frame(FRAME.reset, 0, id, uint32(8)));
    client.send(frame(FRAME.ping, 0, 0, '12345678'));
  }
  for (let id = 121; id < 1121; id += 2) {
    client.headers(id, get('/', ['x-long', 'x'.repeat(1000)]));
    t.equal(await client.ending(id), 'end');
    client.send(frame(FRAME.windowUpdate, 0, 0, uint32(4)));
  }
  t.equal(await counted(), before);
});
