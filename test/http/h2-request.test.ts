import t from 'tap';
import { writeAsHttp1, writeTrailerLines } from '../../src/http/h2-request.ts';
import type { Translated } from '../../src/http/h2-request.ts';
import { HeadWriter } from '../../src/http/writer.ts';

const out = new HeadWriter();
const GET = [':method', 'GET', ':scheme', 'https', ':authority', 'a.example', ':path', '/x?y'];

function write(fields: readonly string[], ended = true): Translated & { text: string } {
  out.begin();
  const found = writeAsHttp1(out, { fields, ended, key: 'nonce' });
  return { ...found, text: out.view().toString('latin1') };
}

t.test('a head is written as HTTP/1.1 says it', async (t) => {
  const plain = write([...GET, 'cookie', 'a=1', 'x-b', 'caf\xe9', 'cookie', 'b=2', 'te', 'trailers']);
  t.equal(plain.text, 'GET /x?y HTTP/1.1\r\nx-b: caf\xe9\r\nte: trailers\r\nHost: a.example\r\ncookie: a=1; b=2\r\n\r\n', 'another may follow');
  t.match(plain, { problem: null, chunked: false, webSocket: false });
  t.match(write(GET, false), { chunked: true, text: /\r\nTransfer-Encoding: chunked\r\n\r\n$/ });
  const known = write([...GET, 'content-length', '5'], false);
  t.match(known, { chunked: false, text: /\r\ncontent-length: 5\r\n(.*\r\n)*Connection: close\r\n\r\n$/ }, 'what comes behind the body is no request');
  t.notMatch(known.text, /Transfer-Encoding/);
});

t.test('a WebSocket becomes the handshake of one, with a key of our own', async (t) => {
  const head = [
    ':method',
    'CONNECT',
    ':protocol',
    'websocket',
    ...GET.slice(2),
    'sec-websocket-key',
    'theirs',
    'sec-websocket-version',
    '13',
    'content-length',
    '5',
  ];
  const { text, webSocket } = write(head, false);
  t.equal(webSocket, true);
  t.match(text, /^GET \/x\?y HTTP\/1\.1\r\n/);
  t.match(text, /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: nonce\r\n\r\n$/);
  t.notMatch(text, /theirs|content-length|Transfer-Encoding/);
  t.match(write([':method', 'CONNECT', ':authority', 'a:1'], false).text, /^CONNECT a:1 HTTP\/1\.1\r\n/, 'and a plain CONNECT stays one');
});

t.test('what could be read as another line is no request', async (t) => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['a line end in a value', [...GET, 'x', 'a\r\nb: c']],
    ['a bare LF', [...GET, 'x', 'a\nb']],
    ['NUL', [...GET, 'x', 'a\0b']],
    ['a code above 255', [...GET, 'x', 'Ċ']],
    ['a name with a colon', [...GET, 'x: y', '1']],
    ['a name in upper case', [...GET, 'X', '1']],
    ['an empty name', [...GET, '', '1']],
    ['a space in the method', [':method', 'GET /', ...GET.slice(2)]],
    ['a method above 255', [':method', 'GŐT', ...GET.slice(2)]],
    ['a line end in the path', [...GET.slice(0, 6), ':path', '/ HTTP/1.1\r\nx: y']],
    ['a line end in the authority', [':method', 'GET', ':path', '/', ':authority', 'a\r\nx: y']],
    ['no method', GET.slice(2)],
    ['no path', GET.slice(0, 6)],
    ['a pseudo-header twice', [...GET, ':path', '/']],
    ['one that nobody knows', [...GET, ':x', '/']],
    ['one behind a field', ['x', '1', ...GET]],
    ['another host', [...GET, 'host', 'b.example']],
    ['Connection', [...GET, 'connection', 'x']],
    ['Transfer-Encoding', [...GET, 'transfer-encoding', 'chunked']],
    ['Upgrade', [...GET, 'upgrade', 'websocket']],
    ['TE', [...GET, 'te', 'gzip']],
    ['HTTP2-Settings', [...GET, 'http2-settings', 'x']],
    ['a protocol without CONNECT', [...GET, ':protocol', 'websocket']],
    ['another protocol', [':method', 'CONNECT', ':protocol', 'connect-udp', ...GET.slice(2)]],
  ];
  for (const [what, fields] of cases) t.not(write(fields).problem, null, what);
});

t.test('trailers are lines, or refused', async (t) => {
  out.begin();
  t.equal(writeTrailerLines(out, ['x-a', '1', 'x-b', '2']), null);
  t.equal(out.view().toString('latin1'), 'x-a: 1\r\nx-b: 2\r\n');
  for (const fields of [
    [':path', '/'],
    ['x', 'a\r\nb'],
    ['', '1'],
    ['x y', '1'],
  ])
    t.not(writeTrailerLines(out, fields), null, String(fields));
});
