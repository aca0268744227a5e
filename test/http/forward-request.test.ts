import t from 'tap';
import { forwarderOf, writeRequest } from '../../src/http/forward-request.ts';
import type { Forwarder } from '../../src/http/forward-request.ts';
import { HeadWriter } from '../../src/http/writer.ts';
import { parsedRequest } from './parsed.ts';

const ID = '0123456789abcdef0123456789abcdef';
const TRACE = 'a'.repeat(32) + 'b'.repeat(16);
const RANDOM = Buffer.from(`ffff${ID}${TRACE}ffff`, 'hex');

function by(trusted: boolean, address = '192.0.2.1', scheme = 'http', port = 8080): Forwarder {
  return forwarderOf({ address, port: 40_000, localAddress: '10.0.0.1', localPort: port, secure: scheme === 'https' }, trusted);
}

const writer = new HeadWriter(16);

/** The head that goes to the backend, line by line. */
function forwarded(text: string, forwarder = by(false)): string[] {
  const { head, buf } = parsedRequest(text);
  writer.begin();
  writeRequest(writer, head, buf, forwarder, RANDOM, 2);
  const lines = writer.take().toString('latin1').split('\r\n');
  if (lines.pop() !== '' || lines.pop() !== '') throw new Error('it does not end in an empty line');
  return lines;
}

const OURS = new Set(['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-port', 'x-forwarded-host', 'via', 'forwarded', 'x-request-id', 'traceparent']);
const isOurs = (line: string): boolean => OURS.has(line.slice(0, line.indexOf(':')).toLowerCase());
const request = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
const get = (...fields: string[]): string => request('GET / HTTP/1.1', 'Host: a', ...fields);

/** What goes on of a request with these fields, besides the request line, Host and what the proxy says about the client. */
const kept = (...fields: string[]): string[] =>
  forwarded(get(...fields))
    .slice(2)
    .filter((line) => !isOurs(line));
const said = (lines: string[], name: string): string[] => lines.filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`));

t.test('the whole head of a stranger’s request, byte for byte', async (t) => {
  t.strictSame(forwarded(request('GET /a?b HTTP/1.1', 'Host: example.com:81', 'b: 1', 'A:2 ', 'Cookie: c')), [
    'GET /a?b HTTP/1.1',
    'Host: example.com:81',
    'b: 1',
    'A:2 ',
    'Cookie: c',
    'Via: 1.1 switchyard',
    'X-Forwarded-For: 192.0.2.1',
    'X-Forwarded-Proto: http',
    'X-Forwarded-Port: 8080',
    'Forwarded: for=192.0.2.1;proto=http;host="example.com:81"',
    'X-Forwarded-Host: example.com:81',
    `X-Request-Id: ${ID}`,
    `traceparent: 00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`,
  ]);
});

t.test('request lines and Host', async (t) => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['as it is', ['GET //a/../b%2f?c HTTP/1.1', 'Host: a'], ['GET //a/../b%2f?c HTTP/1.1', 'Host: a']],
    ['the asterisk', ['OPTIONS * HTTP/1.1', 'Host: a'], ['OPTIONS * HTTP/1.1', 'Host: a']],
    ['an absolute target wins over Host', ['GET http://b:81/c HTTP/1.1', 'X: 1', 'Host: a', 'Y: 2'], ['GET /c HTTP/1.1', 'Host: b:81', 'X: 1', 'Y: 2']],
    ['an absolute target without a path', ['GET http://b HTTP/1.1', 'Host: a'], ['GET / HTTP/1.1', 'Host: b']],
    ['an absolute target with a query only', ['GET http://b?c HTTP/1.1', 'Host: a'], ['GET /?c HTTP/1.1', 'Host: b']],
    ['HTTP/1.0 with a host', ['GET / HTTP/1.0', 'Host: a'], ['GET / HTTP/1.1', 'Host: a']],
    ['HTTP/1.0 without a host', ['GET / HTTP/1.0', 'X: 1'], ['GET / HTTP/1.1', 'Host: 10.0.0.1:8080', 'X: 1']],
    ['HTTP/1.0 with an absolute target', ['GET http://b/c HTTP/1.0'], ['GET /c HTTP/1.1', 'Host: b']],
    ['Host in its place and case', ['GET / HTTP/1.1', 'X: 1', 'hOsT:a'], ['GET / HTTP/1.1', 'X: 1', 'hOsT:a']],
    ['Host is not nominated away', ['GET / HTTP/1.1', 'Connection: host, x', 'Host: a', 'X: 1'], ['GET / HTTP/1.1', 'Host: a']],
  ];
  for (const [name, lines, expected] of cases)
    t.strictSame(
      forwarded(request(...lines)).filter((line) => !isOurs(line)),
      expected,
      name,
    );
});

t.test('what goes on and what does not', async (t) => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['nothing', [], []],
    ['fields in their order, case and spacing', ['b:  1 ', 'A: 2', 'b: 3'], ['b:  1 ', 'A: 2', 'b: 3']],
    ['hop-by-hop fields', ['X: 1', 'Keep-Alive: timeout=5', 'Proxy-Connection: keep-alive', 'Connection: keep-alive', 'Y: 2'], ['X: 1', 'Y: 2']],
    ['nominated fields', ['X-Secret: 1', 'Connection: x-secret, Other', 'OTHER: 2', 'X-Secrets: 3'], ['X-Secrets: 3']],
    ['nominated in a second field', ['Connection: a', 'X: 1', 'Connection: x', 'A: 2', 'B: 3'], ['B: 3']],
    [
      'fields that cannot be nominated away',
      ['Connection: cookie, authorization, content-length', 'Cookie: c', 'Authorization: d', 'Content-Length: 1'],
      ['Cookie: c', 'Authorization: d', 'Content-Length: 1'],
    ],
    ['aliases of known names', ['X_Forwarded_For: 1', 'Content_Length: 5', 'transfer_encoding: chunked', 'x_y: 1'], ['x_y: 1']],
    ['HTTP2-Settings and h2c', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: A'], []],
    ['an upgrade', ['Connection: keep-alive, Upgrade', 'X: 1', 'Upgrade: WebSocket'], ['X: 1', 'Connection: Upgrade', 'Upgrade: WebSocket']],
    ['an Upgrade that Connection does not name', ['Upgrade: websocket'], []],
    ['TE that takes trailers', ['TE: trailers', 'Connection: TE'], ['Connection: TE', 'TE: trailers']],
    ['another TE', ['TE: gzip', 'Connection: TE'], []],
    ['a length', ['Content-Length: 5', 'X: 1'], ['Content-Length: 5', 'X: 1']],
    ['a length of nothing', ['Content-Length: 0'], ['Content-Length: 0']],
    ['a length with leading zeros', ['Content-Length: 007', 'X: 1'], ['X: 1', 'Content-Length: 7']],
    ['zeros', ['Content-Length: 000'], ['Content-Length: 0']],
    ['chunks', ['transfer-encoding: CHUNKED', 'Trailer: x'], ['Trailer: x', 'Transfer-Encoding: chunked']],
    ['Trailer without chunks', ['Trailer: x', 'Content-Length: 1'], ['Content-Length: 1']],
    ['an expectation', ['Expect: 100-continue', 'Content-Length: 1'], ['Expect: 100-continue', 'Content-Length: 1']],
    [
      'Max-Forwards, Accept, Cache-Control, Date',
      ['Max-Forwards: 3', 'Accept: a', 'Cache-Control: b', 'Date: c'],
      ['Max-Forwards: 3', 'Accept: a', 'Cache-Control: b', 'Date: c'],
    ],
  ];
  for (const [name, fields, expected] of cases) t.strictSame(kept(...fields), expected, name);
  t.strictSame(forwarded(request('GET / HTTP/1.0', 'Host: a', 'Expect: 100-continue')).filter((line) => !isOurs(line)).length, 2, 'HTTP/1.0 expects nothing');
});

const CLAIMS = [
  'X-Forwarded-For: 1.1.1.1',
  'Via: 1.0 other',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: evil',
  'X-Forwarded-Port: 1',
  'X-Real-IP: 1.1.1.1',
  'X-Request-ID: mine',
  'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  'tracestate: t',
  'Forwarded: for=1.1.1.1',
];

t.test('a stranger is not believed', async (t) => {
  t.strictSame(forwarded(get(...CLAIMS)), forwarded(get()), 'nothing of what it says about itself goes on');
});

t.test('a trusted proxy is believed, and added to', async (t) => {
  t.strictSame(forwarded(get(...CLAIMS, 'X-Forwarded-For: 2.2.2.2, 3.3.3.3', 'forwarded: for=2.2.2.2'), by(true)).slice(2), [
    'Via: 1.0 other',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: evil',
    'X-Forwarded-Port: 1',
    'X-Real-IP: 1.1.1.1',
    'X-Request-ID: mine',
    'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'tracestate: t',
    'Via: 1.1 switchyard',
    'X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1',
    'Forwarded: for=1.1.1.1;proto=https;host="evil", for=2.2.2.2, for=3.3.3.3, for=192.0.2.1;proto=http;host="a"',
  ]);
  t.strictSame(forwarded(get(), by(true)).sort(), forwarded(get()).sort(), 'what it does not say, we say');
  t.strictSame(said(forwarded(get('X-Forwarded-For:'), by(true)), 'x-forwarded-for'), ['X-Forwarded-For: 192.0.2.1'], 'an empty list adds nothing');
  t.strictSame(kept('X-Forwarded_For: 1'), [], 'an alias is not believed from anybody');
});

t.test('addresses', async (t) => {
  const six = forwarded(get(), by(false, '2001:db8::1', 'https', 443));
  t.strictSame(said(six, 'x-forwarded-for'), ['X-Forwarded-For: 2001:db8::1']);
  t.strictSame(said(six, 'forwarded'), ['Forwarded: for="[2001:db8::1]";proto=https;host="a"'], 'RFC 7239 §6');
  t.strictSame(said(six, 'x-forwarded-port'), ['X-Forwarded-Port: 443']);
  t.strictSame(said(forwarded(get(), by(true, '2001:db8::1')), 'forwarded'), ['Forwarded: for="[2001:db8::1]";proto=http;host="a"']);
  t.strictSame(said(forwarded(request('GET http://b/ HTTP/1.1', 'Host: a')), 'x-forwarded-host'), ['X-Forwarded-Host: b']);
  t.strictSame(said(forwarded(request('GET / HTTP/1.0'), by(true)), 'x-forwarded-host'), ['X-Forwarded-Host: 10.0.0.1:8080']);
});
