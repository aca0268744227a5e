import t from 'tap';
import { writeResponse } from '../../src/http/forward-response.ts';
import type { Delivery } from '../../src/http/forward-response.ts';
import { BODY } from '../../src/http/request-head.ts';
import { HeadWriter } from '../../src/http/writer.ts';
import { latin1, parsedResponse, PLAIN } from './parsed.ts';

const DATE = latin1('Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n');
const OUR_DATE = 'Date: Thu, 01 Jan 1970 00:00:00 GMT';
const LENGTH: Delivery = { minor: 1, body: BODY.length, close: false, date: DATE, extra: '', turn: null };
const writer = new HeadWriter(16);

function delivered(lines: readonly string[], how: Partial<Delivery> = {}, asked = PLAIN): string[] {
  const { head, buf } = parsedResponse(`${lines.join('\r\n')}\r\n\r\n`, asked);
  writer.begin();
  writeResponse(writer, head, buf, { ...LENGTH, ...how });
  const out = writer.take().toString('latin1').split('\r\n');
  if (out.pop() !== '' || out.pop() !== '') throw new Error('it does not end in an empty line');
  return out;
}

const OK = 'HTTP/1.1 200 OK';
const ok = (fields: readonly string[], how: Partial<Delivery> = {}): string[] => delivered([OK, 'Date: d', ...fields], how).slice(2);

t.test('the status line is ours, status and reason are the backend’s', async (t) => {
  t.equal(delivered(['HTTP/1.0 404 Nicht \xe4', 'Content-Length: 0'])[0], 'HTTP/1.1 404 Nicht \xe4');
  t.equal(delivered(['HTTP/1.1 200 ', 'Content-Length: 0'])[0], 'HTTP/1.1 200 ', 'the space stays without a reason (RFC 9112 §4)');
});

t.test('fields', async (t) => {
  const cases: readonly (readonly [string, readonly string[], readonly string[], Partial<Delivery>?])[] = [
    ['order and case', ['b: 1', 'Content-Length: 1', 'A:2 '], ['b: 1', 'Content-Length: 1', 'A:2 ']],
    [
      'cookies, each in its line',
      ['Set-Cookie: b=1', 'X: 1', 'set-cookie: a=2', 'Content-Length: 0'],
      ['Set-Cookie: b=1', 'X: 1', 'set-cookie: a=2', 'Content-Length: 0'],
    ],
    [
      'hop-by-hop fields',
      ['Keep-Alive: timeout=5', 'X: 1', 'Proxy-Connection: x', 'Connection: keep-alive', 'TE: x', 'Upgrade: h2', 'Content-Length: 0'],
      ['X: 1', 'Content-Length: 0'],
    ],
    ['nominated fields', ['Connection: x-a', 'X-A: 1', 'X-AB: 2', 'Content-Length: 0'], ['X-AB: 2', 'Content-Length: 0']],
    ['a length that is nominated stays', ['Connection: content-length', 'Content-Length: 3'], ['Content-Length: 3']],
    ['aliases', ['Content_Length: 9', 'Content-Length: 3'], ['Content-Length: 3']],
    ['a length with leading zeros, in its place', ['A: 1', 'Content-Length: 003', 'B: 2'], ['A: 1', 'Content-Length: 3', 'B: 2']],
    ['chunks', ['transfer-encoding: Chunked', 'Trailer: x'], ['Trailer: x', 'Transfer-Encoding: chunked'], { body: BODY.chunked }],
    ['a body that ended with its connection, for HTTP/1.1', ['X: 1'], ['X: 1', 'Transfer-Encoding: chunked'], { body: BODY.chunked }],
    ['chunks for HTTP/1.0', ['Transfer-Encoding: chunked', 'Trailer: x'], ['Connection: close'], { body: BODY.close, minor: 0, close: true }],
    ['Trailer without chunks', ['Trailer: x', 'Content-Length: 0'], ['Content-Length: 0']],
    ['the end of the connection', ['Content-Length: 0'], ['Content-Length: 0', 'Connection: close'], { close: true }],
    ['HTTP/1.0 kept alive', ['Content-Length: 0'], ['Content-Length: 0', 'Connection: keep-alive'], { minor: 0 }],
    ['something of ours', ['Content-Length: 0'], ['Content-Length: 0', 'Set-Cookie: s=1'], { extra: 'Set-Cookie: s=1\r\n' }],
  ];
  for (const [name, fields, expected, how] of cases) t.strictSame(ok(fields, how), expected, name);
});

t.test('Date', async (t) => {
  t.strictSame(delivered([OK, 'Content-Length: 0']), [OK, 'Content-Length: 0', OUR_DATE]);
  t.strictSame(delivered([OK, 'date: theirs', 'Content-Length: 0']), [OK, 'date: theirs', 'Content-Length: 0'], 'the backend’s is kept');
});

t.test('answers without a body', async (t) => {
  const none: Partial<Delivery> = { body: BODY.none };
  t.strictSame(delivered(['HTTP/1.1 204 No Content', 'Content-Length: 5', 'X: 1', 'Date: d'], none), ['HTTP/1.1 204 No Content', 'X: 1', 'Date: d']);
  t.strictSame(delivered(['HTTP/1.1 204 No Content', 'Content-Length: 005', 'Date: d'], none), ['HTTP/1.1 204 No Content', 'Date: d']);
  t.strictSame(delivered(['HTTP/1.1 204 No Content', 'Transfer-Encoding: chunked', 'Date: d'], none), ['HTTP/1.1 204 No Content', 'Date: d']);
  t.strictSame(delivered(['HTTP/1.1 304 Not Modified', 'Content-Length: 5', 'ETag: "a"', 'Date: d'], none).slice(1), [
    'Content-Length: 5',
    'ETag: "a"',
    'Date: d',
  ]);
  const asked = { head: true, upgrade: false };
  t.strictSame(delivered([OK, 'Content-Length: 5', 'Date: d'], none, asked), [OK, 'Content-Length: 5', 'Date: d'], 'HEAD keeps its length');
  t.strictSame(delivered([OK, 'Transfer-Encoding: chunked', 'Date: d'], none, asked), [OK, 'Date: d']);
});

t.test('interim answers', async (t) => {
  const none: Partial<Delivery> = { body: BODY.none, close: true };
  t.strictSame(delivered(['HTTP/1.1 100 Continue'], none), ['HTTP/1.1 100 Continue'], 'no Date, no Connection');
  t.strictSame(delivered(['HTTP/1.1 103 Early Hints', 'Link: </a>', 'Content-Length: 3'], none), ['HTTP/1.1 103 Early Hints', 'Link: </a>']);
  const switched = delivered(['HTTP/1.1 101 Switching Protocols', 'upgrade: websocket', 'Connection: upgrade', 'Sec-WebSocket-Accept: x'], none, {
    head: false,
    upgrade: true,
  });
  t.strictSame(switched, ['HTTP/1.1 101 Switching Protocols', 'upgrade: websocket', 'Sec-WebSocket-Accept: x', 'Connection: Upgrade']);
});
