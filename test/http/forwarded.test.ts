import * as fc from 'fast-check';
import t from 'tap';
import { nodeAddress, readForwarded } from '../../src/http/forwarded.ts';

const one = (node: string, proto = '', host = ''): object => ({ node, proto, host });

t.test('Forwarded as RFC 7239 writes it', async (t) => {
  const cases: readonly [string, object[] | null][] = [
    ['for=192.0.2.1', [one('192.0.2.1')]],
    ['For=192.0.2.1;PROTO=HTTP;by=203.0.113.43', [one('192.0.2.1', 'http')]],
    ['for=192.0.2.43, for=198.51.100.17', [one('192.0.2.43'), one('198.51.100.17')]],
    ['for="[2001:db8:cafe::17]:4711"', [one('2001:db8:cafe::17')]],
    ['for="192.0.2.1:80";host="a.test:8080"', [one('192.0.2.1', '', 'a.test:8080')]],
    ['for="_gazonk"', [one('unknown')]],
    ['for=_SEVKISEK;proto=https', [one('unknown', 'https')]],
    ['for=unknown, for="unknown:_port"', [one('unknown'), one('unknown')]],
    ['proto=https', [one('unknown', 'https')]],
    ['for="\\1\\9\\2.0.2.1"', [one('192.0.2.1')]],
    ['for=192.0.2.1;host="a\\"b,for=1.1.1.1"', [one('192.0.2.1', '', 'a"b,for=1.1.1.1')]],
    ['for=192.0.2.1;ext="a;b,c"; proto=http', [one('192.0.2.1', 'http')]],
    [',, for=192.0.2.1 ,, for=192.0.2.2,', [one('192.0.2.1'), one('192.0.2.2')]],
    ['', []],
    ['for=::1', null],
    ['for="::1"', null],
    ['for=[::1]', null],
    ['for=192.0.2.256', null],
    ['for="192.0.2.1:x"', null],
    ['for=shop.test', null],
    ['for="<script>"', null],
    ['for=192.0.2.1;for=192.0.2.2', null],
    ['for = 192.0.2.1', null],
    ['for=', null],
    ['for', null],
    ['=192.0.2.1', null],
    ['for="192.0.2.1', null],
    ['for="192.0.2.1\\"', null],
    ['for=192.0.2.1"', null],
    ['for=192.0.2.1;', null],
    ['for=192.0.2.1;,for=192.0.2.2', null],
    ['for=192.0.2.1 for=192.0.2.2', null],
    [';for=192.0.2.1', null],
  ];
  for (const [line, expected] of cases) t.strictSame(readForwarded(line), expected, line);
});

t.test('whatever it is, reading it ends, and soon', async (t) => {
  const letters = fc.string({ unit: fc.constantFrom('for', '=', '"', '\\', ';', ',', ' ', '\t', '192.0.2.1', '[', ':', ']', 'x', '\xff'), maxLength: 40 });
  fc.assert(
    fc.property(letters, (line) => Array.isArray(readForwarded(line)) || readForwarded(line) === null),
    { numRuns: 5000 },
  );
  for (const part of ['for=a;', ' ', ',', ';', '"', '\\', 'for="', 'a=b;', '=', '\t,']) {
    const began = performance.now();
    readForwarded(part.repeat(32_000 / part.length));
    t.ok(performance.now() - began < 5_000, JSON.stringify(part));
  }
});

t.test('nodes as proxies write them', async (t) => {
  const cases: readonly [string, string | null, string | null][] = [
    ['192.0.2.1', '192.0.2.1', '192.0.2.1'],
    ['192.0.2.1:8080', '192.0.2.1', '192.0.2.1'],
    ['[2001:DB8::1]', '2001:db8::1', '2001:db8::1'],
    ['[::ffff:192.0.2.1]:80', '192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8::1', null],
    ['::ffff:192.0.2.1', '192.0.2.1', null],
    ['[192.0.2.1]', null, null],
    ['192.0.2.1:808080', null, null],
    ['unknown', null, null],
    ['', null, null],
  ];
  for (const [text, bare, bracketed] of cases) t.strictSame([nodeAddress(text, false), nodeAddress(text, true)], [bare, bracketed], text);
});
