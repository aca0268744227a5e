import t from 'tap';
import { AnswerRules } from '../../src/http/answer-rules.ts';
import { FieldEdits, isEditable } from '../../src/http/edit-fields.ts';
import { PageSet } from '../../src/http/pages.ts';
import { PathRule } from '../../src/http/path-rule.ts';
import { Redirect } from '../../src/http/redirect.ts';
import type { Place } from '../../src/http/redirect.ts';
import { fillTemplate, parseTemplate } from '../../src/http/template.ts';
import type { RedirectRule } from '../../src/pool/rules.ts';
import { latin1, parsedRequest } from './parsed.ts';

const WORDS = { client: '192.0.2.1', host: 'a.test', scheme: 'https', requestId: 'id' };
const NOTHING = { set: {}, add: {}, remove: [] };

t.test('templates', async (t) => {
  const cases: readonly (readonly [string, string | null])[] = [
    ['', ''],
    ['plain', 'plain'],
    ['{client}', '192.0.2.1'],
    ['<{scheme}://{host}/{request_id}>', '<https://a.test/id>'],
    ['{{client}', '{client}'],
    ['{{{client}', '{192.0.2.1'],
    ['}', '}'],
    ['{', null],
    ['{}', null],
    ['{ client}', null],
    ['{client', null],
    ['{toString}', null],
    ['{requestId}', null],
  ];
  for (const [text, filled] of cases) {
    const template = parseTemplate(text);
    t.equal(template === null ? null : fillTemplate(template, WORDS), filled, JSON.stringify(text));
  }
});

t.test('which names go', async (t) => {
  const edits = new FieldEdits({ set: { 'X-Auth-User': 'x', Host: 'b' }, add: { 'X-Tag': 'y' }, remove: ['x_debug'] });
  const drops = (name: string): boolean => edits.drops(latin1(`..${name}..`), 2, 2 + name.length);
  for (const name of ['X-Auth-User', 'x-auth-user', 'X_AUTH_USER', 'X-Auth_User', 'X-Debug', 'x_debug', 'host']) t.ok(drops(name), name);
  for (const name of ['X-Auth-Use', 'X-Auth-User2', 'X-Tag', 'Hosts', 'a'.repeat(200), '']) t.notOk(drops(name), name);
  t.equal(edits.host, 'b');
  t.equal(edits.written(WORDS), 'X-Auth-User: x\r\nX-Tag: y\r\n', 'Host has a place of its own');
  t.equal(new FieldEdits(NOTHING).drops(latin1('a'), 0, 1), false);
});

t.test('what may be changed', async (t) => {
  for (const name of ['Server', 'Cookie', 'Authorization', 'X-Real-IP', 'Content-Type', 'Accept-Encoding', 'X-Forwarded']) {
    t.ok(isEditable(name, 'request'), name);
    t.ok(isEditable(name, 'response'), name);
  }
  t.strictSame([isEditable('Host', 'request'), isEditable('Host', 'response')], [true, false]);
  t.strictSame([isEditable('X_Request_Id', 'request'), isEditable('X-Request-Id', 'request'), isEditable('X-Request-Id', 'response')], [false, false, true]);
});

t.test('paths that are put elsewhere', async (t) => {
  const cases: readonly (readonly [string, string, string, string | null])[] = [
    ['/', '/', '/a//b', '/a//b'],
    ['/', '/', '//a', null],
    ['/', '/v2', '//a', '/v2//a'],
    ['/api', '/', '/api', '/'],
    ['/api', '/', '/apis', null],
    ['/api', '/', '/API', null],
    ['/api', '/', '/ap%69/x', null],
    ['/api', '/', '/api/../x', '/../x'],
    ['/api', '/v2', '/api/../x', null],
    ['/api', '/v2', '/api/x/../y', '/v2/x/../y'],
    ['/api', '/v2', '/api/x/../../v2/y', '/v2/x/../../v2/y'],
    ['/api', '/v2', '/api/x/../../v20', null],
    ['/api', '/v2', '/api/%2e%2e/x', null],
    ['/api', '/v2', '/api/%2e%2e%2fx', null],
    ['/api', '/v2', '/api/..;a/x', null],
    ['/api', '/v2', '/api/..\\x', null],
    ['/api', '/v2', '/api/%zz', null],
    ['/api', '/v2', '/api/a;b/c', '/v2/a;b/c'],
  ];
  for (const [prefix, replacement, path, expected] of cases)
    t.equal(new PathRule(prefix, replacement).apply(path), expected, `${prefix} → ${replacement}: ${path}`);
});

t.test('where a redirect leads', async (t) => {
  const NONE: RedirectRule = { scheme: null, host: null, port: null, path: null, status: 308 };
  const HERE: Place = { scheme: 'http', host: 'a.test', port: '', path: '/x', query: '' };
  const cases: readonly (readonly [Partial<RedirectRule>, Partial<Place>, string | null])[] = [
    [{ scheme: 'https' }, {}, 'https://a.test/x'],
    [{ scheme: 'https' }, { port: '8080' }, 'https://a.test/x'],
    [{ scheme: 'https' }, { scheme: 'https', port: '8443' }, ''],
    [{ scheme: 'http' }, { scheme: 'https', port: '443' }, 'http://a.test/x'],
    [{ host: 'b.test' }, { port: '8080' }, 'http://b.test:8080/x'],
    [{ host: 'b.test' }, { port: '80' }, 'http://b.test/x'],
    [{ host: 'b.test' }, { scheme: 'https', port: '' }, 'https://b.test/x'],
    [{ host: 'a.test' }, { host: 'A.Test' }, ''],
    [{ host: 'a.test' }, { host: 'a.test.' }, 'http://a.test/x'],
    [{ port: 80 }, {}, ''],
    [{ port: 80 }, { port: '080' }, ''],
    [{ port: 81 }, { port: '99999' }, 'http://a.test:81/x'],
    [{ host: '[::1]' }, {}, 'http://[::1]/x'],
    [{ path: '/y' }, {}, 'http://a.test/y/x'],
    [{ path: '/' }, {}, ''],
    [{ path: '/x' }, {}, ''],
    [{ path: '/x' }, { path: '/xy' }, 'http://a.test/x/xy'],
    [{ path: '/x', scheme: 'https' }, {}, 'https://a.test/x/x'],
    [{ host: 'b.test' }, { path: '//c.test', query: '?a=/../%0d' }, 'http://b.test//c.test?a=/../%0d'],
    [{ host: 'b.test' }, { path: '/\\c', query: '?"<>^`{|}[]' }, 'http://b.test/%5Cc?%22%3C%3E%5E%60%7B%7C%7D[]'],
    [{ path: '/y' }, { path: '/../z' }, null],
  ];
  for (const [rule, place, expected] of cases) {
    t.equal(new Redirect({ ...NONE, ...rule }, '/').location({ ...HERE, ...place }), expected, JSON.stringify([rule, place]));
  }
});

t.test('what an answer says besides', async (t) => {
  const { head, buf } = parsedRequest('GET / HTTP/1.1\r\nHost: a\r\nx-FRAME-options: 1\r\n\r\n');
  const security = { hsts: { maxAge: 1, includeSubDomains: true, preload: true }, frame: 'DENY', nosniff: true, referrer: 'no-referrer' } as const;
  const rules = new AnswerRules({ set: {}, add: {}, remove: ['Referrer-Policy'] }, security);
  const HSTS = 'Strict-Transport-Security: max-age=1; includeSubDomains; preload\r\n';
  t.equal(rules.written(WORDS, head.fields, buf), `${HSTS}X-Content-Type-Options: nosniff\r\n`, 'not what is there, and not what is named elsewhere');
  t.equal(rules.written({ ...WORDS, scheme: 'http' }, null, buf), 'X-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\n', 'no HSTS over http');
  t.equal(new AnswerRules(NOTHING, null).written(WORDS, null, buf), '');
});

t.test('pages', async (t) => {
  const words = { status: '404', reason: 'a & "b"', code: '<c>', request_id: "'" };
  const of = (type: 'html' | 'txt' | 'json', body: string): string | undefined => new PageSet({ '4xx': { body, type } }).find(404)?.render(words).toString();
  t.equal(of('html', '{status} {reason} {code} {request_id} {other} { x }'), '404 a &amp; &quot;b&quot; &lt;c&gt; &#39; {other} { x }');
  t.equal(of('txt', '{reason}{reason}'), 'a & "b"a & "b"');
  t.equal(of('json', '{"r":"{reason}"}'), '{"r":"a & \\"b\\""}');
  t.equal(of('txt', ''), '');
  const set = new PageSet({ '404': { body: 'one', type: 'txt' }, '4xx': { body: 'class', type: 'txt' } });
  t.strictSame(
    [404, 410, 500].map((status) => set.find(status)?.render(words).toString() ?? null),
    ['one', 'class', null],
    'the status before its class',
  );
});
