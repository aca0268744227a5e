import t from 'tap';
import { judgeRequest, judgeResponse } from './judge.ts';
import type { Judgement } from './judge.ts';

const OURS = 'X-Forwarded-For: 192.0.2.1\r\nVia: 1.1 switchyard\r\n';
const request = (start: string, lines: string, body = ''): string => `${start}\r\n${lines}${OURS}\r\n${body}`;
const CHUNKED = 'Host: a\r\nTransfer-Encoding: chunked\r\n';

/** What is wrong, or `fine`. */
function verdict(found: Judgement): string {
  if (found === null) return 'more';
  if (typeof found === 'string') return found;
  return found.fault ?? (found.complete ? 'fine' : 'cut');
}

t.test('the judge accepts what a strict reader may', async (t) => {
  for (const text of [
    request('GET / HTTP/1.1', 'Host: a\r\n'),
    request('OPTIONS * HTTP/1.1', 'Host: [::1]:80\r\n'),
    request('POST /a?b HTTP/1.1', 'Host: a:80\r\nContent-Length: 2\r\n', 'ab'),
    request('POST / HTTP/1.1', CHUNKED, '2\r\nab\r\n0\r\n\r\n'),
    request('POST / HTTP/1.1', CHUNKED, '0\r\nX-Sum: 1\r\n\r\n'),
    request('GET / HTTP/1.1', 'Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'),
  ]) {
    t.equal(verdict(judgeRequest(text, 0, true)), 'fine', text);
    t.equal(verdict(judgeRequest(text, 0, false)), 'fine', text);
  }
});

t.test('and nothing that could be read in another way', async (t) => {
  const bad: readonly [string, string][] = [
    ['no Host', request('GET / HTTP/1.1', '')],
    ['two Hosts', request('GET / HTTP/1.1', 'Host: a\r\nHost: a\r\n')],
    ['userinfo in Host', request('GET / HTTP/1.1', 'Host: a@b\r\n')],
    ['two lengths', request('POST / HTTP/1.1', 'Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n', 'a')],
    ['both framings', request('POST / HTTP/1.1', `${CHUNKED}Content-Length: 5\r\n`, '0\r\n\r\n')],
    ['a list of lengths', request('POST / HTTP/1.1', 'Host: a\r\nContent-Length: 1, 1\r\n', 'a')],
    ['another coding', request('POST / HTTP/1.1', 'Host: a\r\nTransfer-Encoding: gzip, chunked\r\n')],
    ['a fold', request('GET / HTTP/1.1', 'Host: a\r\nX: a\r\n b\r\n')],
    ['a space before the colon', request('GET / HTTP/1.1', 'Host: a\r\nX : a\r\n')],
    ['a bare CR', request('GET / HTTP/1.1', 'Host: a\r\nX: a\rb\r\n')],
    ['a bare LF', request('GET / HTTP/1.1', 'Host: a\r\nX: a\nb: c\r\n')],
    ['a NUL', request('GET / HTTP/1.1', 'Host: a\r\nX: \0\r\n')],
    ['a fragment', request('GET /#a HTTP/1.1', 'Host: a\r\n')],
    ['CONNECT', request('CONNECT /a HTTP/1.1', 'Host: a\r\n')],
    ['a long space', request('GET  / HTTP/1.1', 'Host: a\r\n')],
    ['a chunk size with a sign', request('POST / HTTP/1.1', CHUNKED, '+2\r\nab\r\n0\r\n\r\n')],
    ['a chunk without CRLF', request('POST / HTTP/1.1', CHUNKED, '2\r\nabX\n0\r\n\r\n')],
    ['a chunk line that ends in LF', request('POST / HTTP/1.1', CHUNKED, '2\nab\r\n0\r\n\r\n')],
  ];
  for (const [name, text] of bad) {
    for (const own of [true, false]) t.not(verdict(judgeRequest(text, 0, own)), 'fine', name);
  }
});

t.test('of the proxy it accepts the canonical form alone', async (t) => {
  const bad: readonly [string, string][] = [
    ['an absolute target', request('GET http://a/ HTTP/1.1', 'Host: a\r\n')],
    ['HTTP/1.0', request('GET / HTTP/1.0', 'Host: a\r\n')],
    ['Keep-Alive', request('GET / HTTP/1.1', 'Host: a\r\nKeep-Alive: timeout=5\r\n')],
    ['Connection: close', request('GET / HTTP/1.1', 'Host: a\r\nConnection: close\r\n')],
    ['an alias', request('POST / HTTP/1.1', 'Host: a\r\nContent_Length: 5\r\n')],
    ['Upgrade alone', request('GET / HTTP/1.1', 'Host: a\r\nUpgrade: websocket\r\n')],
    ['zeros before a length', request('POST / HTTP/1.1', 'Host: a\r\nContent-Length: 01\r\n', 'a')],
    ['an extension', request('POST / HTTP/1.1', CHUNKED, '2;a=b\r\nab\r\n0\r\n\r\n')],
    ['zeros before a chunk size', request('POST / HTTP/1.1', CHUNKED, '02\r\nab\r\n0\r\n\r\n')],
    ['a trailer that frames', request('POST / HTTP/1.1', CHUNKED, '0\r\nContent-Length: 1\r\n\r\n')],
    ['empty lines before', `\r\n${request('GET / HTTP/1.1', 'Host: a\r\n')}`],
  ];
  for (const [name, text] of bad) {
    t.equal(verdict(judgeRequest(text, 0, false)), 'fine', `${name}, from a client`);
    t.not(verdict(judgeRequest(text, 0, true)), 'fine', `${name}, from us`);
  }
});

t.test('answers', async (t) => {
  const asked = { method: 'GET', upgrade: false };
  const of = (text: string, own = false, question = asked): string => verdict(judgeResponse(text, 0, question, own));
  t.equal(of('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab', true), 'fine');
  t.equal(of('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na', true), 'cut');
  t.equal(of('HTTP/1.1 200 OK\r\n\r\nab'), 'cut', 'it ends with the connection, which nobody sees here');
  t.equal(of('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n', true, { method: 'HEAD', upgrade: false }), 'fine');
  for (const [name, text] of [
    ['no reason and no space', 'HTTP/1.1 200\r\n\r\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['another protocol', 'ICY 200 OK\r\n\r\n'],
    ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['101 that nobody asked for', 'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n'],
  ]) {
    t.not(of(text), 'fine', name);
    t.not(of(text), 'cut', name);
  }
  for (const [name, text] of [
    ['a length in 204', 'HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n'],
    ['Keep-Alive', 'HTTP/1.1 204 No\r\nKeep-Alive: timeout=5\r\n\r\n'],
    ['Upgrade: in Connection without 101', 'HTTP/1.1 204 No\r\nConnection: Upgrade\r\n\r\n'],
  ]) {
    t.equal(of(text), 'fine', `${name}, of a backend`);
    t.not(of(text, true), 'fine', `${name}, of ours`);
  }
});
