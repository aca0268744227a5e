import t from 'tap';
import { parseConfig } from '../../src/config/parse.ts';
import { issuesOf } from '../helpers/issues_of.ts';

/** A configuration with one upstream `web`, with these fields besides its route. */
const web = (fields: Record<string, unknown>): unknown => ({ upstreams: { web: { routes: [{}], ...fields } } });
const backends = (...all: unknown[]): unknown => web({ versions: { v1: { backends: all } } });

const NAME = "a name of letters, digits, '.', '_' and '-', at most 63, that begins with a letter or digit";
const DURATION = "a duration such as '500ms', '30s' or '5m'";
const HOST = "a host name, '*.' and a host name, or '*' (no port, no scheme; international names in their xn-- form)";
const PATH = "a path that begins with '/', without '//', '.' or '..' segments, '?', '#', '*' or spaces";
const ADDRESS = "'host:port' or '[ipv6]:port' with a port from 1 to 65535";
const CIDR = "an IP address or network such as '10.0.0.0/8' or 'fd00::/8'";
const long = 'x'.repeat(70);

/** What is wrong, the place that must be named, and the message: what was expected and what was found. */
const BAD: readonly (readonly [string, unknown, string, string])[] = [
  ['not an object', 5, '', 'expected an object, got 5'],
  ['nothing', null, '', 'expected an object, got null'],
  ['unknown top-level field', { upstream: {} }, 'upstream', 'is not a known field'],
  ['unknown upstream field', web({ heatlh: {} }), 'upstreams.web.heatlh', 'is not a known field'],
  ['unknown nested field', web({ health: { intervall: '2s' } }), 'upstreams.web.health.intervall', 'is not a known field'],
  ['upstream name', { upstreams: { 'we b': { routes: [{}] } } }, 'upstreams.we b', `expected ${NAME}, got 'we b'`],
  ['upstreams as a list', { upstreams: [] }, 'upstreams', 'expected an object, got an empty list'],
  ['no routes', { upstreams: { web: {} } }, 'upstreams.web.routes', 'expected a list, got nothing'],
  ['empty routes', { upstreams: { web: { routes: [] } } }, 'upstreams.web.routes', 'expected at least 1 of them, got an empty list'],
  ['route host with a port', web({ routes: [{ host: 'a.example:80' }] }), 'upstreams.web.routes[0].host', `expected ${HOST}, got 'a.example:80'`],
  ['route host with a star inside', web({ routes: [{ host: 'a.*.example' }] }), 'upstreams.web.routes[0].host', `expected ${HOST}, got 'a.*.example'`],
  ['route host not in ASCII', web({ routes: [{ host: 'bücher.example' }] }), 'upstreams.web.routes[0].host', `expected ${HOST}, got 'bücher.example'`],
  ['route path without a slash', web({ routes: [{ path: 'api' }] }), 'upstreams.web.routes[0].path', `expected ${PATH}, got 'api'`],
  ['route path with dots', web({ routes: [{ path: '/a/../b' }] }), 'upstreams.web.routes[0].path', `expected ${PATH}, got '/a/../b'`],
  ['route path with a double slash', web({ routes: [{ path: '/a//b' }] }), 'upstreams.web.routes[0].path', `expected ${PATH}, got '/a//b'`],
  ['route path with a query', web({ routes: [{ path: '/a?b' }] }), 'upstreams.web.routes[0].path', `expected ${PATH}, got '/a?b'`],
  ['route twice', web({ routes: [{ path: '/a' }, { path: '/a/' }] }), 'upstreams.web.routes[1]', "expected a route of its own, got '*/a' a second time"],
  [
    'canary weights',
    web({ canary: { steps: [{ weight: 25 }, { weight: 5 }] } }),
    'upstreams.web.canary.steps[1].weight',
    'expected a weight above that of the step before, got 5',
  ],
  [
    'canary analysis',
    web({ canary: { analysis: { errorRateMax: '120%' } } }),
    'upstreams.web.canary.analysis.errorRateMax',
    "expected a share from 0 to 1, such as 0.01 or '1%', or null, got '120%'",
  ],
  [
    'canary query without bounds',
    web({ canary: { analysis: { prometheus: { url: 'http://p/', query: 'up' } } } }),
    'upstreams.web.canary.analysis.prometheus',
    'expected min or max, or both, got an object',
  ],
  [
    'gate point',
    web({ gates: [{ name: 'a', at: 'drain', url: 'http://g/', secret: 'longenough' }] }),
    'upstreams.web.gates[0].at',
    "expected 'admission' or 'step' or 'release', got 'drain'",
  ],
  [
    'gate url',
    web({ gates: [{ name: 'a', at: 'step', url: 'g', secret: 'longenough' }] }),
    'upstreams.web.gates[0].url',
    "expected a URL such as 'https://checks.example/gate', got a value that is not shown",
  ],
  [
    'gate twice',
    web({ gates: ['a', 'a'].map((name) => ({ name, at: 'step', url: 'http://g/', secret: 'longenough' })) }),
    'upstreams.web.gates[1].name',
    "expected a name that no other gate has, got 'a'",
  ],
  ['health kind', web({ health: { kind: 'udp' } }), 'upstreams.web.health.kind', "expected 'http' or 'tcp' or 'grpc' or 'none', got 'udp'"],
  [
    'gRPC over HTTP/1.1',
    web({ health: { kind: 'grpc' } }),
    'upstreams.web.health.kind',
    "expected another kind, because gRPC goes over HTTP/2 only (protocol: 'h2'), got 'grpc'",
  ],
  [
    'service name',
    web({ protocol: 'h2', health: { kind: 'grpc', service: 'a b' } }),
    'upstreams.web.health.service',
    "expected a service name such as 'pkg.Service', or '' for the server as a whole, got 'a b'",
  ],
  ['protocol', web({ protocol: 'h3' }), 'upstreams.web.protocol', "expected 'http1' or 'h2', got 'h3'"],
  [
    'a PROXY header on a shared connection',
    web({ protocol: 'h2', proxyProtocol: 'v2' }),
    'upstreams.web.proxyProtocol',
    "expected false, because connections to backends are shared (protocol: 'h2'), got 'v2'",
  ],
  [
    'a PROXY header in front of TLS',
    web({ tls: true, proxyProtocol: 'v1' }),
    'upstreams.web.proxyProtocol',
    "expected false, because connections to backends are encrypted (tls), got 'v1'",
  ],
  ['duration in words', web({ drain: { requests: 'soon' } }), 'upstreams.web.drain.requests', `expected ${DURATION}, got 'soon'`],
  ['negative duration', web({ rollback: { keep: -1 } }), 'upstreams.web.rollback.keep', `expected ${DURATION}, got -1`],
  [
    'probe interval of nothing',
    web({ health: { interval: 0 } }),
    'upstreams.web.health.interval',
    `expected a duration of at least 10ms, such as '500ms', '30s' or '5m', got 0`,
  ],
  ['rise', web({ health: { rise: 0 } }), 'upstreams.web.health.rise', 'expected a whole number from 1 to 100, got 0'],
  ['failOpen', web({ health: { failOpen: 101 } }), 'upstreams.web.health.failOpen', 'expected a percentage from 0 to 100, got 101'],
  [
    'expected status',
    web({ health: { expectStatus: '2xx' } }),
    'upstreams.web.health.expectStatus',
    "expected a status from 100 to 599 or a list of them, got '2xx'",
  ],
  [
    'probe path',
    web({ health: { path: 'healthz' } }),
    'upstreams.web.health.path',
    "expected a path that begins with '/', without spaces or '#', got 'healthz'",
  ],
  [
    'header injection',
    web({ health: { expectHeader: { a: 'b\r\nc: d' } } }),
    'upstreams.web.health.expectHeader.a',
    "expected a header value without line breaks, got 'b??c: d'",
  ],
  ['balance', web({ balance: 'fastest' }), 'upstreams.web.balance', "expected 'least-in-flight' or 'round-robin' or 'random' or 'maglev', got 'fastest'"],
  ['PROXY protocol to backends', web({ proxyProtocol: true }), 'upstreams.web.proxyProtocol', "expected 'v1', 'v2' or false, got true"],
  ['sticky by two things', web({ sticky: { cookie: 'a', header: 'b' } }), 'upstreams.web.sticky', 'expected a cookie or a header, got both'],
  ['skew of nothing', web({ skew: {} }), 'upstreams.web.skew', 'expected a pin, assets or both, got neither'],
  ['skew: true', web({ skew: true }), 'upstreams.web.skew', 'expected false or {pin, assets, for}, got true'],
  ['pin by two things', web({ skew: { pin: { cookie: 'a', header: 'b' } } }), 'upstreams.web.skew.pin', 'expected a cookie or a header, got both'],
  ['pin by nothing', web({ skew: { pin: {} } }), 'upstreams.web.skew.pin', 'expected a cookie or a header, got neither'],
  [
    'age of a field',
    web({ skew: { pin: { header: 'a', maxAge: 1000 } } }),
    'upstreams.web.skew.pin.maxAge',
    'expected no such field beside a header: it says how long the cookie lasts',
  ],
  ['a pin without its kind', web({ skew: { pin: 'sy_version' } }), 'upstreams.web.skew.pin', "expected {cookie, maxAge, renew} or {header}, got 'sy_version'"],
  [
    'pin in a field of framing',
    web({ skew: { pin: { header: 'Content-Length' } } }),
    'upstreams.web.skew.pin.header',
    "expected the name of a field that is not for the proxy alone to say (framing, hop-by-hop and forwarding fields are), got 'Content-Length'",
  ],
  [
    'asset without a slash at its end',
    web({ skew: { assets: ['/assets'] } }),
    'upstreams.web.skew.assets[0]',
    "expected the beginning of a path, with '/' at both ends, without '//', '.' or '..' segments, '?', '#', '%' or spaces, got '/assets'",
  ],
  [
    'one cookie for two things',
    web({ sticky: { cookie: 'a' }, skew: { pin: { cookie: 'a' } } }),
    'upstreams.web.skew.pin.cookie',
    "expected a cookie of its own, got 'a' a second time",
  ],
  [
    'a queue for nothing',
    web({ limits: { queue: { requests: 5 } } }),
    'upstreams.web.limits.queue',
    'expected null, because there are no limits.connections or limits.sockets to wait for, got an object',
  ],
  [
    'sockets of HTTP/2',
    web({ limits: { sockets: 5 }, protocol: 'h2' }),
    'upstreams.web.limits.sockets',
    "expected null, because requests share connections (protocol: 'h2'), got 5",
  ],
  ['backend cookie', web({ sticky: { backend: 'a' } }), 'upstreams.web.sticky.backend', "expected null or {cookie}, got 'a'"],
  ['mirror: true', web({ mirror: true }), 'upstreams.web.mirror', 'expected false or {to, percent, methods, maxBody, concurrency, timeout}, got true'],
  ['mirrored method', web({ mirror: { methods: ['get'] } }), 'upstreams.web.mirror.methods[0]', "expected 'GET' (methods are case-sensitive), got 'get'"],
  [
    'a large mirrored body',
    web({ mirror: { maxBody: 100_000 } }),
    'upstreams.web.mirror.maxBody',
    'expected a whole number from 0 to 65536 (bytes), got 100000',
  ],
  [
    'mirror with a PROXY protocol',
    web({ mirror: {}, proxyProtocol: 'v1' }),
    'upstreams.web.mirror',
    'expected false, because connections to backends are of one client each (proxyProtocol), got an object',
  ],
  [
    'a secret that is not set',
    web({ preview: { header: 'x-v', secret: undefined } }),
    'upstreams.web.preview.secret',
    'expected a secret, or no such field (is its environment variable set?), got nothing',
  ],
  ['preview by nothing', web({ preview: {} }), 'upstreams.web.preview', 'expected a header, a cookie or both, got neither'],
  [
    'short secret',
    web({ preview: { header: 'x-v', secret: 'abc' } }),
    'upstreams.web.preview.secret',
    "expected a secret of 8 to 128 letters, digits, '.', '_', '~' and '-', got a value that is not shown",
  ],
  ['retry budget', web({ retries: { budget: '20%' } }), 'upstreams.web.retries.budget', "expected a percentage from 0 to 100, got '20%'"],
  [
    'dial timeout of nothing',
    web({ timeouts: { dial: 0 } }),
    'upstreams.web.timeouts.dial',
    `expected a duration of at least 1ms, such as '500ms', '30s' or '5m', got 0`,
  ],
  ['body limit', web({ limits: { body: 1.5 } }), 'upstreams.web.limits.body', 'expected a whole number from 0 to 9007199254740991 (bytes), got 1.5'],
  ['outlier: true', web({ outlier: true }), 'upstreams.web.outlier', 'expected false or {failures, base, max, maxEjected, answers}, got true'],
  ['outlier field', web({ outlier: { failure: 3 } }), 'upstreams.web.outlier.failure', 'is not a known field'],
  ['outlier max under base', web({ outlier: { base: '10s', max: '5s' } }), 'upstreams.web.outlier.max', 'expected at least base (10000 ms), got 5000 ms'],
  ['slow start without a window', web({ slowStart: {} }), 'upstreams.web.slowStart.window', `expected ${DURATION}, got nothing`],
  ['whenUnavailable', web({ hold: { whenUnavailable: 'yes' } }), 'upstreams.web.hold.whenUnavailable', "expected true or false, got 'yes'"],
  ['version id', web({ versions: { 'v 1': { backends: ['a:1'] } } }), 'upstreams.web.versions.v 1', `expected ${NAME}, got 'v 1'`],
  ['no backends', backends(), 'upstreams.web.versions.v1.backends', 'expected at least 1 of them, got an empty list'],
  ['backend without a port', backends('127.0.0.1'), 'upstreams.web.versions.v1.backends[0]', "expected 'host:port' or {address, weight}, got '127.0.0.1'"],
  ['backend port', backends({ address: '127.0.0.1:70000' }), 'upstreams.web.versions.v1.backends[0].address', `expected ${ADDRESS}, got '127.0.0.1:70000'`],
  ['backend as a URL', backends({ address: 'http://a:1' }), 'upstreams.web.versions.v1.backends[0].address', `expected ${ADDRESS}, got 'http://a:1'`],
  [
    'backend weight',
    backends({ address: 'a:1', weight: 1001 }),
    'upstreams.web.versions.v1.backends[0].weight',
    'expected a whole number from 1 to 1000, got 1001',
  ],
  ['backend field', backends({ address: 'a:1', wait: 1 }), 'upstreams.web.versions.v1.backends[0].wait', 'is not a known field'],
  [
    'backend twice',
    backends('a:1', { address: 'A:1', weight: 2 }),
    'upstreams.web.versions.v1.backends[1]',
    "expected an address of its own, got 'a:1' a second time",
  ],
  [
    'minReady',
    web({ admission: { minReady: 2 }, versions: { v1: { backends: ['a:1'] } } }),
    'upstreams.web.versions.v1.backends',
    'expected at least admission.minReady (2) of them, got 1',
  ],
  ['live names no version', web({ versions: { v1: { backends: ['a:1'] } }, live: 'v2' }), 'upstreams.web.live', "expected 'v1', got 'v2'"],
  ['live without versions', web({ live: 'v2' }), 'upstreams.web.live', "expected null, because there are no versions, got 'v2'"],
  [
    'live left open',
    web({ versions: { v1: { backends: ['a:1'] }, v2: { backends: ['a:2'] } } }),
    'upstreams.web.live',
    "expected 'v1' or 'v2', or null for none of them, got nothing",
  ],
  [
    'a route of two upstreams',
    { upstreams: { web: { routes: [{}] }, api: { routes: [{ path: '/api' }, { host: '*', path: '/' }] } } },
    'upstreams.api.routes[1]',
    "expected a route of its own, got '*/', which upstream 'web' has",
  ],
  ['no listeners', { listeners: [] }, 'listeners', 'expected at least 1 of them, got an empty list'],
  ['listener port', { listeners: [{ port: 0 }] }, 'listeners[0].port', 'expected a whole number from 1 to 65535, got 0'],
  [
    'PROXY protocol from nobody',
    { listeners: [{ port: 80, proxyProtocol: true }] },
    'listeners[0].proxyProtocol',
    'expected false or a list of networks, because trustedProxies is empty, got true',
  ],
  [
    'PROXY protocol by version',
    { listeners: [{ port: 80, proxyProtocol: 'v2' }] },
    'listeners[0].proxyProtocol',
    "expected true, false or a list of IP addresses or networks, got 'v2'",
  ],
  [
    'PROXY protocol from a name',
    { listeners: [{ port: 80, proxyProtocol: ['lb.example'] }] },
    'listeners[0].proxyProtocol[0]',
    "expected an IP address or network such as '10.0.0.0/8' or 'fd00::/8', got 'lb.example'",
  ],
  [
    'PROXY protocol from an empty list',
    { listeners: [{ port: 80, proxyProtocol: [] }] },
    'listeners[0].proxyProtocol',
    'expected at least 1 of them, got an empty list',
  ],
  [
    'listener twice',
    { listeners: [{ port: 80 }, { host: '0.0.0.0', port: 80 }] },
    'listeners[1]',
    "expected an address of its own, got '0.0.0.0:80' a second time",
  ],
  ['admin on the port of a listener', { listeners: [{ port: 9900 }] }, 'admin.port', 'expected a port that no listener uses, got 9900'],
  [
    'admin for all without a token',
    { admin: { host: '0.0.0.0' } },
    'admin.token',
    "expected a token, because '0.0.0.0' can be reached from other machines, got nothing",
  ],
  [
    'admin on a name without a token',
    { admin: { host: 'admin.example' } },
    'admin.token',
    "expected a token, because 'admin.example' can be reached from other machines, got nothing",
  ],
  ['short token', { admin: { token: 'hunter2' } }, 'admin.token', 'expected a token of 8 to 256 characters without spaces, got a value that is not shown'],
  ['kind of upstream', { upstreams: { jobs: { kind: 'queue' } } }, 'upstreams.jobs.kind', "expected 'web' or 'worker', got 'queue'"],
  [
    'a latency that jobs are judged by',
    { upstreams: { jobs: { kind: 'worker', canary: { analysis: { p99MsMax: '1s' } } } } },
    'upstreams.jobs.canary.analysis.p99MsMax',
    'expected none, because workers are judged by jobs that failed, not by how long jobs take, got 1000',
  ],
  ['routes of workers', { upstreams: { jobs: { kind: 'worker', routes: [{}] } } }, 'upstreams.jobs.routes', 'is not a known field'],
  [
    'a member named twice',
    { upstreams: { jobs: { kind: 'worker', versions: { v1: { members: ['a', 'a'] } } } } },
    'upstreams.jobs.versions.v1.members[1]',
    "expected a name of its own, got 'a' a second time",
  ],
  [
    'addresses of members that report',
    { upstreams: { jobs: { kind: 'worker', versions: { v1: { backends: ['127.0.0.1:1'] } } } } },
    'upstreams.jobs.versions.v1',
    'expected members, because without worker.poll they report by themselves, got backends',
  ],
  [
    'names of members that are polled',
    { upstreams: { jobs: { kind: 'worker', worker: { poll: { path: '/w' } }, versions: { v1: { members: 2 } } } } },
    'upstreams.jobs.versions.v1',
    'expected backends, because worker.poll says that members are polled, got members',
  ],
  ['empty token', { admin: { token: '' } }, 'admin.token', 'expected a token of 8 to 256 characters without spaces, got a value that is not shown'],
  [
    'token scope',
    { admin: { tokens: [{ name: 'a', token: 'longenough', scope: 'write' }] } },
    'admin.tokens[0].scope',
    "expected 'read' or 'operate' or 'report', got 'write'",
  ],
  [
    'token name twice',
    { admin: { token: 'longenough', tokens: [{ name: 'admin', token: 'longenough2' }] } },
    'admin.tokens[0].name',
    "expected a name of its own, got 'admin' a second time",
  ],
  [
    'token twice',
    { admin: { token: 'longenough', tokens: [{ name: 'a', token: 'longenough' }] } },
    'admin.tokens[0].token',
    'expected a token of its own, got one that another name has',
  ],
  ['dataThreads', { dataThreads: 0 }, 'dataThreads', "expected 'auto' or a whole number from 1 to 256, got 0"],
  ['stateDir', { stateDir: '' }, 'stateDir', "expected the path of a folder, got ''"],
  ['CIDR prefix', { trustedProxies: ['::1', '10.0.0.0/33'] }, 'trustedProxies[1]', `expected ${CIDR}, got '10.0.0.0/33'`],
  ['CIDR name', { trustedProxies: ['localhost'] }, 'trustedProxies[0]', `expected ${CIDR}, got 'localhost'`],
  ['rate', { limits: { rate: 100 } }, 'limits.rate', 'expected null or {requests, per, burst}, got 100'],
  ['rate without requests', { limits: { rate: { per: '1s' } } }, 'limits.rate.requests', 'expected a whole number from 1 to 1000000, got nothing'],
  [
    'rate of an upstream',
    web({ limits: { rate: { requests: 5, per: 0 } } }),
    'upstreams.web.limits.rate.per',
    "expected a duration of at least 1ms, such as '500ms', '30s' or '5m', got 0",
  ],
  ['client table', { limits: { clients: 1 } }, 'limits.clients', 'expected a whole number from 64 to 1048576, got 1'],
  ['body rate', { limits: { bodyRate: 0 } }, 'limits.bodyRate', 'expected a whole number from 1 to 1073741824 (bytes per second), got 0'],
  ['head limit', { limits: { head: 10 } }, 'limits.head', 'expected a whole number from 1024 to 1048576 (bytes), got 10'],
  ['accessLog', { accessLog: true }, 'accessLog', "expected 'off' or 'sampled' or 'full', got true"],
  ['long value is cut', { accessLog: long }, 'accessLog', `expected 'off' or 'sampled' or 'full', got '${long.slice(0, 60)}…'`],
];

t.test('each mistake is named with its place, the value and what was expected', async (t) => {
  for (const [what, raw, path, message] of BAD)
    t.strictSame(
      issuesOf(() => parseConfig(raw)),
      [{ path, message }],
      what,
    );
});

t.test('all mistakes are reported at once, the first in the message', async (t) => {
  const run = (): unknown => parseConfig(web({ health: { rise: 0, fall: 0 }, balance: 'x' }));
  t.strictSame(
    issuesOf(run).map(({ path }) => path),
    ['upstreams.web.health.rise', 'upstreams.web.health.fall', 'upstreams.web.balance'],
  );
  t.throws(run, { message: 'upstreams.web.health.rise: expected a whole number from 1 to 100, got 0 (and 2 more)' });
});

t.test('a wrong token is in no message', async (t) => {
  const errors = issuesOf(() => parseConfig({ admin: { token: 'geheim', tokens: [{ name: 'x', token: 'a b c geheim' }] } }));
  t.equal(errors.length, 2);
  t.notMatch(JSON.stringify(errors), 'geheim');
});
