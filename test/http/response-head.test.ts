import t from 'tap';
import { everyByte, PLAIN, readResponse } from './parsed.ts';
import type { ResponseMeaning } from './parsed.ts';

const response = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
const ok = (...fields: string[]): string => response('HTTP/1.1 200 OK', ...fields);
const LENGTH = 'Content-Length: 5';
const CHUNKED = 'Transfer-Encoding: chunked';
const HEAD = { head: true, upgrade: false };
const UPGRADE = { head: false, upgrade: true };

const accepted: readonly (readonly [string, string, Partial<ResponseMeaning>, { head: boolean; upgrade: boolean }?])[] = [
  ['a length', ok(LENGTH), { status: 200, reason: 'OK', minor: 1, body: 'length', length: 5, keepAlive: true, size: 38 }],
  ['a length of nothing', ok('Content-Length: 0'), { body: 'length', length: 0 }],
  ['chunks', ok(CHUNKED), { body: 'chunked', keepAlive: true }],
  ['neither: until the connection ends', ok(), { body: 'close', keepAlive: false }],
  ['neither, and asked to keep alive', ok('Connection: keep-alive'), { body: 'close', keepAlive: false }],
  ['no reason', response('HTTP/1.1 200 ', LENGTH), { status: 200, reason: '' }],
  ['a reason of many words and bytes', response('HTTP/1.1 404 Nicht da: \xe4\t!', LENGTH), { status: 404, reason: 'Nicht da: \xe4\t!' }],
  ['the lowest status', response('HTTP/1.1 100 Continue'), { status: 100, body: 'none', keepAlive: true }],
  ['the highest status', response('HTTP/1.1 599 x', LENGTH), { status: 599, body: 'length' }],
  ['an answer to HEAD with a length', ok(LENGTH), { body: 'none', length: 5, keepAlive: true }, HEAD],
  ['an answer to HEAD with chunks', ok(CHUNKED), { body: 'none', keepAlive: true }, HEAD],
  ['an answer to HEAD with neither', ok(), { body: 'none', keepAlive: true }, HEAD],
  ['103 has no body', response('HTTP/1.1 103 Early Hints', LENGTH), { body: 'none' }],
  ['204 has no body', response('HTTP/1.1 204 No Content', LENGTH), { body: 'none', keepAlive: true }],
  ['204 has no chunks', response('HTTP/1.1 204 No Content', CHUNKED), { body: 'none' }],
  ['304 has no body', response('HTTP/1.1 304 Not Modified', LENGTH), { body: 'none', keepAlive: true }],
  ['205 has one', response('HTTP/1.1 205 Reset Content', 'Content-Length: 0'), { body: 'length', length: 0 }],
  ['101 that was asked for', response('HTTP/1.1 101 Switching Protocols', 'Upgrade: x', 'Connection: Upgrade'), { status: 101, body: 'none' }, UPGRADE],
  ['another answer to an upgrade', ok(LENGTH), { body: 'length' }, UPGRADE],
  ['HTTP/1.0', response('HTTP/1.0 200 OK', LENGTH), { minor: 0, body: 'length', keepAlive: false }],
  ['HTTP/1.0 kept alive', response('HTTP/1.0 200 OK', LENGTH, 'Connection: keep-alive'), { keepAlive: true }],
  ['the end of the connection', ok(LENGTH, 'Connection: x, Close'), { keepAlive: false }],
  ['a Date', ok(LENGTH, 'date: x'), { dated: true }],
  ['no Date', ok(LENGTH, 'Dated: x'), { dated: false }],
  ['a Content-Type', ok(LENGTH, 'content-type: text/event-stream'), { contentType: 'text/event-stream' }],
  ['how long it keeps alive', ok(LENGTH, 'Keep-Alive: max=5, Timeout=12'), { keepAliveSeconds: 12 }],
  ['not how long', ok(LENGTH, 'Keep-Alive: max=5, mytimeout=12'), { keepAliveSeconds: -1 }],
  ['not said how long', ok(LENGTH), { keepAliveSeconds: -1 }],
  ['an alias of a length is none', ok('Content_Length: 5'), { body: 'close' }],
  ['fields in their order', ok(LENGTH, 'Set-Cookie: b', 'set-cookie: a'), { fields: ['Content-Length=5', 'Set-Cookie=b', 'set-cookie=a'] }],
];

t.test('heads that are read', async (t) => {
  for (const [name, text, expected, asked = PLAIN] of accepted) {
    const found = readResponse(text, asked);
    t.match(found, expected, name);
    t.strictSame(readResponse(text, asked, everyByte(text.length)), found, `${name}, byte by byte`);
  }
});

const LINE = 'the status line is not valid';
const FIELD = 'a header field is not valid or there are too many';
const TWO_WAYS = 'the body is framed in two ways';
const CODING = 'Transfer-Encoding is not exactly chunked';
const BAD_LENGTH = 'Content-Length is not valid';
const LARGE = 'the head is too large';

const refused: readonly (readonly [string, string, string])[] = [
  ['no HTTP', 'hello\r\n', LINE],
  ['an empty line first', `\r\n${ok(LENGTH)}`, LINE],
  ['small letters', 'http/1.1 200 OK\r\n', LINE],
  ['HTTP/2', 'HTTP/2 200 \r\n', LINE],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n', LINE],
  ['no space behind the status', 'HTTP/1.1 200\r\n', LINE],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n', LINE],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\n', LINE],
  ['a signed status', 'HTTP/1.1 +20 OK\r\n', LINE],
  ['two spaces', 'HTTP/1.1  200 OK\r\n', LINE],
  ['a control byte in the reason', 'HTTP/1.1 200 O\x00K\r\n', LINE],
  ['LF alone', 'HTTP/1.1 200 OK\n', LINE],
  ['CR alone', 'HTTP/1.1 200 OK\rX', LINE],
  ['a status under 100', 'HTTP/1.1 099 x\r\n', 'the status is not 100 to 599'],
  ['a status over 599', 'HTTP/1.1 600 x\r\n', 'the status is not 100 to 599'],
  ['a space before the colon', ok('Content-Length : 5'), FIELD],
  ['a folded value', ok('X: a', ' b'), FIELD],
  ['LF in a value', ok('X: a\nY: b'), FIELD],
  ['NUL in a value', ok('X: a\0'), FIELD],
  ['two lengths', ok(LENGTH, 'Content-Length: 6'), BAD_LENGTH],
  ['a length twice', ok(LENGTH, LENGTH), BAD_LENGTH],
  ['a list of lengths', ok('Content-Length: 5, 5'), BAD_LENGTH],
  ['a negative length', ok('Content-Length: -5'), BAD_LENGTH],
  ['another coding', ok('Transfer-Encoding: gzip, chunked'), CODING],
  ['chunks twice', ok(CHUNKED, CHUNKED), CODING],
  ['an empty coding', ok('Transfer-Encoding:'), CODING],
  ['a length and chunks', ok(LENGTH, CHUNKED), TWO_WAYS],
  ['chunks in HTTP/1.0', response('HTTP/1.0 200 OK', CHUNKED), TWO_WAYS],
  ['framed in two ways, and no body', response('HTTP/1.1 204 No Content', LENGTH, CHUNKED), TWO_WAYS],
  ['a Connection of two words', ok(LENGTH, 'Connection: keep alive'), 'Connection is not a list of tokens'],
  ['101 that was not asked for', response('HTTP/1.1 101 Switching Protocols', 'Upgrade: x'), 'it switches protocols without being asked'],
];

t.test('heads that are refused, with the problem', async (t) => {
  for (const [name, text, problem] of refused) {
    t.equal(readResponse(text), problem, name);
    t.equal(readResponse(text, PLAIN, everyByte(text.length)), problem, `${name}, byte by byte`);
  }
});

t.test('limits', async (t) => {
  const start = 'HTTP/1.1 200 OK\r\n';
  const headOf = (size: number): string => `${start}X: ${'x'.repeat(size - start.length - 7)}\r\n\r\n`;
  const limit = 65_536;
  t.match(readResponse(headOf(limit)), { size: limit });
  t.match(readResponse(headOf(limit), PLAIN, [20, limit - 1]), { size: limit });
  t.equal(readResponse(headOf(limit + 1)), LARGE);
  t.equal(readResponse(headOf(limit + 1), PLAIN, [20, limit - 1, limit]), LARGE);
  t.equal(readResponse(headOf(limit + 100).slice(0, limit)), LARGE, 'refused before it is all there');
  t.equal(readResponse(`HTTP/1.1 200 ${'x'.repeat(limit)}`), LARGE, 'a reason without an end');
  t.type(readResponse(ok(...Array<string>(256).fill('X: y'))), 'object', '256 fields');
  t.equal(readResponse(ok(...Array<string>(257).fill('X: y'))), FIELD, '257 fields');
});

t.test('a head that is not complete is neither read nor refused', async (t) => {
  const text = ok(LENGTH, 'X: y');
  for (let to = 0; to < text.length; to++) t.equal(readResponse(text.slice(0, to)), 'more', JSON.stringify(text.slice(0, to)));
});
