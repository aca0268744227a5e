import t from 'tap';
import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import type { Socket } from 'node:net';
import { FLOODS } from '../helpers/h2_floods.ts';
import { FLAG, FRAME, frame, get, H2Raw, hpack, uint32 } from '../helpers/h2_raw.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually, sleep } from '../helpers/wait.ts';

const backend = await RawUpstream.start(t, answer('fine'));
const port = await freePort();
const TRUSTED = '127.0.0.9';
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  trustedProxies: [TRUSTED],
  listeners: [{ host: '127.0.0.1', port, http2: true }],
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});
/** What one flooder may cost at most, whatever it sends. */
const GROWTH = 96 * 1_048_576;
const MOST_SENT = 400_000_000;

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
  // Cookies of a size that no table of 4096 bytes keeps come whole with each request.
  for (let id = 1121; id < 1721; id += 2) {
    client.headers(id, get('/', ['cookie', 'c'.repeat(12_000)]));
    t.equal(await client.ending(id), 'end');
  }
  t.equal(await counted(), before);
});

t.test('who uploads much at once is none, however slow the backend and however early the answer', async (t) => {
  const before = await counted();
  const client = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 100 });
  t.teardown(() => client.destroy());
  const upload = (path: string): Promise<unknown> => {
    const stream = client.request({ ':method': 'POST', ':path': path }, { endStream: false });
    stream.on('error', () => undefined);
    stream.resume();
    stream.end(Buffer.alloc(250_000));
    return new Promise((resolve) => {
      stream.on('response', (headers) => resolve(headers[':status']));
      stream.on('close', () => resolve(`reset ${stream.rstCode}`));
    });
  };
  const many = (path: string): Promise<unknown>[] => Array.from({ length: 40 }, () => upload(path));
  const waiting = new Set<Socket>();
  backend.use(async (request, connection) => {
    waiting.add(connection.socket.pause());
    await request.body;
    connection.respond(200, 'taken');
  });
  const slow = many('/slow');
  await eventually('all of them wait', () => waiting.size === 40);
  await new Promise((resolve) => void client.ping(resolve));
  await sleep(300);
  for (const socket of waiting) socket.resume();
  t.same(new Set(await Promise.all(slow)), new Set([200]));
  backend.use((_, connection) => {
    connection.respond(403, 'not here');
    connection.end();
  });
  for (let i = 0; i < 3; i++) t.same(new Set(await Promise.all(many('/refused'))), new Set([403]));
  t.equal(await counted(), before);
  backend.use(answer('fine'));
});

/** Streams that are taken back in the bytes behind their heads. */
const takenBack = (count: number, first: number, code: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, i) => first + 2 * i).flatMap((id) => [
      frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, hpack(get('/taken-back'))),
      frame(FRAME.reset, 0, id, uint32(code)),
    ]),
  );

t.test('requests that are taken back in the bytes behind their heads reach no backend', async (t) => {
  using client = await H2Raw.open(port, { localAddress: '127.0.0.4' });
  client.send(takenBack(40, 1, 8));
  client.send(takenBack(40, 101, 0));
  client.headers(201, get('/wanted'));
  t.equal(await client.ending(201), 'end');
  t.strictSame(
    backend.requests.map(({ target }) => target).filter((target) => target === '/taken-back' || target === '/wanted'),
    ['/wanted'],
  );
});

t.test('who lets as many requests end as it takes back may go on for long', async (t) => {
  using client = await H2Raw.open(port);
  for (let id = 1; id < 1_200; id += 4) {
    client.headers(id, get());
    t.equal(await client.ending(id), 'end');
    client.send(takenBack(1, id + 2, 8));
  }
});

t.test('an address that floods again and again is forgiven less; a proxy that many clients are behind is not judged by one', async (t) => {
  /** Whether so many requests may be taken back at once. */
  const mayTakeBack = async (count: number, localAddress: string): Promise<boolean> => {
    using client = await H2Raw.open(port, { localAddress });
    client.send(takenBack(count, 1, 8));
    client.headers(2_001, get());
    return (await client.until(({ type, stream }) => type === FRAME.goaway || stream === 2_001)).type !== FRAME.goaway;
  };
  t.ok(await mayTakeBack(100, '127.0.0.2'), 'what a browser may do');
  for (let n = 0; n < 2; n++) t.notOk(await mayTakeBack(101, '127.0.0.2'));
  t.notOk(await mayTakeBack(40, '127.0.0.2'), 'less than at first');
  t.ok(await mayTakeBack(25, '127.0.0.2'), 'but never nothing');
  t.ok(await mayTakeBack(100, '127.0.0.3'), 'others are not touched');
  for (let n = 0; n < 2; n++) t.notOk(await mayTakeBack(101, TRUSTED));
  t.ok(await mayTakeBack(100, TRUSTED));
});

t.test('each kind of flood ends its connection, is counted, and costs the others nothing but their turn', { timeout: 170_000 }, async (t) => {
  using other = await RawClient.connect(port);
  await other.request();
  for (const [kind, make] of Object.entries(FLOODS)) {
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
