import t from 'tap';
import { REJECT } from '../../src/errors/catalogue.ts';
import { everyByte, readRequest } from './parsed.ts';
import type { RequestMeaning } from './parsed.ts';

/** A request line and fields, each given its CRLF, and the empty line. */
const request = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
const get = (...fields: string[]): string => request('GET / HTTP/1.1', 'Host: a', ...fields);
const http10 = (...fields: string[]): string => request('GET / HTTP/1.0', ...fields);

const accepted: readonly (readonly [string, string, Partial<RequestMeaning>])[] = [
  ['the smallest', get(), { method: 'GET', target: '/', minor: 1, authority: 'a', body: 'none', length: 0, keepAlive: true, upgrade: null, size: 27 }],
  ['any token as a method', request("a!#$%&'*+-.^_`|~9 / HTTP/1.1", 'Host: a'), { method: "a!#$%&'*+-.^_`|~9" }],
  ['two empty lines before it', `\r\n\r\n${get()}`, { method: 'GET', size: 31 }],
  ['bytes behind it', `${get()}GET /next HTTP/1.1\r\n`, { target: '/', size: 27 }],
  ['HTTP/1.0 without a host', http10(), { minor: 0, authority: null, host: null, keepAlive: false }],
  ['HTTP/1.0 kept alive', http10('Connection: Keep-Alive'), { keepAlive: true }],
  ['HTTP/1.0 with a length', http10('Content-Length: 3'), { body: 'length', length: 3 }],
  ['HTTP/1.0 cannot upgrade', http10('Upgrade: x', 'Connection: upgrade'), { upgrade: null }],
  ['HTTP/1.0 does not wait for 100', http10('Expect: 100-continue'), { expectContinue: false }],
  ['white space around a value', get('X: \t a b \t'), { fields: ['Host=a', 'X=a b'] }],
  ['no white space and no value', get('X:', 'Y:y'), { fields: ['Host=a', 'X=', 'Y=y'] }],
  ['obs-text in a value', get('X: \x80\xff'), { fields: ['Host=a', 'X=\x80\xff'] }],
  ['fields in their order and case', get('b: 1', 'A: 2', 'b: 3'), { fields: ['Host=a', 'b=1', 'A=2', 'b=3'] }],
  ['the end of the connection', get('Connection: close'), { keepAlive: false }],
  ['close among others, in any case', get('Connection: foo,\tCLOSE , keep-alive'), { keepAlive: false }],
  ['close in a second field', get('Connection: keep-alive', 'Connection: close'), { keepAlive: false }],
  ['a name that only begins like close', get('Connection: closed'), { keepAlive: true }],
  ['empty list elements', get('Connection: , ,close,,'), { keepAlive: false }],
  ['an empty Connection', get('Connection:'), { keepAlive: true }],
  ['a length', get('Content-Length: 42'), { body: 'length', length: 42 }],
  ['a length of nothing', get('Content-Length: 0'), { body: 'length', length: 0 }],
  ['a length with leading zeros', get('Content-Length: 007'), { body: 'length', length: 7 }],
  ['the greatest length', get('Content-Length: 9007199254740991'), { length: 9_007_199_254_740_991 }],
  ['chunks', get('Transfer-Encoding: chunked'), { body: 'chunked' }],
  ['chunks in capitals', get('transfer-encoding: CHUNKED'), { body: 'chunked' }],
  ['an alias of a length is no length', get('Content_Length: 5'), { body: 'none' }],
  ['an alias of a coding is no coding', get('Transfer_Encoding: chunked'), { body: 'none' }],
  ['an upgrade', get('Upgrade: websocket', 'Connection: Upgrade'), { upgrade: 'websocket' }],
  ['an upgrade that Connection does not name', get('Upgrade: websocket'), { upgrade: null }],
  ['Connection alone is no upgrade', get('Connection: upgrade'), { upgrade: null }],
  ['no upgrade to cleartext HTTP/2', get('Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'), { upgrade: null }],
  ['nor in a list', get('Upgrade: websocket, H2C', 'Connection: Upgrade'), { upgrade: null }],
  ['no upgrade with two fields', get('Upgrade: a', 'Upgrade: b', 'Connection: Upgrade'), { upgrade: null }],
  ['no upgrade with a body', get('Upgrade: a', 'Connection: Upgrade', 'Content-Length: 1'), { upgrade: null, body: 'length' }],
  ['no upgrade with chunks', get('Upgrade: a', 'Connection: Upgrade', 'Transfer-Encoding: chunked'), { upgrade: null, body: 'chunked' }],
  ['waits for 100', get('Expect: 100-Continue'), { expectContinue: true }],
  ['takes trailers', get('TE: Trailers'), { trailers: true }],
  ['takes no trailers', get('TE: gzip'), { trailers: false }],
];

t.test('heads that are read', async (t) => {
  for (const [name, text, expected] of accepted) {
    const found = readRequest(text);
    t.match(found, expected, name);
    t.strictSame(readRequest(text, everyByte(text.length)), found, `${name}, byte by byte`);
  }
});

const { malformed, badMethod, badTarget, badField, badHost, badFraming, tls, expectation, notImplemented, version } = REJECT;

const refused: readonly (readonly [string, string, { readonly code: string }])[] = [
  ['no CR before LF in the request line', 'GET / HTTP/1.1\nHost: a\n\n', malformed],
  ['CR without LF in the request line', 'GET / HTTP/1.1\rHost: a\r\n\r\n', malformed],
  ['CR without LF before the head', `\r${get()}`, malformed],
  ['LF before the head', `\n${get()}`, badMethod],
  ['three empty lines', `\r\n\r\n\r\n${get()}`, badMethod],
  ['white space before the method', ` ${get()}`, badMethod],
  ['a method that is no token', 'G(T / HTTP/1.1\r\n', badMethod],
  ['a method and no more', 'GET\r\n', badMethod],
  ['a method that ends in a tab', 'GET\t/ HTTP/1.1\r\n', badMethod],
  ['a method of another alphabet', 'GÉT / HTTP/1.1\r\n', badMethod],
  ['a NUL', '\0', badMethod],
  ['a TLS handshake', '\x16\x03\x01', tls],
  ['two spaces before the target', 'GET  / HTTP/1.1\r\n', badTarget],
  ['no target', 'GET HTTP/1.1\r\n', badTarget],
  ['HTTP/0.9', 'GET /\r\n', badTarget],
  ['a fragment', 'GET /#a HTTP/1.1\r\n', badTarget],
  ['a tab in the target', 'GET /\ta HTTP/1.1\r\n', badTarget],
  ['a control byte in the target', 'GET /\x01 HTTP/1.1\r\n', badTarget],
  ['DEL in the target', 'GET /\x7f HTTP/1.1\r\n', badTarget],
  ['a byte above ASCII in the target', 'GET /\xe4 HTTP/1.1\r\n', badTarget],
  ['a space in the target', 'GET /a b HTTP/1.1\r\n', malformed],
  ['two spaces before the version', 'GET /  HTTP/1.1\r\n', malformed],
  ['a space behind the version', 'GET / HTTP/1.1 \r\n', malformed],
  ['a version in small letters', 'GET / http/1.1\r\n', malformed],
  ['another protocol', 'GET / ICY/1.1\r\n', malformed],
  ['a version of three digits', 'GET / HTTP/1.10\r\n', malformed],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\n', version],
  ['HTTP/0.9 with a version', 'GET / HTTP/0.9\r\n', version],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\n', version],
  ['white space before the first field', request('GET / HTTP/1.1', ' Host: a'), badField],
  ['a folded value', get('X: a', ' b'), badField],
  ['a value folded with a tab', get('X: a', '\tb'), badField],
  ['a space before the colon', get('X : a'), badField],
  ['a name without a colon', get('X'), badField],
  ['no name', get(': a'), badField],
  ['a name that is no token', get('X(: a'), badField],
  ['a byte above ASCII in a name', get('\xe4: a'), badField],
  ['NUL in a value', get('X: a\0b'), badField],
  ['a control byte in a value', get('X: \x1b[0m'), badField],
  ['DEL in a value', get('X: a\x7f'), badField],
  ['CR in a value', get('X: a\rb'), badField],
  ['LF in a value', get('X: a\nY: b'), badField],
  ['LF alone at the end of a line', 'GET / HTTP/1.1\r\nHost: a\n\r\n', badField],
  ['CR alone for the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\rX', badField],
  ['a Connection that is no list of tokens', get('Connection: close; x'), badField],
  ['a Connection of two words', get('Connection: keep alive'), badField],
  ['a quoted Connection', get('Connection: "close"'), badField],
  ['no host', request('GET / HTTP/1.1', 'X: a'), badHost],
  ['no host, absolute target', request('GET http://a/ HTTP/1.1', 'X: a'), badHost],
  ['two hosts', get('Host: a'), badHost],
  ['two lengths', get('Content-Length: 5', 'Content-Length: 6'), badFraming],
  ['a length twice', get('Content-Length: 5', 'Content-Length: 5'), badFraming],
  ['a list of lengths', get('Content-Length: 5, 5'), badFraming],
  ['no length in its field', get('Content-Length:'), badFraming],
  ['a signed length', get('Content-Length: +5'), badFraming],
  ['a negative length', get('Content-Length: -1'), badFraming],
  ['a hexadecimal length', get('Content-Length: 0x5'), badFraming],
  ['a length with white space inside', get('Content-Length: 1 2'), badFraming],
  ['a length of 2^53', get('Content-Length: 9007199254740992'), badFraming],
  ['a length of 20 digits', get('Content-Length: 00000000000000000005'), badFraming],
  ['a length and chunks', get('Content-Length: 5', 'Transfer-Encoding: chunked'), badFraming],
  ['chunks and a length', get('Transfer-Encoding: chunked', 'Content-Length: 5'), badFraming],
  ['chunks twice', get('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'), badFraming],
  ['an empty coding', get('Transfer-Encoding:'), badFraming],
  ['chunks in HTTP/1.0', http10('Transfer-Encoding: chunked'), badFraming],
  ['another coding', get('Transfer-Encoding: gzip'), notImplemented],
  ['another coding before chunked', get('Transfer-Encoding: gzip, chunked'), notImplemented],
  ['chunked in a list with itself', get('Transfer-Encoding: chunked, chunked'), notImplemented],
  ['chunked in a list with nothing', get('Transfer-Encoding: chunked,'), notImplemented],
  ['chunked with a parameter', get('Transfer-Encoding: chunked;a=b'), notImplemented],
  ['a coding behind a vertical tab', get('Transfer-Encoding: \x0bchunked'), badField],
  ['identity', get('Transfer-Encoding: identity'), notImplemented],
  ['CONNECT', request('CONNECT a:443 HTTP/1.1', 'Host: a:443'), notImplemented],
  ['CONNECT in another case', request('Connect / HTTP/1.1', 'Host: a'), notImplemented],
  ['another expectation', get('Expect: 200-ok'), expectation],
  ['an empty expectation', get('Expect:'), expectation],
];

t.test('heads that are refused, with the cause', async (t) => {
  for (const [name, text, fault] of refused) {
    t.equal(readRequest(text), fault.code, name);
    t.equal(readRequest(text, everyByte(text.length)), fault.code, `${name}, byte by byte`);
  }
  const codes = new Set(refused.map(([, , fault]) => fault.code));
  t.strictSame(
    [...codes].sort(),
    [malformed, badMethod, badTarget, badField, badHost, badFraming, tls, expectation, notImplemented, version].map(({ code }) => code).sort(),
    'every cause that a head without size has, has a case',
  );
});

t.test('a head that is not complete is neither read nor refused', async (t) => {
  const text = get('Content-Length: 5', 'X: y');
  for (let to = 0; to < text.length; to++) t.equal(readRequest(text.slice(0, to)), 'more', JSON.stringify(text.slice(0, to)));
});
