import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { diffConfig } from '../../src/config/diff.ts';
import type { RouteInput, UpstreamInput } from '../../src/config/input.ts';
import { parseConfig, parseUpstream } from '../../src/config/parse.ts';
import type { RouteRules } from '../../src/pool/rules.ts';
import { issuesOf } from '../helpers/issues_of.ts';
import { cli } from '../helpers/proxy.ts';
import { tempDir } from '../helpers/temp.ts';

const rulesOf = (route: RouteInput): RouteRules | null => parseUpstream('web', { routes: [route] }).policy.routes[0].rules;
const NOTHING = { set: {}, add: {}, remove: [] };
const NONE: RouteRules = {
  redirect: null,
  rewrite: null,
  headers: { request: NOTHING, response: NOTHING },
  methods: null,
  limits: null,
  security: null,
  maintenance: null,
};
const SAFE = {
  hsts: { maxAge: 31_536_000, includeSubDomains: false, preload: false },
  frame: 'SAMEORIGIN',
  nosniff: true,
  referrer: 'strict-origin-when-cross-origin',
};
const CLOSED = { page: null, status: 503, retryAfter: 60_000, allow: [] };

t.test('a route has rules only where something is said, with the documented defaults', async (t) => {
  t.equal(rulesOf({ host: 'a', path: '/b' }), null);
  t.equal(rulesOf({ security: false }), null, 'false is nothing');
  t.strictSame(rulesOf({ redirect: { host: 'B.Example' } }), {
    ...NONE,
    redirect: { scheme: null, host: 'b.example', port: null, path: null, status: 308 },
  });
  t.strictSame(rulesOf({ rewrite: '/v2/' }), { ...NONE, rewrite: '/v2' });
  t.strictSame(rulesOf({ methods: ['GET'], limits: { body: null } }), { ...NONE, methods: ['GET'], limits: { body: null } });
  t.strictSame(rulesOf({ headers: { request: { set: { Host: 'a:1', 'X-A': '{client}' } } } }), {
    ...NONE,
    headers: { request: { ...NOTHING, set: { Host: 'a:1', 'X-A': '{client}' } }, response: NOTHING },
  });
  t.strictSame(rulesOf({ security: true }), { ...NONE, security: SAFE });
  t.strictSame(rulesOf({ security: { hsts: false, frame: false, referrer: false } }), {
    ...NONE,
    security: { hsts: null, frame: null, nosniff: true, referrer: null },
  });
  t.strictSame(rulesOf({ maintenance: true }), { ...NONE, maintenance: CLOSED });
  t.strictSame(rulesOf({ maintenance: false }), { ...NONE, maintenance: false }, 'open, whatever the upstream is');
});

const PLACEHOLDERS = "a value whose only placeholders are {client}, {host}, {scheme} and {request_id} ('{{' for a brace)";
const EDITABLE = 'the name of a field that is not for the proxy alone to say (framing, hop-by-hop and forwarding fields are)';
const request = (changes: object): object => ({ headers: { request: changes } });
const response = (changes: object): object => ({ headers: { response: changes } });

/** Fields of a route, the place under it, and the message. */
const BAD: readonly (readonly [object, string, string])[] = [
  [{ redirect: {} }, 'redirect', 'expected a scheme, host, port or path to lead to, got an object'],
  [{ redirect: { scheme: 'ftp' } }, 'redirect.scheme', "expected 'http' or 'https', got 'ftp'"],
  [{ redirect: { host: '*.a' } }, 'redirect.host', "expected a host name or '[ipv6]' (no port, no scheme), got '*.a'"],
  [{ redirect: { host: 'a', status: 304 } }, 'redirect.status', 'expected 301 or 302 or 303 or 307 or 308, got 304'],
  [{ rewrite: 'v2' }, 'rewrite', "expected a path that begins with '/', without '//', '.' or '..' segments, '?', '#', '*' or spaces, got 'v2'"],
  [request({ set: { 'x a': '' } }), 'headers.request.set.x a', "expected a header or cookie name (letters, digits and - _ . among others), got 'x a'"],
  [request({ set: { 'X-A': '{user}' } }), 'headers.request.set.X-A', `expected ${PLACEHOLDERS}, got '{user}'`],
  [request({ set: { 'X-A': '{' } }), 'headers.request.set.X-A', `expected ${PLACEHOLDERS}, got '{'`],
  [request({ set: { 'X-A': 'a\r\nb' } }), 'headers.request.set.X-A', "expected a header value without line breaks, got 'a??b'"],
  [request({ set: { Host: '{client}' } }), 'headers.request.set.Host', "expected a host name or address, with or without ':port', got '{client}'"],
  ...[':::', '[::1', 'a:b', 'a:999999'].map(
    (host) =>
      [request({ set: { Host: host } }), 'headers.request.set.Host', `expected a host name or address, with or without ':port', got '${host}'`] as const,
  ),
  [request({ add: { host: 'a' } }), 'headers.request.add.host', "expected another field than Host, which can only be set, got 'host'"],
  [request({ set: { 'X-A': '1' }, remove: ['x_a'] }), 'headers.request.remove[0]', "expected a field that nothing else here names, got 'x_a'"],
  [request({ set: { 'X-A': '1', 'x-a': '2' } }), 'headers.request.set.x-a', "expected a field that nothing else here names, got 'x-a'"],
  [
    response({ set: { 'Set-Cookie': 'a' } }),
    'headers.response.set.Set-Cookie',
    "expected another field than Set-Cookie, which can be added and removed, got 'Set-Cookie'",
  ],
  [{ methods: [] }, 'methods', 'expected at least 1 of them, got an empty list'],
  [{ methods: ['trace'] }, 'methods[0]', "expected a method such as 'GET' (never TRACE or CONNECT), got 'trace'"],
  [{ methods: ['get'] }, 'methods[0]', "expected 'GET' (methods are case-sensitive), got 'get'"],
  [{ methods: ['GE T'] }, 'methods[0]', "expected a method such as 'GET' (never TRACE or CONNECT), got 'GE T'"],
  [{ limits: { connections: 1 } }, 'limits.connections', 'is not a known field'],
  [{ security: { hsts: { preload: true } } }, 'security.hsts', 'expected preload only with includeSubDomains and a maxAge of at least 31536000, got an object'],
  [{ security: { frame: 'ALLOW' } }, 'security.frame', "expected 'DENY', 'SAMEORIGIN' or false, got 'ALLOW'"],
  [{ security: { referrer: 'a\nb' } }, 'security.referrer', "expected a policy such as 'no-referrer', or false, got 'a?b'"],
  [{ maintenance: { allow: ['x'] } }, 'maintenance.allow[0]', "expected an IP address or network such as '10.0.0.0/8' or 'fd00::/8', got 'x'"],
  [{ maintenance: { status: 200 } }, 'maintenance.status', 'expected a whole number from 400 to 599, got 200'],
];

t.test('each mistake in a rule is named', async (t) => {
  for (const [route, place, message] of BAD) {
    const found = issuesOf(() => parseConfig({ upstreams: { web: { routes: [{ ...route }] } } }));
    if (place === 'limits.connections') t.match(found, [{ path: 'upstreams.web.routes[0].limits.body' }, { message }]);
    else t.strictSame(found, [{ path: `upstreams.web.routes[0].${place}`, message }], JSON.stringify(route));
  }
});

t.test('a value that may be a secret is in no message', async (t) => {
  for (const name of ['Authorization', 'cookie', 'X-Api-Key']) {
    const found = issuesOf(() => parseUpstream('web', { routes: [request({ set: { [name]: 'geheim {' } })] }));
    t.strictSame(found, [{ path: `routes[0].headers.request.set.${name}`, message: `expected ${PLACEHOLDERS}, got a value that is not shown` }]);
  }
});

t.test('what is the proxy’s own to say cannot be changed, in whatever spelling', async (t) => {
  const own = ['Content-Length', 'transfer-encoding', 'Connection', 'Keep-Alive', 'Proxy-Connection', 'TE', 'Trailer', 'Upgrade', 'HTTP2-Settings', 'Expect'];
  const more = ['Via', 'Forwarded', 'X-Forwarded-For', 'x_forwarded_for', 'X-Forwarded-Whatever', 'traceparent', 'tracestate', 'Content_Length', 'Date'];
  for (const name of [...own, ...more]) {
    for (const side of [request, response]) {
      for (const changes of [{ set: { [name]: '1' } }, { add: { [name]: '1' } }, { remove: [name] }]) {
        const found = issuesOf(() => parseUpstream('web', { routes: [side(changes)] }));
        t.match(found, [{ message: `expected ${EDITABLE}, got '${name}'` }], `${name} ${JSON.stringify(changes)}`);
      }
    }
  }
  t.equal(issuesOf(() => parseUpstream('web', { routes: [request({ set: { 'X-Request-Id': '1' } })] })).length, 1);
  t.strictSame(
    issuesOf(() => parseUpstream('web', { routes: [response({ set: { 'X-Request-Id': '{request_id}' } })] })),
    [],
    'an answer may say the id',
  );
});

t.test('pages are read from files beside the configuration', async (t) => {
  const folder = await tempDir(t, 'switchyard-pages');
  await mkdir(join(folder, 'pages'));
  await writeFile(join(folder, 'pages', '404.html'), '<p>nö {code}');
  await writeFile(join(folder, 'sorry.txt'), 'sorry');
  const web: UpstreamInput = { routes: [{}], errorPages: { '5xx': 'sorry.txt' }, maintenance: { page: { body: '{}', type: 'json' } } };
  const read = (): ReturnType<typeof parseConfig> => parseConfig({ errorPages: { '404': 'pages/404.html' }, upstreams: { web } }, { folder });
  const config = read();
  t.strictSame(config.edge.errorPages, { '404': { body: '<p>nö {code}', type: 'html' } });
  t.strictSame(config.upstreams.get('web')?.policy.errorPages, { '5xx': { body: 'sorry', type: 'txt' } });
  t.strictSame(config.upstreams.get('web')?.policy.maintenance, { ...CLOSED, page: { body: '{}', type: 'json' } });
  await writeFile(join(folder, 'sorry.txt'), 'very sorry');
  t.match(diffConfig(config, read()), { changed: [{ fields: ['errorPages'] }], edge: false, same: false }, 'a page that was edited is a change');
  await writeFile(join(folder, 'pages', '404.html'), 'x');
  t.equal(diffConfig(config, read()).edge, true);
});

t.test('pages that cannot be had are named', async (t) => {
  const folder = await tempDir(t, 'switchyard-pages');
  await writeFile(join(folder, 'large.html'), 'x'.repeat(65_537));
  await writeFile(join(folder, 'fits.html'), 'x'.repeat(65_536));
  await writeFile(join(folder, 'latin1.html'), Buffer.from('caf\xe9', 'latin1'));
  await mkdir(join(folder, 'folder.html'));
  const KIND = 'the name of a file that ends in .html, .txt or .json, or {body, type}';
  const FILE = 'a file of at most 65536 bytes';
  const cases: readonly (readonly [unknown, string])[] = [
    ['gone.html', `expected ${FILE}, got 'gone.html', which is not there`],
    ['large.html', `expected ${FILE}, got 'large.html', which has 65537`],
    ['latin1.html', `expected ${FILE}, got 'latin1.html', which is not UTF-8`],
    ['folder.html', `expected ${FILE}, got 'folder.html', which is not a file`],
    ['page.php', `expected ${KIND}, got 'page.php'`],
    [5, `expected ${KIND}, got 5`],
  ];
  for (const [page, message] of cases) {
    t.strictSame(
      issuesOf(() => parseConfig({ errorPages: { '4xx': page } }, { folder })),
      [{ path: 'errorPages.4xx', message }],
    );
    const web = { routes: [{ maintenance: { page } }] };
    t.strictSame(
      issuesOf(() => parseConfig({ upstreams: { web } }, { folder })),
      [{ path: 'upstreams.web.routes[0].maintenance.page', message }],
    );
  }
  t.strictSame(
    issuesOf(() => parseConfig({ errorPages: { '4xx': 'fits.html' } }, { folder })),
    [],
  );
  t.match(
    issuesOf(() => parseConfig({ errorPages: { '200': 'fits.html' } }, { folder })),
    [{ path: 'errorPages.200', message: "expected a status from 400 to 599, '4xx' or '5xx', got '200'" }],
  );
  t.match(
    issuesOf(() => parseUpstream('web', { routes: [{}], errorPages: { '404': 'fits.html' } })),
    [{ path: 'errorPages.404', message: "expected {body, type}, because only a configuration file may name files, got 'fits.html'" }],
  );
});

t.test('check says what is wrong', async (t) => {
  const folder = await tempDir(t, 'switchyard-check');
  const file = join(folder, 'proxy.config.json');
  await writeFile(file, JSON.stringify({ errorPages: { '404': 'gone.html' }, upstreams: { web: { routes: [{}] } } }));
  const { code, stderr } = await cli(['check', '--config', file]);
  t.equal(code, 2);
  t.match(stderr, "errorPages.404: expected a file of at most 65536 bytes, got 'gone.html', which is not there");
});

t.test('a change of a rule is a change of its routes', async (t) => {
  const config = (methods: readonly string[]): ReturnType<typeof parseConfig> => parseConfig({ upstreams: { web: { routes: [{ methods }] } } });
  t.match(diffConfig(config(['GET']), config(['POST'])), { changed: [{ fields: ['routes'] }], same: false });
  t.equal(diffConfig(config(['GET']), config(['GET'])).same, true);
});
