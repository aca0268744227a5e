import t from 'tap';
import { forwarderOf, requestScheme, writeRequest } from '../../src/http/forward-request.ts';
import { HeadWriter } from '../../src/http/writer.ts';
import { parsedRequest } from './parsed.ts';

const PEER = '10.0.0.7';
const ID = 'ab'.repeat(16);
const TRACE = `00-${'cd'.repeat(16)}-${'ef'.repeat(8)}-00`;
const RANDOM = Buffer.from(ID + 'cd'.repeat(16) + 'ef'.repeat(8), 'hex');
const writer = new HeadWriter();

/** The values of each field that goes on, by lower-case name, of a request with these fields from a trusted proxy. */
function told(fields: readonly string[], host = 'app.test'): Map<string, string[]> {
  const { head, buf } = parsedRequest(`${[`GET / HTTP/1.1`, `Host: ${host}`, ...fields].join('\r\n')}\r\n\r\n`);
  const by = forwarderOf({ address: PEER, port: 4, localAddress: '10.0.0.1', localPort: 8080, secure: false }, true);
  writer.begin();
  writeRequest(writer, head, buf, by, RANDOM, 0);
  const values = new Map<string, string[]>();
  for (const line of writer.take().toString('latin1').split('\r\n').slice(1, -2)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    values.set(name, [...(values.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  const scheme = values.get('x-forwarded-proto')!.join();
  if (scheme.toLowerCase() !== requestScheme(head, buf, by)) throw new Error(`the backend is told ${scheme}, rules ${requestScheme(head, buf, by)}`);
  return values;
}

t.test('one sane value is believed; anything else is as if it had not been said', async (t) => {
  const OTHER_TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const cases: readonly (readonly [name: string, ours: string | null, good: readonly string[], bad: readonly string[]])[] = [
    ['X-Request-Id', ID, ['a', 'from-the-edge', '0.1~!', 'x'.repeat(128)], ['', 'x'.repeat(129), 'a b', 'a,b', '"a"', 'a;b', 'é', '<a>']],
    [
      'traceparent',
      TRACE,
      [OTHER_TRACE, OTHER_TRACE.replace('00-', 'cc-'), `${OTHER_TRACE.replace('00-', '01-')}-more`],
      [
        '',
        '00-1-2-01',
        OTHER_TRACE.toUpperCase(),
        OTHER_TRACE.replace('00-', 'ff-'),
        `${OTHER_TRACE}-more`,
        `${OTHER_TRACE.replace('00-', '01-')}more`,
        OTHER_TRACE.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32)),
        OTHER_TRACE.replace('b7ad6b7169203331', '0'.repeat(16)),
        OTHER_TRACE.replace('b7ad', 'b7ag'),
        OTHER_TRACE.replaceAll('-', '_'),
        OTHER_TRACE.slice(0, -1),
      ],
    ],
    ['X-Forwarded-Proto', 'http', ['https', 'http', 'HTTPS'], ['', 'https, http', 'https,https', 'ftp', 'httpss', 'https;', '"https"', 'on']],
    ['X-Forwarded-Host', 'app.test', ['shop.test', 'shop.test:8443', '[2001:db8::1]:80'], ['', 'a.test, b.test', 'user@a.test', 'a/b', 'a"b', 'a.test:x', 'é']],
    ['X-Forwarded-Port', '8080', ['1', '443', '65535'], ['', '0', '65536', '443, 80', '443x', '+1', '-1', '080808']],
    ['X-Real-IP', null, ['192.0.2.1', '2001:db8::1'], ['', 'unknown', '192.0.2.1, 10.0.0.1', '192.0.2.1:80', '<a>']],
    ['X-Forwarded-Prefix', null, ['/', '/api', '/api/', '/a/b, /c', '/%7ea'], ['', 'api', '//evil.test', '/a b', '/a?b', '/a"', 'http://evil.test/']],
  ];
  for (const [name, ours, good, bad] of cases) {
    const key = name.toLowerCase();
    const own = ours === null ? undefined : [ours];
    for (const value of good) t.strictSame(told([`${name}: ${value}`]).get(key), [value], `${name}: ${value}`);
    for (const value of bad) t.strictSame(told([`${name}: ${value}`]).get(key), own, `not ${name}: ${value}`);
    t.strictSame(told([`${name}: ${good[0]}`, 'A: b', `${name.toLowerCase()}: ${good[0]}`]).get(key), own, `not ${name} twice`);
    t.strictSame(told([]).get(key), own, `no ${name}`);
  }
});

t.test('tracestate goes with its traceparent', async (t) => {
  const good = 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  t.strictSame(told([good, 'tracestate: a=1', 'tracestate: b=2']).get('tracestate'), ['a=1', 'b=2']);
  t.equal(told(['tracestate: a=1']).get('tracestate'), undefined);
  t.equal(told(['traceparent: 00-1-2-01', 'tracestate: a=1']).get('tracestate'), undefined);
  t.equal(told([good, good, 'tracestate: a=1']).get('tracestate'), undefined);
});

const HOP = `for=${PEER};proto=http;host="app.test"`;

t.test('X-Forwarded-For counts, and Forwarded says the same', async (t) => {
  const cases: readonly (readonly [name: string, fields: readonly string[], chain: string, forwarded: string, more?: Record<string, string>])[] = [
    ['nothing', [], PEER, HOP],
    ['the list', ['X-Forwarded-For: 203.0.113.9'], `203.0.113.9, ${PEER}`, `for=203.0.113.9;proto=http;host="app.test", ${HOP}`],
    [
      'the list in lines',
      ['X-Forwarded-For: 203.0.113.9', 'A: b', 'x-forwarded-for: 2001:db8::1 ,10.1.1.1'],
      `203.0.113.9, 2001:db8::1, 10.1.1.1, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", for="[2001:db8::1]", for=10.1.1.1, ${HOP}`,
    ],
    ['nothing in it', ['X-Forwarded-For: ,, ,'], PEER, HOP],
    [
      'garbage in it',
      ['X-Forwarded-For: <a>"; for=x, 203.0.113.9:50123, [2001:DB8::1]:80'],
      `<a>"; for=x, 203.0.113.9:50123, [2001:DB8::1]:80, ${PEER}`,
      `for=unknown;proto=http;host="app.test", for=203.0.113.9, for="[2001:db8::1]", ${HOP}`,
    ],
    [
      'scheme and host with it',
      ['X-Forwarded-For: 203.0.113.9', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: shop.test'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=https;host="shop.test", ${HOP}`,
      { 'x-forwarded-port': '443' },
    ],
    [
      'both, agreed: as it was said',
      ['X-Forwarded-For: 203.0.113.9', 'Forwarded: For="203.0.113.9:555";By=_x;ext="a;b"'],
      `203.0.113.9, ${PEER}`,
      `For="203.0.113.9:555";By=_x;ext="a;b", ${HOP}`,
    ],
    [
      'both, agreed, in lines',
      ['X-Forwarded-For: 203.0.113.9, 10.1.1.1', 'Forwarded: for=203.0.113.9', 'Forwarded: for=10.1.1.1'],
      `203.0.113.9, 10.1.1.1, ${PEER}`,
      `for=203.0.113.9, for=10.1.1.1, ${HOP}`,
    ],
    [
      'another client',
      ['X-Forwarded-For: 203.0.113.9', 'Forwarded: for=198.51.100.66'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", ${HOP}`,
    ],
    [
      'a longer chain',
      ['X-Forwarded-For: 203.0.113.9', 'Forwarded: for=198.51.100.66, for=203.0.113.9'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", ${HOP}`,
    ],
    [
      'a scheme of its own',
      ['X-Forwarded-For: 203.0.113.9', 'Forwarded: for=203.0.113.9;proto=https'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", ${HOP}`,
      { 'x-forwarded-proto': 'http' },
    ],
    [
      'a host of its own',
      ['X-Forwarded-For: 203.0.113.9', 'Forwarded: for=203.0.113.9;host=evil.test'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", ${HOP}`,
      { 'x-forwarded-host': 'app.test' },
    ],
    [
      'malformed',
      ['X-Forwarded-For: 203.0.113.9', 'Forwarded: for=203.0.113.9;'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", ${HOP}`,
    ],
    [
      'an open quote',
      ['X-Forwarded-For: 203.0.113.9', 'Forwarded: for="203.0.113.9', 'Forwarded: "'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", ${HOP}`,
    ],
    [
      'Forwarded alone',
      ['Forwarded: for=203.0.113.9;proto=https;host="shop.test:8443"'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=https;host="shop.test:8443", ${HOP}`,
      { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'shop.test:8443', 'x-forwarded-port': '8443' },
    ],
    [
      'hidden nodes',
      ['Forwarded: for=_hidden, for="[2001:db8::1]", for=unknown, proto=http'],
      `unknown, 2001:db8::1, unknown, unknown, ${PEER}`,
      `for=_hidden, for="[2001:db8::1]", for=unknown, proto=http, ${HOP}`,
    ],
    ['Forwarded alone, malformed', ['Forwarded: for=203.0.113.9;proto=https;'], PEER, HOP, { 'x-forwarded-proto': 'http' }],
    [
      'Forwarded alone, a host that is none',
      ['Forwarded: for=203.0.113.9;host="a\\"b"'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", ${HOP}`,
      { 'x-forwarded-host': 'app.test' },
    ],
    [
      'Forwarded and another scheme',
      ['Forwarded: for=203.0.113.9;proto=https', 'X-Forwarded-Proto: http'],
      `203.0.113.9, ${PEER}`,
      `for=203.0.113.9;proto=http;host="app.test", ${HOP}`,
      { 'x-forwarded-proto': 'http' },
    ],
  ];
  for (const [name, fields, chain, forwarded, more = {}] of cases) {
    const found = told(fields);
    t.strictSame(found.get('x-forwarded-for'), [chain], name);
    t.strictSame(found.get('forwarded'), [forwarded], name);
    for (const [key, value] of Object.entries(more)) t.strictSame(found.get(key), [value], `${name}: ${key}`);
  }
});

t.test('a long chain is cut at its old end', async (t) => {
  const hops = Array.from({ length: 500 }, (_, i) => `10.9.${i >> 8}.${i & 255}`);
  const found = told([`X-Forwarded-For: ${hops.join(',')}`, 'X-Forwarded-For: 203.0.113.1']);
  t.equal(found.get('x-forwarded-for')!.join(), [...hops.slice(-31), '203.0.113.1', PEER].join(', '));
  t.equal(found.get('forwarded')!.join().split(', ').length, 33);
  t.equal(
    told([`Forwarded: ${hops.map((hop) => `for=${hop}`).join(',')}`])
      .get('x-forwarded-for')!
      .join(),
    [...hops.slice(-32), PEER].join(', '),
  );
});
