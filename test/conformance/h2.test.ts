import t from 'tap';
import { FLAG, FRAME, frame, get, H2Raw, hpack, post, PREFACE, settings, uint32 } from '../helpers/h2_raw.ts';
import type { Field } from '../helpers/h2_raw.ts';
import { freePort } from '../helpers/ports.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { sleep } from '../helpers/wait.ts';

const backend = await RawUpstream.start(t, async (request, connection) =>
  connection.respond(200, request.target === '/long' ? 'x'.repeat(1000) : `${(await request.body).length}`),
);
const port = await freePort();
await Proxy.start(t, {
  dataThreads: 1,
  listeners: [{ host: '127.0.0.1', port, http2: true }],
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: { failures: 0 } }) },
});

/** Codes of RFC 9113 §7. */
const CODE = { protocol: 1, flow: 3, closed: 5, size: 6, refused: 7, compression: 9, calm: 11 } as const;
/** What node:http2 says of a body that is longer than it was to be, and of an answer to no PING. */
const INTERNAL_ERROR = 2;
const { endStream: END, endHeaders: WHOLE, padded: PADDED, priority: PRIORITY } = FLAG;

/**
 * What is to happen: `answered` = stream 1 gets its 200; `goaway` = a connection error with one of these codes; `either` = that, or
 * a stream error: the RFC wants a stream error, and lets it be made one of the connection (§5.4.2); `alive` = the next stream is answered. Where nghttp2, which reads
 * the frames, is milder than the RFC: `ignored` = nothing comes of the frame, and the next stream is answered; `dropped` = stream
 * 1 is answered, and the backend has not seen the field.
 */
type Outcome = readonly ['answered' | 'goaway' | 'either' | 'alive' | 'ignored' | 'dropped', ...number[]];

const head = (fields: readonly Field[], flags: number = END | WHOLE, id = 1): Buffer => frame(FRAME.headers, flags, id, hpack(fields));
const body = (text: string, flags: number = END, id = 1): Buffer => frame(FRAME.data, flags, id, text);
const GET = head(get());
const POST = head(post(), WHOLE);
const without = (name: string): Field[] => get().filter(([one]) => one !== name);
const pad = (length: number, bytes: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from([length]), Buffer.from(bytes as string, 'latin1'), Buffer.alloc(length)]);
/** A head of these bytes, behind the fields of a GET: to be decoded as RFC 7541 has it. */
const coded = (...bytes: readonly number[]): Buffer => frame(FRAME.headers, END | WHOLE, 1, Buffer.concat([hpack(get()), Buffer.from(bytes)]));
/** `x: y`, to be kept in the table; and an entry of 4161 bytes. */
const KEPT = [0x40, 1, 0x78, 1, 0x79];
const LARGER = [0x40, 1, 0x78, 127, 0xa1, 0x1f, ...Buffer.alloc(4_128, 'y')];
const WANT_COMPRESSION: Outcome = ['goaway', CODE.compression];
const WANT_PROTOCOL: Outcome = ['either', CODE.protocol];

/** Section, what is sent behind preface and settings, what is to happen. */
const rows: readonly (readonly [string, string, readonly Buffer[], Outcome])[] = [
  ['4.1', 'a frame of an unknown type is ignored', [frame(0x99, 0xff, 0, 'x'), GET], ['answered']],
  ['4.1', 'undefined flags and the reserved bit are ignored', [frame(FRAME.headers, END | WHOLE | 0x92, 0x80000001, hpack(get()))], ['answered']],
  ['4.2', 'DATA larger than SETTINGS_MAX_FRAME_SIZE', [POST, body('x'.repeat(16_385))], ['either', CODE.size]],
  ['4.2', 'DATA as large as that', [POST, body('x'.repeat(16_384))], ['answered']],
  ['4.2', 'HEADERS larger than that', [frame(FRAME.headers, END | WHOLE, 1, Buffer.alloc(16_385))], ['goaway', CODE.size]],
  [
    '4.3',
    'a header block that cannot be decoded',
    [frame(FRAME.headers, END | WHOLE, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]))],
    ['goaway', CODE.compression],
  ],
  ['4.3', 'an index past both tables', [frame(FRAME.headers, END | WHOLE, 1, Buffer.from([0xbe]))], ['goaway', CODE.compression]],
  [
    '4.3',
    'a table size above the limit',
    [frame(FRAME.headers, END | WHOLE, 1, Buffer.concat([Buffer.from([0x3f, 0xe2, 0x1f]), hpack(get())]))],
    ['goaway', CODE.compression],
  ],
  [
    '4.3',
    'a Huffman string with EOS',
    [frame(FRAME.headers, END | WHOLE, 1, Buffer.concat([hpack(get()), Buffer.from([0, 1, 0x78, 0x84, 255, 255, 255, 255])]))],
    ['goaway', CODE.compression],
  ],
  ['5.1', 'DATA on an idle stream', [body('x')], ['goaway', CODE.protocol]],
  ['5.1', 'RST_STREAM on an idle stream', [frame(FRAME.reset, 0, 1, uint32(8))], ['goaway', CODE.protocol]],
  ['5.1', 'WINDOW_UPDATE on an idle stream', [frame(FRAME.windowUpdate, 0, 1, uint32(8))], ['goaway', CODE.protocol]],
  ['5.1', 'CONTINUATION on an idle stream', [frame(FRAME.continuation, WHOLE, 1, hpack(get()))], ['goaway', CODE.protocol]],
  ['5.1', 'PRIORITY on an idle stream is allowed', [frame(FRAME.priority, 0, 1, Buffer.from([0, 0, 0, 0, 9])), GET], ['answered']],
  ['5.1', 'DATA behind END_STREAM', [head(post()), body('x')], ['either', CODE.closed]],
  ['5.1', 'HEADERS behind END_STREAM', [POST, body('x'), head(get())], ['either', CODE.closed, CODE.protocol]],
  ['5.1', 'CONTINUATION behind END_STREAM', [GET, frame(FRAME.continuation, WHOLE, 1, hpack([['x', '1']]))], ['goaway', CODE.protocol, CODE.closed]],
  ['5.1', 'WINDOW_UPDATE behind END_STREAM is allowed', [GET, frame(FRAME.windowUpdate, 0, 1, uint32(1))], ['answered']],
  ['5.1', 'DATA behind RST_STREAM', [POST, frame(FRAME.reset, 0, 1, uint32(8)), body('x')], ['ignored']],
  ['5.1', 'HEADERS behind RST_STREAM', [POST, frame(FRAME.reset, 0, 1, uint32(8)), head(get())], ['ignored']],
  [
    '5.1',
    'CONTINUATION behind RST_STREAM',
    [POST, frame(FRAME.reset, 0, 1, uint32(8)), frame(FRAME.continuation, WHOLE, 1)],
    ['goaway', CODE.protocol, CODE.closed],
  ],
  [
    '5.1',
    'PRIORITY, WINDOW_UPDATE and RST_STREAM behind RST_STREAM are allowed',
    [
      POST,
      frame(FRAME.reset, 0, 1, uint32(8)),
      frame(FRAME.priority, 0, 1, Buffer.alloc(5)),
      frame(FRAME.windowUpdate, 0, 1, uint32(1)),
      frame(FRAME.reset, 0, 1, uint32(8)),
    ],
    ['alive'],
  ],
  ['5.1.1', 'a stream of an even number', [head(get(), END | WHOLE, 2)], ['goaway', CODE.protocol]],
  ['5.1.1', 'numbers that go down', [head(get(), END | WHOLE, 5), head(get(), END | WHOLE, 3)], ['ignored']],
  [
    '5.3.1',
    'a stream that depends on itself (RFC 7540 §5.3.1)',
    [frame(FRAME.headers, END | WHOLE | PRIORITY, 1, Buffer.concat([uint32(1), Buffer.from([1]), hpack(get())]))],
    ['goaway', CODE.protocol],
  ],
  ['5.3.1', 'PRIORITY that depends on itself is of no meaning any more', [frame(FRAME.priority, 0, 1, Buffer.from([0, 0, 0, 1, 9])), GET], ['answered']],
  ['6.1', 'DATA on stream 0', [body('x', END, 0)], ['goaway', CODE.protocol]],
  ['6.1', 'padding is not body', [POST, frame(FRAME.data, END | PADDED, 1, pad(200, 'abc'))], ['answered']],
  ['6.1', 'padding as long as the frame', [POST, frame(FRAME.data, END | PADDED, 1, Buffer.from([3, 1, 1]))], ['goaway', CODE.protocol]],
  ['6.2', 'padding of HEADERS', [frame(FRAME.headers, END | WHOLE | PADDED, 1, pad(9, hpack(get())))], ['answered']],
  ['6.2', 'padding of HEADERS as long as the frame', [frame(FRAME.headers, END | WHOLE | PADDED, 1, Buffer.from([9, 0]))], ['goaway', CODE.protocol]],
  ['6.2', 'HEADERS on stream 0', [head(get(), END | WHOLE, 0)], ['goaway', CODE.protocol]],
  ['6.2', 'a header block interrupted by another stream', [head(get(), END), head(get(), END | WHOLE, 3)], ['goaway', CODE.protocol]],
  ['6.2', 'a header block interrupted by a PING', [head(get(), END), frame(FRAME.ping, 0, 0, '12345678')], ['goaway', CODE.protocol]],
  ['6.2', 'a header block interrupted by an unknown frame', [head(get(), END), frame(0x99, 0, 0)], ['goaway', CODE.protocol]],
  ['6.2', 'a header block interrupted by PRIORITY', [head(get(), END), frame(FRAME.priority, 0, 1, Buffer.alloc(5))], ['goaway', CODE.protocol]],
  ['6.2', 'a header block interrupted by DATA', [head(post(), 0), body('x')], ['goaway', CODE.protocol]],
  [
    '6.2',
    'HEADERS with a priority',
    [frame(FRAME.headers, END | WHOLE | PRIORITY, 1, Buffer.concat([uint32(0), Buffer.from([200]), hpack(get())]))],
    ['answered'],
  ],
  ['6.3', 'PRIORITY on stream 0', [frame(FRAME.priority, 0, 0, Buffer.alloc(5))], ['ignored']],
  ['6.3', 'PRIORITY of four bytes', [POST, frame(FRAME.priority, 0, 1, Buffer.alloc(4))], ['either', CODE.size]],
  ['6.4', 'RST_STREAM on stream 0', [frame(FRAME.reset, 0, 0, uint32(8))], ['goaway', CODE.protocol]],
  ['6.4', 'RST_STREAM of three bytes', [POST, frame(FRAME.reset, 0, 1, Buffer.alloc(3))], ['goaway', CODE.size]],
  ['6.4', 'RST_STREAM of five bytes', [POST, frame(FRAME.reset, 0, 1, Buffer.alloc(5))], ['goaway', CODE.size]],
  ['6.5', 'SETTINGS on a stream', [frame(FRAME.settings, 0, 1)], ['goaway', CODE.protocol]],
  ['6.5', 'an ACK with a payload', [frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(6))], ['goaway', CODE.size]],
  ['6.5', 'a length that is no multiple of six', [frame(FRAME.settings, 0, 0, Buffer.alloc(5))], ['goaway', CODE.size]],
  ['6.5.2', 'ENABLE_PUSH of 2', [settings([2, 2])], ['goaway', CODE.protocol]],
  ['6.5.2', 'INITIAL_WINDOW_SIZE of 2^31', [settings([4, 0x80000000])], ['goaway', CODE.flow]],
  ['6.5.2', 'MAX_FRAME_SIZE of 16383', [settings([5, 16_383])], ['goaway', CODE.protocol]],
  ['6.5.2', 'MAX_FRAME_SIZE of 2^24', [settings([5, 16_777_216])], ['goaway', CODE.protocol]],
  ['6.5.2', 'an unknown setting is ignored', [settings([0x99, 1]), GET], ['answered']],
  ['6.5.2', 'MAX_FRAME_SIZE at both ends of its range', [settings([5, 16_384], [5, 16_777_215]), GET], ['answered']],
  ['6.6', 'PUSH_PROMISE of a client', [POST, frame(FRAME.push, WHOLE, 1, Buffer.concat([uint32(2), hpack(get())]))], ['goaway', CODE.protocol]],
  ['6.7', 'PING on a stream', [frame(FRAME.ping, 0, 1, '12345678')], ['goaway', CODE.protocol]],
  ['6.7', 'PING of seven bytes', [frame(FRAME.ping, 0, 0, '1234567')], ['goaway', CODE.size]],
  ['6.7', 'PING of nine bytes', [frame(FRAME.ping, 0, 0, '123456789')], ['goaway', CODE.size]],
  [
    '6.7',
    'an answer to a PING that nobody sent (node:http2 is stricter than the RFC)',
    [frame(FRAME.ping, FLAG.ack, 0, '12345678')],
    ['goaway', INTERNAL_ERROR],
  ],
  ['6.8', 'GOAWAY on a stream', [frame(FRAME.goaway, 0, 1, Buffer.alloc(8))], ['goaway', CODE.protocol]],
  ['6.9', 'WINDOW_UPDATE of 0 on the connection', [frame(FRAME.windowUpdate, 0, 0, uint32(0))], ['goaway', CODE.protocol]],
  ['6.9', 'WINDOW_UPDATE of 0 on a stream', [POST, frame(FRAME.windowUpdate, 0, 1, uint32(0))], WANT_PROTOCOL],
  ['6.9', 'WINDOW_UPDATE of three bytes', [frame(FRAME.windowUpdate, 0, 0, Buffer.alloc(3))], ['goaway', CODE.size]],
  ['6.9.1', 'a window of the connection past 2^31 − 1', [frame(FRAME.windowUpdate, 0, 0, uint32(0x7fffffff))], ['goaway', CODE.flow]],
  ['6.9.1', 'a window of a stream past 2^31 − 1', [POST, frame(FRAME.windowUpdate, 0, 1, uint32(0x7fffffff))], ['either', CODE.flow]],
  [
    '6.9.1',
    'a window of the connection past it in two steps',
    [frame(FRAME.windowUpdate, 0, 0, uint32(0x7fff0000)), frame(FRAME.windowUpdate, 0, 0, uint32(0x7fff0000))],
    ['goaway', CODE.flow],
  ],
  [
    '6.9.1',
    'a window of a stream past it in two steps',
    [POST, frame(FRAME.windowUpdate, 0, 1, uint32(0x7fff0000)), frame(FRAME.windowUpdate, 0, 1, uint32(0x7fff0000))],
    ['either', CODE.flow],
  ],
  [
    '6.9.2',
    'a window of a stream past it by INITIAL_WINDOW_SIZE',
    [POST, frame(FRAME.windowUpdate, 0, 1, uint32(0x7fff0000)), settings([4, 0x7fffffff])],
    ['goaway', CODE.flow],
  ],
  ['6.10', 'CONTINUATION behind a whole block', [head(post(), WHOLE), frame(FRAME.continuation, WHOLE, 1, hpack([['x', '1']]))], ['goaway', CODE.protocol]],
  ['6.10', 'CONTINUATION of another stream', [head(get(), END), frame(FRAME.continuation, WHOLE, 3, '')], ['goaway', CODE.protocol]],
  ['6.10', 'CONTINUATION on stream 0', [head(get(), END), frame(FRAME.continuation, WHOLE, 0, '')], ['goaway', CODE.protocol]],
  [
    '6.10',
    'CONTINUATION behind one that was the last',
    [head(post(), 0), frame(FRAME.continuation, WHOLE, 1), frame(FRAME.continuation, WHOLE, 1)],
    ['goaway', CODE.protocol],
  ],
  ['6.10', 'CONTINUATION behind DATA', [POST, body('x', 0), frame(FRAME.continuation, WHOLE, 1)], ['goaway', CODE.protocol]],
  [
    '6.10',
    'a block in many pieces, some of them empty',
    [head(get(), END), frame(FRAME.continuation, 0, 1), frame(FRAME.continuation, 0, 1, hpack([['x', '1']])), frame(FRAME.continuation, WHOLE, 1)],
    ['answered'],
  ],
  ['7', 'RST_STREAM with a code that nobody knows', [POST, frame(FRAME.reset, 0, 1, uint32(0xabcdef))], ['alive']],
  ['8.1', 'trailers', [POST, body('abc', 0), head([['x-sum', '1']])], ['answered']],
  ['8.1', 'HEADERS behind DATA that do not end the stream', [POST, body('abc', 0), head([['x-sum', '1']], WHOLE)], WANT_PROTOCOL],
  ['8.1', 'a pseudo-header in trailers', [POST, body('abc', 0), head([[':path', '/']])], WANT_PROTOCOL],
  ['8.1', 'a trailer in upper case', [POST, body('abc', 0), head([['X-Sum', '1']])], WANT_PROTOCOL],
  ['8.1.1', 'a content-length above the body', [head(post('/', ['content-length', '5']), WHOLE), body('abc')], WANT_PROTOCOL],
  ['8.1.1', 'a content-length below it', [head(post('/', ['content-length', '2']), WHOLE), body('abc')], ['either', CODE.protocol, INTERNAL_ERROR]],
  ['8.1.1', 'a content-length without a body', [head(post('/', ['content-length', '2']))], WANT_PROTOCOL],
  [
    '8.1.1',
    'a content-length above the body, which comes in pieces',
    [head(post('/', ['content-length', '5']), WHOLE), body('ab', 0), body('cd')],
    WANT_PROTOCOL,
  ],
  [
    '8.1.1',
    'a content-length that the pieces come to',
    [head(post('/', ['content-length', '4']), WHOLE), body('ab', 0), body('', 0), body('cd')],
    ['answered'],
  ],
  ['8.1.1', 'two content-lengths', [head(post('/', ['content-length', '3'], ['content-length', '3']), WHOLE), body('abc')], WANT_PROTOCOL],
  ['8.1.1', 'a content-length that is none', [head(post('/', ['content-length', '+3']), WHOLE), body('abc')], WANT_PROTOCOL],
  ['8.2.1', 'a name in upper case', [head(get('/', ['X-A', '1']))], WANT_PROTOCOL],
  ['8.2.1', 'a space in a name', [head(get('/', ['x a', '1']))], ['dropped']],
  ['8.2.1', 'an empty name', [head(get('/', ['', '1']))], ['dropped']],
  ['8.2.1', 'CR LF in a value', [head(get('/', ['x', 'a\r\ny: b']))], ['dropped']],
  ['8.2.1', 'NUL in a value', [head(get('/', ['x', 'a\0b']))], ['dropped']],
  ['8.2.2', 'Connection', [head(get('/', ['connection', 'keep-alive']))], WANT_PROTOCOL],
  ['8.2.2', 'Keep-Alive', [head(get('/', ['keep-alive', '1']))], WANT_PROTOCOL],
  ['8.2.2', 'Proxy-Connection', [head(get('/', ['proxy-connection', 'keep-alive']))], WANT_PROTOCOL],
  ['8.2.2', 'Transfer-Encoding', [head(post('/', ['transfer-encoding', 'chunked']), WHOLE), body('abc')], WANT_PROTOCOL],
  ['8.2.2', 'Upgrade', [head(get('/', ['upgrade', 'h2c']))], WANT_PROTOCOL],
  ['8.2.2', 'TE other than trailers', [head(get('/', ['te', 'gzip']))], WANT_PROTOCOL],
  ['8.2.2', 'TE: trailers', [head(get('/', ['te', 'trailers']))], ['answered']],
  ['8.3', 'an unknown pseudo-header', [head([...get(), [':test', '1']])], WANT_PROTOCOL],
  ['8.3', 'a pseudo-header of answers', [head([...get(), [':status', '200']])], WANT_PROTOCOL],
  ['8.3', 'a pseudo-header behind a field', [head([...without(':path'), ['x', '1'], [':path', '/']])], WANT_PROTOCOL],
  ['8.3.1', 'no :method', [head(without(':method'))], WANT_PROTOCOL],
  ['8.3.1', 'no :scheme', [head(without(':scheme'))], WANT_PROTOCOL],
  ['8.3.1', 'no :path', [head(without(':path'))], WANT_PROTOCOL],
  ['8.3.1', 'an empty :path', [head([...without(':path'), [':path', '']])], WANT_PROTOCOL],
  ['8.3.1', 'two of one kind', [head([...get(), [':path', '/b']])], WANT_PROTOCOL],
  ['8.3.1', 'two of :method', [head([[':method', 'GET'], ...get()])], WANT_PROTOCOL],
  ['8.3.1', 'two of :scheme', [head([[':scheme', 'http'], ...get()])], WANT_PROTOCOL],
  ['8.3.1', 'a space in :path', [head(get('/a HTTP/1.1\r\nx: y'))], WANT_PROTOCOL],
  ['8.3.1', 'a space in :method', [head([[':method', 'GET /x'], ...get().slice(1)])], WANT_PROTOCOL],
  ['8.3.1', ':authority and Host that disagree', [head(get('/', ['host', 'other.example']))], WANT_PROTOCOL],
  ['8.3.1', ':authority and Host that agree', [head(get('/', ['host', 'test.example']))], ['answered']],
  ['8.3.1', 'Host without :authority', [head([...without(':authority'), ['host', 'a']])], ['answered']],
  ['8.5', 'CONNECT with :path', [head([[':method', 'CONNECT'], ...get().slice(1)], WHOLE)], WANT_PROTOCOL],
  // HPACK, by the sections of RFC 7541.
  ['HPACK 2.3.3', 'an index past the static table, and nothing in the other', [coded(0x80 | 62)], WANT_COMPRESSION],
  ['HPACK 2.3.3', 'a name of such an index', [coded(0x7f, 0, 1, 0x78)], WANT_COMPRESSION],
  ['HPACK 4.1', 'an entry that is larger than the table', [coded(...LARGER, ...LARGER)], ['answered']],
  ['HPACK 4.4', 'empties it', [coded(...KEPT, ...LARGER, 0xbe)], WANT_COMPRESSION],
  ['HPACK 4.2', 'a table size at the end of a block', [coded(0x20)], WANT_COMPRESSION],
  [
    'HPACK 4.2',
    'table sizes at its beginning',
    [frame(FRAME.headers, END | WHOLE, 1, Buffer.concat([Buffer.from([0x20, 0x3f, 0xe1, 0x1f]), hpack(get())]))],
    ['answered'],
  ],
  ['HPACK 5.1', 'an integer without an end', [coded(0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80)], WANT_COMPRESSION],
  ['HPACK 5.2', 'Huffman padding of more than seven bits', [coded(0, 1, 0x78, 0x82, 0xf3, 0xff)], WANT_COMPRESSION],
  ['HPACK 5.2', 'Huffman padding of zeros', [coded(0, 1, 0x78, 0x81, 0xf2)], WANT_COMPRESSION],
  ['HPACK 5.2', 'a Huffman string', [coded(0, 1, 0x78, 0x81, 0xf3)], ['answered']],
  ['HPACK 5.2', 'a string that is longer than its block', [coded(0, 1, 0x78, 9, 0x79)], WANT_COMPRESSION],
  ['HPACK 6.1', 'the index 0', [coded(0x80)], WANT_COMPRESSION],
  ['HPACK 6.1', 'an entry of the static table, and one of the other', [coded(0x90, 0x40, 1, 0x78, 1, 0x79, 0xbe)], ['answered']],
  [
    'HPACK 6.2',
    'a literal of each kind, with its name and with the name of an entry',
    [coded(0x40, 1, 0x78, 1, 0x79, 0x7e, 1, 0x7a, 0, 1, 0x78, 1, 0x79, 0x0f, 0x2f, 1, 0x7a, 0x10, 1, 0x78, 1, 0x79, 0x1f, 0x2f, 1, 0x7a)],
    ['answered'],
  ],
];

async function check(
  t: {
    equal(found: unknown, wanted: unknown, name: string): boolean;
    ok(found: unknown, name: string): boolean;
    notOk(found: unknown, name: string): boolean;

    fail(name: string): boolean;
  },
  [section, what, frames, [kind, ...codes]]: (typeof rows)[number],
): Promise<void> {
  using client = await H2Raw.open(port);
  client.send(...frames);
  const name = `§${section} ${what}`;
  if (kind === 'answered' || kind === 'dropped') {
    t.equal(await client.status(1).catch(String), 200, name);
    if (kind === 'dropped')
      t.notOk(
        backend.requests.findLast(({ method }) => method === 'GET')!.fields.some(([field]) => ['', 'x', 'x a', 'y'].includes(field.toLowerCase())),
        `${name}: it is not there`,
      );
    return;
  }
  if (kind === 'ignored' || kind === 'alive') {
    client.send(head(get(), END | WHOLE, 7));
    t.equal(await client.status(7).catch(String), 200, name);
    if (kind === 'alive') return;
    t.notOk(
      client.frames.some(({ type, stream }) => type === FRAME.headers && stream < 5),
      'nothing else is',
    );
    return;
  }
  const found = await client
    .until(({ type, stream }) => type === FRAME.reset || type === FRAME.goaway || (type === FRAME.headers && stream === 1))
    .catch(() => null);
  if (found === null) return void t.fail(`${name}: no word of it`);
  const goes = found.type === FRAME.goaway;
  const code = found.payload.readUInt32BE(goes ? 4 : 0);
  if (kind === 'goaway') t.ok(goes, `${name}: it is the connection's end`);
  t.ok(found.type !== FRAME.headers && codes.includes(code), `${name}: code ${code}`);
}

t.test('the rules of RFC 9113, each as frames', { timeout: 120_000 }, async (t) => {
  for (const row of rows) await check(t, row);
});

t.test('the preface', async (t) => {
  for (const bytes of ['PRI * HTTP/2.0\r\n\r\nSM\r\n\rx', 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n']) {
    using client = await RawClient.connect(port);
    client.write(bytes);
    t.match((await client.takeUntil('\r\n')).slice(0, 12), /HTTP\/1.1 [45]/, 'what is none is HTTP/1.1, and bad at that');
  }
  using late = await H2Raw.open(port, { begin: Buffer.from(PREFACE) });
  late.send(GET);
  t.equal(await late.goaway(), CODE.protocol, 'SETTINGS come first');
  using dripped = await H2Raw.open(port, { begin: Buffer.alloc(0) });
  for (const byte of Buffer.concat([Buffer.from(PREFACE), settings([1, 0]), GET])) {
    dripped.bytes.socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const first = await dripped.next();
  t.equal(first.type, FRAME.settings, 'SETTINGS are the first that we say');
  t.equal(await dripped.status(1), 200, 'byte by byte');
  t.ok(
    dripped.frames.some(({ type, flags }) => type === FRAME.settings && (flags & FLAG.ack) !== 0),
    'and they are acknowledged',
  );
});

t.test('a PING comes back; a window is kept to, and moved by SETTINGS', async (t) => {
  using client = await H2Raw.open(port, { begin: Buffer.concat([Buffer.from(PREFACE), settings([1, 0], [4, 0])]) });
  client.send(frame(FRAME.ping, 0, 0, 'are you?'));
  const pong = await client.until(({ type }) => type === FRAME.ping);
  t.strictSame([pong.flags & FLAG.ack, pong.payload.toString()], [FLAG.ack, 'are you?']);
  client.send(GET);
  t.equal(await client.status(1), 200);
  await sleep(50);
  t.equal(client.bytes.pending.length, 0, 'no byte of the body');
  client.send(settings([4, 1]));
  t.equal((await client.until(({ type }) => type === FRAME.data)).payload.toString(), '0');
});

t.test('settings are heeded in the order in which they come, and a window may be below zero (§6.5.3, §6.9.2)', async (t) => {
  using client = await H2Raw.open(port, { begin: Buffer.concat([Buffer.from(PREFACE), settings([1, 0], [4, 100], [4, 3])]) });
  client.send(head(get('/long')));
  t.equal((await client.until(({ type }) => type === FRAME.data)).payload.length, 3, 'the last one holds');
  client.send(settings([4, 1]), frame(FRAME.windowUpdate, 0, 1, uint32(2)));
  await sleep(50);
  t.equal(client.bytes.pending.filter((byte) => byte === 0x78).length, 0, '3 − 2 − 3 + 2 = 0: nothing comes');
  client.send(frame(FRAME.windowUpdate, 0, 1, uint32(1)));
  t.equal((await client.until(({ type }) => type === FRAME.data)).payload.length, 1);
});

t.test('behind a GOAWAY the connection ends (§5.4.1); one of the client lets its streams finish (§6.8)', async (t) => {
  using wrong = await H2Raw.open(port);
  wrong.send(frame(FRAME.ping, 0, 1, '12345678'));
  t.equal(await wrong.goaway(), CODE.protocol);
  await t.rejects(
    wrong.until(() => false),
    'the end',
  );
  for (const code of [0, 0xabcdef]) {
    using leaving = await H2Raw.open(port);
    leaving.send(POST, frame(FRAME.goaway, 0, 0, Buffer.concat([uint32(0), uint32(code), Buffer.from('bye')])));
    leaving.send(body('abc'));
    if (code === 0) t.equal(await leaving.status(1), 200);
    else t.equal(await leaving.goaway(), 0, 'an error of its own is its end');
  }
});
