import t from 'tap';
import { ChunkedReader } from '../../src/http/chunked.ts';
import { writeTrailers } from '../../src/http/trailers.ts';
import { chunkSize, HeadWriter } from '../../src/http/writer.ts';
import { latin1 } from './parsed.ts';

/** What is written of these trailer lines. */
function passed(...lines: string[]): string {
  const bytes = latin1(`0\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`);
  const reader = new ChunkedReader();
  reader.next(bytes, 0, bytes.length);
  if (reader.trailers === null || reader.trailerBytes === null) throw new Error('there are no trailers');
  const out = new HeadWriter(4);
  writeTrailers(out, reader.trailers, reader.trailerBytes);
  return out.take().toString('latin1');
}

t.test('trailers that pass, in their order and case', async (t) => {
  t.equal(passed('grpc-status: 0', 'Server-Timing: a', 'X: ', 'ETag: "b"'), '0\r\ngrpc-status: 0\r\nServer-Timing: a\r\nX: \r\nETag: "b"\r\n\r\n');
});

t.test('trailers that do not', async (t) => {
  const names = [
    'Content-Length',
    'Transfer-Encoding',
    'Host',
    'Connection',
    'Keep-Alive',
    'TE',
    'Trailer',
    'Upgrade',
    'Expect',
    'Cookie',
    'Set-Cookie',
    'Authorization',
    'Proxy-Authorization',
    'Proxy-Authenticate',
    'WWW-Authenticate',
    'Content-Encoding',
    'Content-Type',
    'Content-Range',
    'Range',
    'If-Match',
    'If-None-Match',
    'Cache-Control',
    'Age',
    'Expires',
    'Date',
    'Location',
    'Retry-After',
    'Vary',
    'Warning',
    'Pragma',
    'Max-Forwards',
    'X-Forwarded-For',
    'X-Forwarded-Anything',
    'X_Forwarded_User',
    'set_cookie',
    'Forwarded',
    'Via',
    'X-Real-IP',
    'X-Request-Id',
    'traceparent',
    'Content_Length',
    'x_forwarded_for',
  ];
  for (const name of names) {
    t.equal(passed('A: 1', `${name}: 2`, 'B: 3'), '0\r\nA: 1\r\nB: 3\r\n\r\n', name);
    t.equal(passed(`${name.toUpperCase()}: 2`), '0\r\n\r\n', name.toUpperCase());
  }
});

t.test('sizes are written in hexadecimal', async (t) => {
  for (const [size, text] of [
    [0, '0\r\n'],
    [10, 'a\r\n'],
    [255, 'ff\r\n'],
    [2 ** 40, '10000000000\r\n'],
  ] as const)
    t.equal(chunkSize(size), text);
});
