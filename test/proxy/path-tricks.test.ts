import t from 'tap';
import { posix } from 'node:path';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import { seeded } from '../helpers/tagged.ts';

const ROUTES: Record<string, string> = { root: '/', api: '/api', users: '/api/v2/users', admin: '/admin' };
const names = Object.keys(ROUTES);
const backends = await Promise.all(names.map((name) => RawUpstream.start(t, (request, connection) => connection.respond(200, `${name} ${request.target}`))));
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: Object.fromEntries(
    names.map((name, i) => [name, catchAll({ v1: [backends[i].address] }, 'v1', { health: { kind: 'none' }, routes: [{ path: ROUTES[name] }] })]),
  ),
});

function decoded(path: string): string {
  return path.replace(/%[0-9a-f]{2}/gi, (escape) => Buffer.from(escape.slice(1), 'hex').toString('latin1'));
}

/** How applications read a path, each by means that are not the proxy's. */
const READERS: Record<string, (path: string) => string> = {
  'one that looks at the bytes': (path) => path,
  'a URL parser': (path) => new URL(`http://a${path}`).pathname,
  'a file server': (path) => posix.normalize(decoded(path)),
  'a file server on Windows': (path) => posix.normalize(decoded(path).replaceAll('\\', '/')),
  'a servlet container': (path) => posix.normalize(decoded(path.replace(/;[^/]*/g, '').replace(/%(2f|5c)/gi, '%25$1'))),
  'one that cuts parameters off last': (path) => posix.normalize(decoded(path).replace(/;[^/]*/g, '')),
  'a gateway that only decodes': decoded,
};

/** The upstream of a path as one reader has it: the longest prefix of whole segments, empty ones left out. */
function upstreamOf(path: string): string {
  const segments = path.split('/').filter((segment) => segment !== '');
  const fits = (prefix: string): boolean => prefix.split('/').every((part, i) => i === 0 || part === '' || segments[i - 1] === part);
  return names.filter((name) => fits(ROUTES[name])).reduce((best, name) => (ROUTES[name].length > ROUTES[best].length ? name : best));
}

const PARTS = [
  'api',
  'admin',
  'v2',
  'users',
  '..',
  '.',
  '',
  '%2e%2e',
  '.%2E',
  '..;x',
  '.;',
  ';x',
  'api;x=1',
  'a%64min',
  '%61pi',
  '..%2f',
  '%5c..',
  '..\\',
  '%2fadmin',
  'admin%3bx',
  'x;%2fy',
  'ADMIN',
];

/** All pairs of parts, and as many longer ones; always the same. */
function* paths(): Generator<string> {
  for (const one of PARTS) for (const two of PARTS) yield `/${one}/${two}`;
  const random = seeded(7);
  const part = (): string => PARTS[Math.floor(random() * PARTS.length)];
  for (let i = 0; i < 2_000; i++) yield `/${part()}/${part()}/${part()}/${part()}${i % 3 === 0 ? '?q=/../admin' : ''}`;
}

t.test('an upstream gets a path only if every reader would have sent it there, and gets it as it came', { timeout: 150_000 }, async (t) => {
  const wrong: string[] = [];
  const counts = { forwarded: 0, refused: 0 };
  let client = await RawClient.connect(proxy.port);
  for (const target of paths()) {
    const { status, body } = await client.request({ target });
    if (status === 200) {
      counts.forwarded++;
      const [name, got] = body.toString('latin1').split(' ');
      if (got !== target) wrong.push(`${target} went on as ${got}`);
      for (const [reader, read] of Object.entries(READERS)) {
        const meant = upstreamOf(read(target.replace(/\?.*/, '')));
        if (meant !== name) wrong.push(`${target} went to ${name}; to ${reader} it is of ${meant}`);
      }
    } else {
      counts.refused++;
      if (status !== 400) wrong.push(`${target}: ${status}`);
      client.destroy();
      client = await RawClient.connect(proxy.port);
    }
  }
  client.destroy();
  t.equal((await proxy.send({ target: `/api/${'x;y/'.repeat(300)}` })).status, 400, 'too long to be read in all ways');
  t.equal((await proxy.send({ target: `/api/${'%20'.repeat(600)}` })).status, 200, 'escapes alone may be long');
  t.strictSame(wrong.slice(0, 20), []);
  t.ok(counts.forwarded > 300 && counts.refused > 300, `${counts.forwarded} forwarded, ${counts.refused} refused`);
});
