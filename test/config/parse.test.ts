import t from 'tap';
import type { ConfigInput, UpstreamInput } from '../../src/config/input.ts';
import { parseConfig, parseUpstream, refuseRouteConflicts } from '../../src/config/parse.ts';
import { issuesOf } from '../helpers/issues_of.ts';
import { DEFAULT_ANALYSIS } from '../../src/pool/analysis.ts';

const NAME = "a name of letters, digits, '.', '_' and '-', at most 63, that begins with a letter or digit";

t.test('an empty configuration is one of defaults', async (t) => {
  const config = parseConfig({}, { cores: 3, folder: '/srv/app' });
  t.strictSame(
    { ...config, upstreams: [...config.upstreams] },
    {
      listeners: [{ host: '0.0.0.0', port: 8080, proxyProtocol: false, tls: null, http2: false }],
      admin: { host: '127.0.0.1', port: 9900, tokens: [], allowedHosts: [], deploy: null },
      dataThreads: 3,
      stateDir: '/srv/app/.switchyard',
      edge: {
        trustedProxies: [],
        timeouts: { handshake: 10_000, clientHead: 10_000, keepAlive: 60_000, body: 30_000 },
        limits: {
          head: 32_768,
          headers: 100,
          target: 8192,
          connections: 10_000,
          handshakes: 1000,
          streams: 100,
          unread: 1_048_576,
          unreadTotal: 268_435_456,
          connectionsPerClient: null,
          rate: null,
          clients: 65_536,
          bodyRate: null,
        },
        accessLog: 'off',
        errorPages: {},
      },
      webhooks: [],
      pull: { interval: 30_000, timeout: 10_000, enforce: false },
      spec: {},
      shutdown: { drain: 30_000 },
      launch: { ports: { from: 20_000, to: 29_999 }, onShutdown: 'keep' },
      upstreams: [],
    },
  );
});

t.test('an upstream with nothing but a route has the documented defaults', async (t) => {
  t.strictSame(parseUpstream('web', { routes: [{}] }), {
    spec: { routes: [{}] },
    name: 'web',
    policy: {
      routes: [{ host: '*', path: '/', rules: null }],
      health: {
        kind: 'http',
        path: '/healthz',
        host: null,
        port: null,
        interval: 2000,
        admitInterval: 1000,
        service: '',
        tls: null,
        protocol: 'http1',
        timeout: 5000,
        rise: 2,
        fall: 3,
        expectStatus: null,
        expectHeader: {},
        failOpen: 50,
        proxyProtocol: false,
      },
      admission: { timeout: 30_000, minReady: null },
      drain: { requests: 30_000, tunnels: 300_000 },
      rollback: { keep: 0 },
      canary: { steps: [], analysis: DEFAULT_ANALYSIS },
      gates: [],
      balance: 'least-in-flight',
      sticky: { cookie: null, header: null, backend: null },
      skew: null,
      preview: null,
      mirror: null,
      versionHeader: null,
      proxyProtocol: false,
      retries: { attempts: 1, budget: 20 },
      timeouts: { dial: 3000, head: 30_000, idle: 60_000, tunnel: 3_600_000 },
      limits: { body: null, connections: null, sockets: null, queue: null, rate: null },
      outlier: { failures: 5, base: 30_000, max: 300_000, maxEjected: 10, answers: 600 },
      slowStart: { window: 0, aggression: 1, minWeight: 10 },
      hold: { queue: 1000, timeout: 30_000, whenUnavailable: false },
      errorPages: {},
      tls: null,
      protocol: 'http1',
      maintenance: null,
      worker: null,
    },
    versions: [],
    live: null,
    launch: null,
  });
});

const FULL: ConfigInput = {
  listeners: [
    { host: '127.0.0.1', port: 8080 },
    { host: '::', port: 8081 },
  ],
  admin: {
    host: '0.0.0.0',
    port: 9901,
    token: 'secret-token',
    tokens: [{ name: 'prom', token: 'scrape-token', scope: 'read' }],
    allowedHosts: ['admin.example'],
  },
  dataThreads: 4,
  stateDir: '/var/lib/switchyard',
  trustedProxies: ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'],
  timeouts: { clientHead: '5s', keepAlive: 1000, body: '10s' },
  limits: {
    head: 65_536,
    headers: 200,
    target: 4096,
    connections: 5,
    connectionsPerClient: 3,
    rate: { requests: 9, per: 1000, burst: 20 },
    clients: 128,
    bodyRate: 500,
  },
  accessLog: 'sampled',
  shutdown: { drain: '10s' },
  upstreams: {
    web: {
      routes: [{ host: '*.Example.com', path: '/api/' }, { host: '[::1]' }],
      health: {
        kind: 'http',
        path: '/up?deep=1',
        host: 'up.example',
        port: 9100,
        interval: '500ms',
        timeout: '1s',
        rise: 1,
        fall: 5,
        expectStatus: 204,
        expectHeader: { 'x-ready': 'yes' },
        failOpen: 0,
      },
      admission: { timeout: '1m', minReady: 1 },
      drain: { requests: '5s', tunnels: '1m' },
      rollback: { keep: '10m' },
      balance: 'maglev',
      sticky: { cookie: 'sid' },
      retries: { attempts: 0, budget: 0 },
      timeouts: { dial: '1s', head: '2s', idle: '3s', tunnel: '4s' },
      limits: { body: 1_000_000, connections: 50, rate: { requests: 7, per: '1m' } },
      outlier: false,
      slowStart: { window: '30s' },
      hold: { queue: 5, timeout: '1s', whenUnavailable: true },
      versions: { v1: { backends: ['127.0.0.1:9001', { address: '[::1]:9002', weight: 2 }] }, v2: { backends: ['Origin.example:9003'] } },
      live: null,
    },
  },
};

t.test('every field finds its place', async (t) => {
  const config = parseConfig(FULL);
  const upstream = config.upstreams.get('web');
  if (upstream === undefined) throw new Error('there is no upstream web');
  const { policy, versions, live } = upstream;
  t.match(config, {
    listeners: FULL.listeners,
    dataThreads: 4,
    stateDir: '/var/lib/switchyard',
    shutdown: { drain: 10_000 },
    edge: { trustedProxies: FULL.trustedProxies, timeouts: { clientHead: 5000, keepAlive: 1000, body: 10_000 }, limits: FULL.limits, accessLog: 'sampled' },
    admin: { host: '0.0.0.0', port: 9901, allowedHosts: ['admin.example'] },
  });
  t.strictSame(config.admin.tokens, [
    { name: 'admin', token: 'secret-token', scope: 'operate' },
    { name: 'prom', token: 'scrape-token', scope: 'read' },
  ]);
  t.match(policy, {
    routes: [
      { host: '*.example.com', path: '/api' },
      { host: '[::1]', path: '/' },
    ],
    health: { path: '/up?deep=1', host: 'up.example', port: 9100, interval: 500, admitInterval: 500, expectStatus: [204], failOpen: 0 },
    admission: { timeout: 60_000, minReady: 1 },
    drain: { requests: 5000, tunnels: 60_000 },
    rollback: { keep: 600_000 },
    balance: 'maglev',
    sticky: { cookie: 'sid', header: null },
    retries: { attempts: 0, budget: 0 },
    timeouts: { dial: 1000, head: 2000, idle: 3000, tunnel: 4000 },
    limits: { body: 1_000_000, connections: 50, rate: { requests: 7, per: 60_000, burst: 7 } },
    outlier: { failures: 0 },
    slowStart: { window: 30_000, aggression: 1, minWeight: 10 },
    hold: { queue: 5, timeout: 1000, whenUnavailable: true },
  });
  t.strictSame(policy.health.expectHeader, { 'x-ready': 'yes' });
  t.strictSame(versions, [
    {
      id: 'v1',
      backends: [
        { address: '127.0.0.1:9001', weight: 1 },
        { address: '[::1]:9002', weight: 2 },
      ],
      launch: null,
    },
    { id: 'v2', backends: [{ address: 'origin.example:9003', weight: 1 }], launch: null },
  ]);
  t.equal(live, null);
});

t.test('a single version needs no live', async (t) => {
  t.equal(parseUpstream('web', { routes: [{}], versions: { v1: { backends: ['a:1'] } } }).live, 'v1');
  t.equal(parseUpstream('web', { routes: [{}], versions: { v1: { backends: ['a:1'] } }, live: null }).live, null);
});

t.test('loopback needs no token', async (t) => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) t.strictSame(parseConfig({ admin: { host } }).admin.tokens, [], host);
});

t.test('one upstream by itself: paths begin inside it, its name is checked', async (t) => {
  t.strictSame(
    issuesOf(() => parseUpstream('web', { routes: [{}], health: { rise: 'two' } })),
    [{ path: 'health.rise', message: "expected a whole number from 1 to 100, got 'two'" }],
  );
  t.strictSame(
    issuesOf(() => parseUpstream('../etc', { routes: [{}] })),
    [{ path: 'name', message: `expected ${NAME}, got '../etc'` }],
  );
  t.strictSame(
    issuesOf(() => parseUpstream('web', 'x')),
    [{ path: '', message: "expected an object, got 'x'" }],
  );
});

t.test('routes of two upstreams are compared whatever way they came', async (t) => {
  const spec: UpstreamInput = { routes: [{ path: '/x' }] };
  const conflict = issuesOf(() =>
    refuseRouteConflicts([
      ['a', parseUpstream('a', spec)],
      ['b', parseUpstream('b', spec)],
    ]),
  );
  t.strictSame(conflict, [{ path: 'upstreams.b.routes[0]', message: "expected a route of its own, got '*/x', which upstream 'a' has" }]);
  t.strictSame(
    issuesOf(() =>
      refuseRouteConflicts([
        ['a', parseUpstream('a', spec)],
        ['b', parseUpstream('b', { routes: [{}] })],
      ]),
    ),
    [],
  );
});
