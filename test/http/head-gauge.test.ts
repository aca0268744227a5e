import { once } from 'node:events';
import { connect as connectH2 } from 'node:http2';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { array, assert, integer, property } from 'fast-check';
import t from 'tap';
import { HeadGauge } from '../../src/http/head-gauge.ts';
import { FLAG, FRAME, frame, get, hpack, PREFACE, settings, uint32 } from '../helpers/h2_raw.ts';
import type { Field } from '../helpers/h2_raw.ts';

const LIMITS = { fields: 100, bytes: 20_000 };
const { endHeaders: WHOLE, padded: PADDED, priority: PRIORITY } = FLAG;
const BEGIN = Buffer.concat([Buffer.from(PREFACE), settings([1, 0])]);

/** Whether heads like these are fine, and what they come to. */
function gauged(frames: readonly Buffer[], limits = LIMITS): { fine: boolean; decoded: number } {
  const gauge = new HeadGauge(limits);
  const fine = gauge.read(Buffer.concat([BEGIN, ...frames]));
  return { fine, decoded: gauge.decoded };
}

const head = (block: Buffer, flags: number = WHOLE, stream = 1): Buffer => frame(FRAME.headers, flags, stream, block);
const sizeOf = (fields: readonly Field[]): number => fields.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
/** `x: yyy…`, to be kept in the table. */
const kept = (length: number): Buffer =>
  Buffer.concat([Buffer.from([0x40, 1, 0x78, 127, ((length - 127) & 127) | 128, (length - 127) >> 7]), Buffer.alloc(length, 'y')]);
const NEWEST = 0xbe;

t.test('literals come to what they are', async (t) => {
  const fields = get('/a', ['x-long', 'v'.repeat(5000)], ['', '']);
  t.strictSame(gauged([head(hpack(fields))]), { fine: true, decoded: sizeOf(fields) });
});

t.test('padding, priorities, continuations, other frames and empty ones are no fields', async (t) => {
  const block = hpack(get());
  const behind = Buffer.concat([Buffer.from([3]), Buffer.alloc(5, 0xff), block, Buffer.alloc(3, 0xff)]);
  const frames = [
    frame(FRAME.data, 0, 1, Buffer.alloc(300, NEWEST)),
    frame(0x42, 0xff, 0),
    head(behind, WHOLE | PADDED | PRIORITY),
    head(block.subarray(0, 7), 0, 3),
    frame(FRAME.continuation, 0, 3),
    frame(FRAME.continuation, WHOLE, 3, block.subarray(7)),
    head(Buffer.concat([Buffer.from([0]), block]), WHOLE | PADDED, 5),
  ];
  t.strictSame(gauged(frames), { fine: true, decoded: 3 * sizeOf(get()) });
});

t.test('what heads and bodies take on the wire', async (t) => {
  const gauge = new HeadGauge(LIMITS);
  const block = hpack(get());
  gauge.read(Buffer.concat([BEGIN, head(block), frame(FRAME.data, 0, 1, 'x'.repeat(300)), frame(FRAME.ping, 0, 0, '12345678'), frame(FRAME.data, 0, 1)]));
  t.match(gauge, { encoded: block.length, data: 300 });
});

t.test('a stream is new when its number is the highest so far', async (t) => {
  const gauge = new HeadGauge(LIMITS);
  const block = hpack(get());
  const first = Buffer.from(head(block, WHOLE, 5));
  // The first bit of the number says nothing (RFC 9113 §4.1).
  first[5] |= 0x80;
  gauge.read(Buffer.concat([BEGIN, first, frame(FRAME.data, 0, 5, 'x'), head(block, WHOLE, 5), head(block, WHOLE, 3), head(block.subarray(0, 7), 0, 7)]));
  gauge.read(Buffer.concat([frame(FRAME.continuation, WHOLE, 7, block.subarray(7)), frame(FRAME.reset, 0, 9, uint32(8))]));
  t.equal(gauge.streams, 2);
});

t.test('an entry of the table counts in full each time it is named', async (t) => {
  const bytes = 32 + 1 + 1000;
  t.strictSame(gauged([head(kept(1000)), head(Buffer.alloc(15, NEWEST), WHOLE, 3)]), { fine: true, decoded: 16 * bytes });
  t.match(gauged([head(kept(1000)), head(Buffer.alloc(20, NEWEST), WHOLE, 3)]), { fine: false }, 'too many bytes');
  t.match(
    gauged([head(kept(1000)), head(kept(200), WHOLE, 3), head(Buffer.alloc(19, NEWEST + 1), WHOLE, 5)]),
    { fine: true },
    'also when it is not the newest',
  );
  const named = Buffer.concat([Buffer.from([0x7e, 3]), Buffer.from('abc')]);
  t.strictSame(
    gauged([head(kept(1000)), head(named, WHOLE, 3), head(Buffer.from([NEWEST]), WHOLE, 5)]).decoded,
    bytes + 2 * (32 + 1 + 3),
    'a new one with its name',
  );
});

t.test('a head has so many fields and bytes, wherever they come from', async (t) => {
  t.match(gauged([head(Buffer.alloc(100, 0x82))]), { fine: true });
  t.match(gauged([head(Buffer.alloc(101, 0x82))]), { fine: false }, 'fields');
  t.match(gauged([head(Buffer.alloc(60, 0x82), 0), frame(FRAME.continuation, 0, 1, Buffer.alloc(41, 0x82))]), { fine: false }, 'in two frames');
  t.match(gauged([head(Buffer.alloc(60, 0x82)), head(Buffer.alloc(60, 0x82), WHOLE, 3)]), { fine: true }, 'each head for itself');
  t.match(gauged([head(Buffer.from([0, 1, 0x78, 127, 0xff, 0xff, 0x7f]), 0)]), { fine: false }, 'a length is enough');
});

t.test('resets, what leads to one, and frames beside requests are counted', async (t) => {
  const counts = (...frames: readonly Buffer[]): { resets: number; beside: number } => {
    const gauge = new HeadGauge(LIMITS);
    // Byte by byte: nothing is at hand as a whole.
    for (const byte of Buffer.concat([Buffer.from(PREFACE), ...frames])) gauge.read(Buffer.from([byte]));
    return { resets: gauge.resets, beside: gauge.beside };
  };
  t.strictSame(counts(head(hpack(get())), frame(FRAME.data, 0, 1, 'x')), { resets: 0, beside: 0 }, 'a request');
  t.strictSame(counts(frame(FRAME.data, 0, 1), frame(FRAME.data, 1, 1)), { resets: 0, beside: 18 }, 'empty DATA');
  t.strictSame(counts(frame(FRAME.reset, 0, 1, uint32(0)), frame(FRAME.reset, 0, 3, uint32(8))), { resets: 2, beside: 26 }, 'whatever their code');
  t.strictSame(counts(frame(FRAME.ping, 0, 0, '12345678'), settings([3, 1]), frame(0x42, 0, 0, 'abc')), { resets: 0, beside: 17 + 15 + 12 });
  const [zero, reserved] = [uint32(0), Buffer.from([0x80, 0, 0, 0])];
  for (const increment of [zero, reserved]) {
    t.equal(counts(frame(FRAME.windowUpdate, 0, 1, increment)).resets, 1, 'a window that is opened by nothing');
    t.equal(counts(frame(FRAME.windowUpdate, 0, 0, increment)).resets, 0, 'that of the connection ends it');
  }
  for (const byte of [0, 1, 2, 3]) {
    const increment = Buffer.alloc(4);
    increment[byte] = 1;
    t.equal(counts(frame(FRAME.windowUpdate, 0, 1, increment), frame(FRAME.windowUpdate, 0, 3, increment)).resets, 0);
  }
  t.equal(counts(frame(FRAME.priority, 0, 1, Buffer.alloc(4))).resets, 1, 'a priority of another length');
  t.equal(counts(frame(FRAME.priority, 0, 1, Buffer.alloc(5))).resets, 0);
});

t.test('what is an error to the reader of the frames is left to it', async (t) => {
  for (const block of [Buffer.alloc(16_385, 0x82), Buffer.alloc(1000, 0xff), Buffer.from([0xff, 0xff, 0x7f])]) {
    t.match(gauged([head(block), head(Buffer.alloc(200, 0x82), WHOLE, 3)]), { fine: true });
  }
});

t.test('however the bytes are cut', async () => {
  const frames = [
    head(kept(1000)),
    head(Buffer.concat([Buffer.from([2]), Buffer.alloc(5), hpack(get()), Buffer.alloc(2)]), WHOLE | PADDED | PRIORITY, 3),
    frame(FRAME.data, 0, 3, 'abc'),
  ];
  const whole = Buffer.concat([BEGIN, ...frames, head(Buffer.alloc(19, NEWEST), WHOLE, 5)]);
  const { decoded } = gauged([...frames, head(Buffer.alloc(19, NEWEST), WHOLE, 5)]);
  assert(
    property(array(integer({ min: 1, max: whole.length - 1 }), { maxLength: 30 }), (cuts) => {
      const gauge = new HeadGauge(LIMITS);
      const at = [0, ...cuts.sort((a, b) => a - b), whole.length];
      return at.slice(1).every((to, i) => gauge.read(whole.subarray(at[i], to))) && gauge.decoded === decoded;
    }),
  );
});

t.test('what a real client sends, with Huffman codes and a table that forgets, is never found smaller than it is', async (t) => {
  const chunks: Buffer[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.write(settings());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connectH2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  let actual = 0;
  const count = 60;
  for (let i = 0; i < count; i++) {
    const fields: Field[] = [
      [':method', 'GET'],
      [':authority', 'a.example'],
      [':scheme', 'http'],
      [':path', `/item/${i}?q=${'z'.repeat(i)}`],
      ['cookie', `sid=${i % 7}${'Q~{'.repeat(i)}`],
      ['accept', '*/*'],
    ];
    actual += sizeOf(fields);
    session
      .request(Object.fromEntries(fields))
      .on('error', () => undefined)
      .end();
  }
  const ends = (): number => {
    let found = 0;
    for (let bytes = Buffer.concat(chunks).subarray(24); bytes.length >= 9; bytes = bytes.subarray(9 + bytes.readUIntBE(0, 3)))
      if (bytes[3] === FRAME.headers) found++;
    return found;
  };
  while (ends() < count) await new Promise((resolve) => setTimeout(resolve, 5));
  session.destroy();
  server.close();
  const gauge = new HeadGauge({ fields: 100, bytes: 20_000 });
  t.ok(gauge.read(Buffer.concat(chunks)));
  t.ok(gauge.decoded >= actual, `${gauge.decoded} for ${actual}`);
  t.ok(gauge.decoded < actual * 1.5, `${gauge.decoded} for ${actual}`);
});
