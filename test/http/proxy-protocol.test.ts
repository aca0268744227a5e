import * as fc from 'fast-check';
import t from 'tap';
import { crc32c } from '../../src/http/crc32c.ts';
import { PROXY_HEADER_MOST, readProxyHeader } from '../../src/http/proxy-protocol.ts';
import type { ProxyHeader } from '../../src/http/proxy-protocol.ts';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const BEHIND = 'GET / HTTP/1.1\r\n';

function read(bytes: Buffer | string): ProxyHeader | 'more' | 'bad' {
  const buf = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
  return readProxyHeader(buf, buf.length);
}

function v2(versionAndCommand: number, family: number, block: Buffer, length = block.length): Buffer {
  return Buffer.concat([SIGNATURE, Buffer.from([versionAndCommand, family, length >> 8, length & 255]), block]);
}

const tlv = (type: number, value: Buffer | readonly number[]): Buffer =>
  Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), Buffer.from(value)]);
/** 192.0.2.1:40000 → 198.51.100.2:443. */
const FOUR = Buffer.from('c0000201c63364029c4001bb', 'hex');
/** [2001:db8::1]:40000 → [2001:db8::2]:443. */
const SIX = Buffer.from('20010db800000000000000000000000120010db80000000000000000000000029c4001bb', 'hex');

/** The header with a checksum over all of it. */
function checked(block: Buffer, after: Buffer = Buffer.alloc(0)): Buffer {
  const whole = v2(0x21, 0x11, Buffer.concat([block, tlv(3, [0, 0, 0, 0]), after]));
  whole.writeUInt32BE(crc32c(whole, 0, whole.length), 16 + block.length + 3);
  return whole;
}

t.test('CRC-32C', async (t) => {
  t.equal(crc32c(Buffer.from('123456789'), 0, 9), 0xe3069283, 'the check value of the catalogue');
  t.equal(crc32c(Buffer.alloc(32), 0, 32), 0x8a9136aa, 'RFC 3720 B.4');
  t.equal(crc32c(Buffer.alloc(32, 0xff), 0, 32), 0x62a8ab43, 'RFC 3720 B.4');
  t.equal(crc32c(Buffer.from('xx\u0001\u0002\u0003\u0004y'), 2, 7, 2), crc32c(Buffer.from('\0\0\0\0y'), 0, 5), 'four bytes as zeros');
});

t.test('version 1', async (t) => {
  const ends = { address: '192.0.2.1', port: 40000, localAddress: '198.51.100.2', localPort: 443, secure: false };
  const line = 'PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n';
  t.strictSame(read(line + BEHIND), { end: line.length, kind: 'proxied', ends });
  t.match(read('PROXY TCP6 2001:DB8::0:1 ::1 0 65535\r\n'), { ends: { address: '2001:db8::1', port: 0, localAddress: '::1', localPort: 65535 } });
  t.match(read('PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n'), { ends: { address: '192.0.2.1', localAddress: '::1' } });
  t.strictSame(read('PROXY UNKNOWN\r\n'), { end: 15, kind: 'unknown', ends: null });
  const longest = `PROXY UNKNOWN ${'f'.repeat(107 - 16)}\r\n`;
  t.strictSame(read(longest + BEHIND), { end: 107, kind: 'unknown', ends: null });
  t.strictSame(read('PROXY UNKNOWN \0 \xff\t,\r\n'), { end: 21, kind: 'unknown', ends: null }, 'what UNKNOWN says is not looked at');
  const bad: readonly [string, string][] = [
    ['another protocol', BEHIND],
    ['lower case', 'proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n'],
    ['a family of another kind', 'PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n'],
    ['no family', 'PROXY \r\n'],
    ['more than UNKNOWN', 'PROXY UNKNOWNS\r\n'],
    ['two spaces', 'PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n'],
    ['a tab', 'PROXY TCP4\t1.1.1.1 2.2.2.2 1 2\r\n'],
    ['a space at the end', 'PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n'],
    ['a word too many', 'PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n'],
    ['a word too few', 'PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n'],
    ['an address of the other family', 'PROXY TCP4 ::1 ::1 1 2\r\n'],
    ['an address of the other family', 'PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n'],
    ['octal', 'PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n'],
    ['an address with a zone', 'PROXY TCP6 fe80::1%lo ::1 1 2\r\n'],
    ['a port too large', 'PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n'],
    ['a port with a zero in front', 'PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n'],
    ['a port with a sign', 'PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n'],
    ['a bare LF', 'PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n'],
    ['a bare CR', 'PROXY UNKNOWN \r \r\n'],
    ['one byte too long', `PROXY UNKNOWN ${'f'.repeat(108 - 16)}\r\n`],
    ['endless', `PROXY UNKNOWN ${'f'.repeat(93)}`],
  ];
  for (const [name, text] of bad) t.equal(read(text), 'bad', name);
  t.equal(read(`PROXY UNKNOWN ${'f'.repeat(92)}`), 'more', '106 bytes may still be completed');
});

t.test('version 2', async (t) => {
  const ends = { address: '192.0.2.1', port: 40000, localAddress: '198.51.100.2', localPort: 443, secure: false };
  t.strictSame(read(Buffer.concat([v2(0x21, 0x11, FOUR), Buffer.from(BEHIND)])), { end: 28, kind: 'proxied', ends });
  t.strictSame(read(v2(0x21, 0x21, SIX)), { end: 52, kind: 'proxied', ends: { ...ends, address: '2001:db8::1', localAddress: '2001:db8::2' } });
  t.match(read(v2(0x21, 0x11, Buffer.concat([FOUR, tlv(0x20, [1, 0, 0, 0, 1])]))), { ends: { secure: true } });
  t.match(read(v2(0x21, 0x11, Buffer.concat([FOUR, tlv(0x20, [1, 0, 0, 0, 0, 0x21, 0, 7, ...Buffer.from('TLSv1.3')])]))), { ends: { secure: true } });
  t.match(read(v2(0x21, 0x11, Buffer.concat([FOUR, tlv(0x20, [6, 0, 0, 0, 1])]))), { ends: { secure: false } }, 'the bit, not the TLV, says it');
  t.match(read(v2(0x21, 0x11, Buffer.concat([FOUR, tlv(0x04, []), tlv(0xea, [1, 2]), tlv(0x02, Buffer.from('app.test'))]))), { end: 16 + 12 + 3 + 5 + 11 });
  t.strictSame(read(v2(0x20, 0x00, Buffer.alloc(0))), { end: 16, kind: 'own', ends: null });
  t.strictSame(read(v2(0x20, 0xff, Buffer.alloc(7, 0xff))), { end: 23, kind: 'own', ends: null }, 'the block of LOCAL means nothing');
  t.strictSame(read(v2(0x21, 0x00, Buffer.alloc(0))), { end: 16, kind: 'unknown', ends: null });
  t.strictSame(read(v2(0x21, 0x12, FOUR)), { end: 28, kind: 'unknown', ends: null }, 'datagrams have no client here');
  t.strictSame(read(v2(0x21, 0x31, Buffer.alloc(216))), { end: 232, kind: 'unknown', ends: null }, 'nor have sockets with a path');
  t.match(read(checked(FOUR)), { ends });
  t.match(read(checked(FOUR, tlv(0x20, [1, 0, 0, 0, 1]))), { ends: { secure: true } });
  const broken = checked(FOUR);
  broken[17] ^= 1;
  const bad: readonly [string, Buffer][] = [
    ['a wrong checksum', broken],
    ['two checksums', checked(FOUR, tlv(3, [0, 0, 0, 0]))],
    ['a checksum of three bytes', v2(0x21, 0x11, Buffer.concat([FOUR, tlv(3, [0, 0, 0])]))],
    ['version 1 in binary', v2(0x11, 0x11, FOUR)],
    ['version 3', v2(0x31, 0x11, FOUR)],
    ['another command', v2(0x22, 0x11, FOUR)],
    ['another family', v2(0x21, 0x41, FOUR)],
    ['another transport', v2(0x21, 0x13, FOUR)],
    ['a family without a transport', v2(0x21, 0x10, FOUR)],
    ['a block shorter than its addresses', v2(0x21, 0x11, FOUR.subarray(1))],
    ['IPv6 with a block of IPv4', v2(0x21, 0x21, FOUR)],
    ['a TLV without a length', v2(0x21, 0x11, Buffer.concat([FOUR, Buffer.from([4, 0])]))],
    ['a TLV that leads out of the header', v2(0x21, 0x11, Buffer.concat([FOUR, Buffer.from([4, 0, 1])]))],
    ['a short SSL TLV', v2(0x21, 0x11, Buffer.concat([FOUR, tlv(0x20, [1, 0, 0, 0])]))],
    ['too long', v2(0x21, 0x11, FOUR, 4097)],
    ['too long and LOCAL', v2(0x20, 0x00, Buffer.alloc(0), 65_535)],
    ['a signature that ends in another byte', Buffer.concat([SIGNATURE.subarray(0, 11), Buffer.from('x')])],
    ['an empty line before the request', Buffer.from(`\r\n${BEHIND}`)],
  ];
  for (const [name, bytes] of bad) t.equal(read(bytes), 'bad', name);
  const longest = v2(0x21, 0x11, Buffer.concat([FOUR, tlv(4, Buffer.alloc(4096 - 15))]));
  t.equal(longest.length, PROXY_HEADER_MOST);
  t.match(read(longest), { end: PROXY_HEADER_MOST, ends });
});

// ── properties ────────────────────────────────────────────────────────────────────────────────────

const byte = fc.integer({ min: 0, max: 255 });
const port = fc.integer({ min: 0, max: 65_535 });
const tlvs = fc.array(
  fc.tuple(fc.constantFrom(0x01, 0x02, 0x04, 0x20, 0x30, 0xea), fc.uint8Array({ maxLength: 12 })).map(([type, value]) => tlv(type, Buffer.from(value))),
  { maxLength: 3 },
);
const binary = fc.tuple(fc.constantFrom(0x20, 0x21), fc.constantFrom(0x00, 0x11, 0x21, 0x12, 0x31), tlvs, fc.boolean()).map(([command, family, more, sum]) => {
  const addresses = Buffer.alloc({ 0: 0, 1: 12, 2: 36, 3: 216 }[family >> 4]!, 7);
  if (sum && family === 0x11) return checked(FOUR, Buffer.concat(more));
  return v2(command, family, Buffer.concat([addresses, ...more]));
});
const line = fc.oneof(
  fc.tuple(fc.ipV4(), fc.ipV4(), port, port).map(([a, b, c, d]) => `PROXY TCP4 ${a} ${b} ${c} ${d}\r\n`),
  fc.tuple(fc.ipV6(), fc.ipV6(), port, port).map(([a, b, c, d]) => `PROXY TCP6 ${a} ${b} ${c} ${d}\r\n`),
  fc.string({ unit: fc.constantFrom(...'abc 1:.'.split('')), maxLength: 110 }).map((text) => `PROXY UNKNOWN ${text}\r\n`),
);
const header = fc.oneof(
  binary,
  line.map((text) => Buffer.from(text, 'latin1')),
);
const mutation = fc.record({ at: fc.nat(), to: byte, kind: fc.constantFrom('change', 'remove', 'insert', 'cut') });

function mutate(bytes: Buffer, { at, to, kind }: { at: number; to: number; kind: string }): Buffer {
  const i = bytes.length === 0 ? 0 : at % bytes.length;
  const before = bytes.subarray(0, i);
  if (kind === 'cut') return Buffer.from(before);
  return Buffer.concat([before, kind === 'remove' ? Buffer.alloc(0) : Buffer.from([to]), bytes.subarray(kind === 'insert' ? i : i + 1)]);
}

/** What a header is, read with one byte more each time. */
function readByteByByte(bytes: Buffer): ProxyHeader | 'more' | 'bad' {
  for (let to = 0; to <= bytes.length; to++) {
    const found = readProxyHeader(bytes, to);
    if (found !== 'more') return found;
  }
  return 'more';
}

t.test('a header is the same however it is cut, valid or not, and nothing behind it is looked at', async (t) => {
  const found = { proxied: 0, own: 0, unknown: 0, bad: 0, more: 0 };
  fc.assert(
    fc.property(header, fc.array(mutation, { maxLength: 2 }), fc.uint8Array({ maxLength: 20 }), (valid, mutations, behind) => {
      const bytes = mutations.reduce(mutate, valid);
      const whole = read(bytes);
      found[typeof whole === 'string' ? whole : whole.kind]++;
      const bit = readByteByByte(bytes);
      if (JSON.stringify(bit) !== JSON.stringify(whole)) throw new Error(`whole ${JSON.stringify(whole)}, byte by byte ${JSON.stringify(bit)}`);
      if (whole === 'more') return;
      const longer = read(Buffer.concat([bytes, behind]));
      if (JSON.stringify(longer) !== JSON.stringify(whole)) throw new Error(`${JSON.stringify(whole)}, and with more behind it ${JSON.stringify(longer)}`);
      if (typeof whole !== 'string' && (whole.end > bytes.length || whole.end > PROXY_HEADER_MOST)) throw new Error(`it ends at ${whole.end}`);
    }),
    { numRuns: 4000 },
  );
  for (const [kind, times] of Object.entries(found)) t.ok(times > 20, `${times} were ${kind}`);
});
