import t from 'tap';
import { FLAG, FRAME, H2Raw, PREFACE, frame, get, hpack, post, settings, uint32 } from '../helpers/h2_raw.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const NO_ERROR = 0;
const INTERNAL_ERROR = 2;
const CANCEL = 8;

const backend = await RawUpstream.start(t);
const port = await freePort();
/** Waits for nobody for long. */
const HASTY_MS = 1_500;
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  listeners: [{ host: '127.0.0.1', port, http2: true }],
  timeouts: { body: HASTY_MS, keepAlive: HASTY_MS },
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});

t.test('nothing is left of a stream whose answer is not taken', async (t) => {
  const takesTen = Buffer.concat([Buffer.from(PREFACE), settings([1, 0], [4, 10])]);
  const cases = [NO_ERROR, CANCEL].flatMap((code) => [5_000, 200_000].flatMap((size) => [true, false].map((end) => ({ code, size, end }))));
  const ask = async ({ code, size, end }: (typeof cases)[number]): Promise<void> => {
    const target = `/untaken/${code}/${size}/${end}`;
    const bytes = `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`;
    backend.use((_, connection) => void connection.write(bytes), target);
    using client = await H2Raw.open(port, { begin: takesTen });
    client.headers(1, end ? get(target) : post(target), end);
    if (!end) client.data(1, 'x');
    await client.until(({ type }) => type === FRAME.data);
    // Its head and the rest of a frame may come apart.
    const reset = frame(FRAME.reset, 0, 1, uint32(code));
    client.send(reset.subarray(0, 9));
    await new Promise(setImmediate);
    client.send(reset.subarray(9));
    t.equal(await client.goaway(), NO_ERROR, `${target}: it is ended as one without streams`);
  };
  await Promise.all(cases.map(ask));
  backend.use((_, connection) => void connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n${'x'.repeat(5_000)}`), '/untaken/early');
  using early = await H2Raw.open(port, { begin: takesTen });
  early.headers(1, post('/untaken/early'), false);
  early.data(1, 'x');
  t.equal(await early.ending(1), INTERNAL_ERROR, 'one that came before its request was whole is cut at its deadline');
  t.equal(await early.goaway(), NO_ERROR);
});

t.test('who takes all back may ask as much again', async (t) => {
  backend.use(() => 'taken', '/back');
  backend.use(() => 'taken', '/stays');
  using client = await H2Raw.open(port);
  // A connection without a stream would be ended as idle, between the two.
  client.headers(1, get('/stays'));
  await client.until(({ type, flags }) => type === FRAME.settings && (flags & FLAG.ack) !== 0);
  const ids = Array.from({ length: 90 }, (_, i) => 3 + 2 * i);
  const head = hpack(get('/back'));
  const ask = (id: number): Buffer => frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, head);
  client.send(...ids.map(ask));
  await eventually('all are asked', () => backend.requestsTo('/back').length === ids.length);
  client.send(...ids.map((id) => frame(FRAME.reset, 0, id, uint32(CANCEL))));
  await eventually('all are over', () => proxy.process.stdout.split('"target":"/back"').length === ids.length + 1);
  client.send(...ids.map((id) => ask(id + 2 * ids.length)));
  await eventually('all are asked again', () => backend.requestsTo('/back').length === 2 * ids.length);
  t.notOk(client.frames.some(({ type }) => type === FRAME.goaway));
});
