import t from 'tap';
import { hostEnd, routeHost } from '../../src/http/host.ts';
import { latin1, readRequest } from './parsed.ts';
import type { RequestMeaning } from './parsed.ts';

function line(text: string, host = 'a'): RequestMeaning | string {
  return readRequest(`${text} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
}

t.test('forms of the target', async (t) => {
  const cases: readonly (readonly [string, Partial<RequestMeaning> | string])[] = [
    ['GET /a/b?c=d', { target: '/a/b?c=d', absolute: false, authority: 'a' }],
    ['GET //a', { target: '//a', absolute: false, authority: 'a' }],
    ['GET /"<>\\^`{|}', { target: '/"<>\\^`{|}' }],
    ['GET /?a?b', { target: '/?a?b' }],
    ['OPTIONS *', { target: '*', absolute: false }],
    ['OPTIONS /', { target: '/' }],
    ['GET *', 'bad-target'],
    ['options *', 'bad-target'],
    ['OPTIONS *a', 'bad-target'],
    ['GET ?a', 'bad-target'],
    ['GET a', 'bad-target'],
    ['GET a:80', 'bad-target'],
    ['GET http://b/c?d', { target: '/c?d', absolute: true, authority: 'b', host: 'b' }],
    ['GET HTTPS://b/c', { target: '/c', absolute: true, authority: 'b' }],
    ['GET http://b', { target: '', absolute: true, authority: 'b' }],
    ['GET http://b?c', { target: '?c', absolute: true, authority: 'b' }],
    ['GET http://b:8080/', { target: '/', authority: 'b:8080', host: 'b' }],
    ['GET http://[::1]:8080/', { target: '/', authority: '[::1]:8080', host: '[::1]' }],
    ['OPTIONS http://b/', { target: '/', absolute: true }],
    ['OPTIONS http://b', { target: '', absolute: true }],
    ['GET http:/b/', 'bad-target'],
    ['GET http:b/', 'bad-target'],
    ['GET http://', 'bad-target'],
    ['GET http:///c', 'bad-target'],
    ['GET http://u@b/', 'bad-target'],
    ['GET http://u:p@b/', 'bad-target'],
    ['GET http://b\\c/', 'bad-target'],
    ['GET http://b,c/', 'bad-target'],
    ['GET ftp://b/', 'bad-target'],
    ['GET httpx://b/', 'bad-target'],
    ['GET ://b/', 'bad-target'],
  ];
  for (const [text, expected] of cases) t.match(line(text), expected, text);
});

t.test('an absolute target replaces Host, which has to be valid all the same', async (t) => {
  t.match(line('GET http://b/', 'c'), { authority: 'b' });
  t.equal(line('GET http://b/', 'c d'), 'bad-host');
});

const hosts: readonly (readonly [string, string | null])[] = [
  ['a', 'a'],
  ['A.Example', 'a.example'],
  ['a.example.', 'a.example'],
  ['.', '.'],
  ['a:80', 'a'],
  ['a:65535', 'a'],
  ['a:', 'a'],
  ['127.0.0.1:8080', '127.0.0.1'],
  ['[::1]', '[::1]'],
  ['[2001:DB8::1]:443', '[2001:db8::1]'],
  ['[::ffff:127.0.0.1]', '[::ffff:127.0.0.1]'],
  ['a_b', 'a_b'],
  ['%41', '%41'],
  ["a!$&'()*+;=~-", "a!$&'()*+;=~-"],
  ['', null],
  [':80', null],
  ['a:123456', null],
  ['a:8a', null],
  ['a:80:80', null],
  ['a:-1', null],
  ['a b', null],
  ['a,b', null],
  ['a/b', null],
  ['a?b', null],
  ['a#b', null],
  ['a@b', null],
  ['a\\b', null],
  ['a"b', null],
  ['a<b', null],
  ['a\x80', null],
  ['%4', null],
  ['%', null],
  ['%4g', null],
  ['::1', null],
  ['[::1', null],
  ['[]', null],
  ['[::1]a', null],
  ['[::1%25eth0]', null],
  ['[g::1]', null],
  ['[v1.a]', null],
];

t.test('hosts', async (t) => {
  for (const [text, expected] of hosts) {
    const buf = latin1(`<${text}>`);
    const end = hostEnd(buf, 1, 1 + text.length);
    t.equal(end === -1 ? null : routeHost(buf, 1, end), expected, JSON.stringify(text));
    const found = line('GET /', text);
    if (expected === null) t.equal(found, 'bad-host', `Host: ${JSON.stringify(text)}`);
    else t.match(found, { authority: text, fields: [`Host=${text}`] }, `Host: ${text}`);
  }
});
