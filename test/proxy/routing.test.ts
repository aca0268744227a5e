import t from 'tap';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

/** Upstreams by name, and the routes of each. */
const ROUTES: Record<string, { host?: string; path?: string }[]> = {
  any: [{ host: '*', path: '/' }],
  exact: [{ host: 'app.example.com', path: '/' }],
  api: [{ host: 'app.example.com', path: '/api' }, { path: '/api' }],
  deep: [{ host: 'app.example.com', path: '/api/v2/users' }],
  wild: [{ host: '*.example.com', path: '/' }],
  wilder: [{ host: '*.eu.example.com', path: '/' }],
  partial: [{ host: 'partial.example.com', path: '/only' }],
  literal: [{ host: '[::1]' }],
};

const names = Object.keys(ROUTES);
const backends = await Promise.all(names.map((name) => RawUpstream.start(t, (request, connection) => connection.respond(200, `${name} ${request.target}`))));
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: Object.fromEntries(
    names.map((name, i) => [name, catchAll({ v1: [backends[i].address] }, 'v1', { health: { kind: 'none' }, routes: ROUTES[name] })]),
  ),
});

/** Host, target, and which upstream answers; a number is a status. */
const cases: readonly (readonly [string, string, string | number])[] = [
  ['app.example.com', '/', 'exact'],
  ['APP.Example.COM', '/', 'exact'],
  ['app.example.com:8080', '/', 'exact'],
  ['app.example.com.', '/', 'exact'],
  ['app.example.com.:80', '/', 'exact'],
  ['app.example.com', '/ap', 'exact'],
  ['app.example.com', '/apis', 'exact'],
  ['app.example.com', '/API', 'exact'],
  ['app.example.com', '/api', 'api'],
  ['app.example.com', '/api/', 'api'],
  ['app.example.com', '/api?x=/../y', 'api'],
  ['app.example.com', '/api/v2', 'api'],
  ['app.example.com', '/api/v2/users', 'deep'],
  ['app.example.com', '/api/v2/users/7', 'deep'],
  ['app.example.com', '/api/v2/usersX', 'api'],
  ['www.example.com', '/', 'wild'],
  ['a.b.example.com', '/', 'wild'],
  ['www.eu.example.com', '/', 'wilder'],
  ['eu.example.com', '/', 'wild'],
  ['example.com', '/', 'any'],
  ['badexample.com', '/', 'any'],
  ['partial.example.com', '/only/this', 'partial'],
  ['partial.example.com', '/other', 'wild'],
  ['other.test', '/', 'any'],
  ['other.test', '/api/x', 'api'],
  ['[::1]:80', '/', 'literal'],
  // One reading only, or none: a backend may decode what a route did not.
  ['app.example.com', '/x/../api', 400],
  ['app.example.com', '/%61pi', 400],
  ['app.example.com', '/api%2fv2%2fusers', 400],
  ['app.example.com', '//api', 'api'],
  ['app.example.com', '/api/v2/users/../../..', 400],
  ['app.example.com', '/\\api', 400],
  ['app.example.com', '/api/%zz', 400],
  ['app.example.com', '/api/%00', 400],
  ['app.example.com', '/api/x/../y', 'api'],
  ['app.example.com', '/api/caf%C3%A9', 'api'],
  ['app.example.com', '/api//x', 'api'],
  ['app.example.com', '/x/%2e%2e/%2e%2e/y', 'exact'],
  ['other.test', 'http://app.example.com/api', 'api'],
  ['app.example.com', 'http://other.test/', 'any'],
];

t.test('host and path choose the upstream, and the target goes on as it came', async (t) => {
  for (const [host, target, expected] of cases) {
    const response = await proxy.send({ host, target });
    const name = `${host} ${target}`;
    if (typeof expected === 'number') t.equal(response.status, expected, name);
    else t.equal(response.body.toString('latin1'), `${expected} ${target.replace(/^http:\/\/[^/]*/, '')}`, name);
  }
});

t.test('OPTIONS * and a request without Host', async (t) => {
  using client = await RawClient.connect(proxy.port);
  t.equal((await client.request({ method: 'OPTIONS', target: '*', host: 'app.example.com' })).body.toString(), 'exact *');
  client.write('GET /x HTTP/1.0\r\n\r\n');
  t.equal((await client.response()).body.toString(), 'any /x');
});

t.test('routes may change while requests come', async (t) => {
  using client = await RawClient.connect(proxy.port);
  t.equal((await client.request({ host: 'new.test' })).body.toString(), 'any /');
  await proxy.editConfig((config) => {
    const upstreams = config.upstreams as Record<string, { routes: unknown[] }>;
    upstreams.exact.routes.push({ host: 'new.test', path: '/' });
    return config;
  });
  let body = '';
  await eventually('the new route', async () => {
    const response = await client.request({ host: 'new.test' });
    if (response.status !== 200) t.fail(`while it changed: ${response.status}`);
    body = response.body.toString();
    return body !== 'any /';
  });
  t.equal(body, 'exact /');
  t.equal((await client.request({ host: 'app.example.com', target: '/api' })).body.toString(), 'api /api');
});
