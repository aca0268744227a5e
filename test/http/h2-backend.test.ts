import { STATUS_CODES } from 'node:http';
import t from 'tap';
import { requestFields, writeAnswer, type AnswerFraming } from '../../src/http/h2-backend.ts';
import { BODY, RequestHead } from '../../src/http/request-head.ts';
import { HeadWriter } from '../../src/http/writer.ts';

function requested(text: string): string[] {
  const head = new RequestHead({ head: 65_536, headers: 100, target: 8192 });
  const buf = Buffer.from(text, 'latin1');
  head.begin(0);
  if (!head.parse(buf, buf.length)) throw new Error('not a head');
  return requestFields(head, buf, 'https');
}

t.test('a request: pseudo-header fields first, names in lower case, nothing of one connection', async (t) => {
  t.strictSame(requested('GET /a?b=c HTTP/1.1\r\nHost: A.example:8\r\nX-One: 1\r\nX-One: 2\r\nCookie: a=b\r\n\r\n'), [
    ':method',
    'GET',
    ':scheme',
    'https',
    ':authority',
    'A.example:8',
    ':path',
    '/a?b=c',
    'x-one',
    '1',
    'x-one',
    '2',
    'cookie',
    'a=b',
  ]);
  t.strictSame(
    requested(
      'POST / HTTP/1.1\r\nHost: a\r\nConnection: TE, Upgrade\r\nTE: trailers\r\nUpgrade: websocket\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\nX-Latin: x\r\n\r\n',
    ),
    [':method', 'POST', ':scheme', 'https', ':authority', 'a', ':path', '/', 'x-latin', 'x', 'te', 'trailers'],
  );
  t.strictSame(requested('GET / HTTP/1.1\r\nHost: a\r\nTE: gzip\r\n\r\n').slice(8), []);
  t.strictSame(requested('GET / HTTP/1.1\r\nHost: a\r\nX-A: \xe9\r\n\r\n').slice(8), ['x-a', '\xe9'], 'one character a byte');
});

function answered(fields: readonly string[], { ended = false, head = false } = {}): [AnswerFraming, string] {
  const out = new HeadWriter();
  out.begin();
  const found = writeAnswer(out, { fields, ended, head, phrases: STATUS_CODES });
  return [found, out.take().toString('latin1')];
}

t.test('an answer: framed by what the stream does', async (t) => {
  const S = [':status', '200'];
  const cases: [string, string[], { ended?: boolean; head?: boolean }, AnswerFraming, string][] = [
    ['no length', S, {}, { status: 200, body: BODY.chunked, length: 0 }, 'Transfer-Encoding: chunked\r\n'],
    ['a length', [...S, 'content-length', '5'], {}, { status: 200, body: BODY.length, length: 5 }, 'Content-Length: 5\r\n'],
    [
      'nothing but a head',
      [...S, 'grpc-status', '5'],
      { ended: true },
      { status: 200, body: BODY.length, length: 0 },
      'grpc-status: 5\r\nContent-Length: 0\r\n',
    ],
    ['HEAD', [...S, 'content-length', '5'], { head: true }, { status: 200, body: BODY.none, length: 0 }, 'Content-Length: 5\r\n'],
    [
      'gRPC with a length: trailers follow',
      [...S, 'content-type', 'application/grpc', 'content-length', '5'],
      {},
      { status: 200, body: BODY.chunked, length: 0 },
      'content-type: application/grpc\r\nTransfer-Encoding: chunked\r\n',
    ],
    [
      'announced trailers',
      [...S, 'trailer', 'x', 'content-length', '5'],
      {},
      { status: 200, body: BODY.chunked, length: 0 },
      'trailer: x\r\nTransfer-Encoding: chunked\r\n',
    ],
  ];
  for (const [what, fields, how, framing, lines] of cases) {
    t.strictSame(answered(fields, how), [framing, `HTTP/1.1 200 OK\r\n${lines}Connection: close\r\n\r\n`], what);
  }
  t.strictSame(answered([':status', '103', 'link', 'x']), [{ status: 103, body: BODY.none, length: 0 }, 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n']);
  t.equal(answered([':status', '204'])[1], 'HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n');
});

t.test('what is no answer', async (t) => {
  const bad: string[][] = [
    [],
    ['x-a', 'b'],
    [':status', '99'],
    [':status', '600'],
    [':status', '2000'],
    [':status', '200 OK\r\nx: y'],
    [':status', '101'],
    [':status', '200', ':path', '/'],
    [':status', '200', 'x-a', 'b\r\nc: d'],
    [':status', '200', 'x-a\r\nb', 'c'],
    [':status', '200', 'x-a', 'b\0'],
    [':status', '200', 'x-a', '\u0141'],
    [':status', '200', 'x a', 'b'],
    [':status', '200', '', 'b'],
    [':status', '200', 'connection', 'close'],
    [':status', '200', 'transfer-encoding', 'chunked'],
    [':status', '200', 'upgrade', 'h2c'],
    [':status', '200', 'content-length', '5', 'content-length', '5'],
    [':status', '200', 'content-length', '5x'],
    [':status', '200', 'content-length', '-1'],
    [':status', '200', 'content-length', ''],
  ];
  for (const fields of bad) t.equal(answered(fields)[0], null, JSON.stringify(fields));
});
