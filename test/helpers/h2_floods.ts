import { FLAG, FRAME, frame, get, hpack, post, settings, uint32 } from './h2_raw.ts';

const many = (one: Buffer, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => one));
/** As many streams as that, from `first` on. */
const streams = (first: number, each: (id: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: 300 }, (_, i) => each(first + 2 * i)));
const head = (id: number, end = true): Buffer => frame(FRAME.headers, FLAG.endHeaders | (end ? FLAG.endStream : 0), id, hpack(end ? get() : post()));
/** A field of 3900 bytes that the table is to keep. */
const ENTRY = Buffer.concat([Buffer.from([0x40, 1, 0x78, 127, 0xbd, 0x1d]), Buffer.alloc(3900, 'y')]);
/** It, and then 12000 times a reference to it: 47 MB in 16 KB (RFC 7541 §7.3). */
const BOMB = Buffer.concat([hpack(get()), ENTRY, Buffer.alloc(12_000, 0xbe)]);
/** 15 000 times `accept-encoding: gzip, deflate`, which every peer knows from the beginning. */
const CROWD = Buffer.concat([hpack(get()), Buffer.alloc(15_000, 0x90)]);

/** An entry of the table, and then heads that name it so many times each. */
const repeats = (times: number) => (n: number) =>
  streams(1 + 600 * n, (id) =>
    frame(
      FRAME.headers,
      FLAG.endHeaders | FLAG.endStream,
      id,
      Buffer.concat([hpack(get()), n === 0 && id === 1 ? ENTRY : Buffer.alloc(0), Buffer.alloc(times, 0xbe)]),
    ),
  );

/** What a hostile client sends in the n-th piece, by the kind of flood. */
export const FLOODS: Readonly<Record<string, (n: number) => Buffer>> = {
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
  'small header bombs': repeats(190),
  'heads as large as they may be': repeats(7),
  'crowds of headers': (n) =>
    Buffer.concat(Array.from({ length: 10 }, (_, i) => frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1 + 20 * n + 2 * i, CROWD))),
};
