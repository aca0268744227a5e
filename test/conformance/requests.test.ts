import t from 'tap';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { eventually } from '../helpers/wait.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly raw: readonly string[];
  body: string;
  complete: boolean;
}

// A backend with another reading of HTTP than ours: what it takes for a request of its own, was smuggled.
const seen: Seen[] = [];
const server = createServer((request, response) => {
  const one: Seen = { method: request.method ?? '', url: request.url ?? '', raw: request.rawHeaders, body: '', complete: false };
  seen.push(one);
  request.setEncoding('latin1').on('data', (text: string) => (one.body += text));
  request.on('end', () => {
    one.complete = true;
    response.end(`${one.method} ${one.url} ${one.body}`);
  });
  request.on('error', () => response.destroy());
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
t.teardown(() => server.close().closeAllConnections());
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: { web: catchAll({ v1: [`127.0.0.1:${(server.address() as AddressInfo).port}`] }, 'v1', { health: { kind: 'none' } }) },
});

const H = 'Host: a\r\n';
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

/** Name, bytes, and the statuses of all answers until the connection ends or goes quiet. */
type Case = readonly [string, string, readonly number[]];

const framing: readonly Case[] = [
  ['both lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, [400]],
  ['both lengths, the other way', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n${SMUGGLED}`, [400]],
  ['two lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, [400]],
  ['two equal lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 0\r\nContent-Length: 0\r\n\r\n${SMUGGLED}`, [400]],
  ['a list of lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 0, 0\r\n\r\n${SMUGGLED}`, [400]],
  ...['+4', '-1', '0x4', '4 4', '4;', '', '1e1', '٤', '99999999999999999999', '9007199254740993'].map((value): Case => [
    `a length of ${JSON.stringify(value)}`,
    `POST / HTTP/1.1\r\n${H}Content-Length: ${Buffer.from(value).toString('latin1')}\r\n\r\n${SMUGGLED}`,
    [400],
  ]),
  ['a length with white space around it', `POST / HTTP/1.1\r\n${H}Content-Length: \t 4 \t\r\n\r\nbody`, [200]],
  ['a length with leading zeros', `POST / HTTP/1.1\r\n${H}Content-Length: 0004\r\n\r\nbody`, [200]],
  ...['gzip', 'identity', 'chunked, identity', 'identity, chunked', 'chunked, chunked', 'xchunked', 'chunked;q=1', '\x0bchunked', 'chunk ed', '"chunked"'].map(
    (value): Case => [
      `a coding of ${JSON.stringify(value)}`,
      `POST / HTTP/1.1\r\n${H}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
      [value.includes('\x0b') ? 400 : 501],
    ],
  ),
  ['no coding', `POST / HTTP/1.1\r\n${H}Transfer-Encoding:\r\n\r\n0\r\n\r\n${SMUGGLED}`, [400]],
  ['two codings', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, [400]],
  ['a coding in other letters', `POST / HTTP/1.1\r\n${H}transfer-encoding: CHUNKED\r\n\r\n4\r\nbody\r\n0\r\n\r\n`, [200]],
  ['chunks in HTTP/1.0', `POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, [400]],
  ['a length that Connection names', `POST / HTTP/1.1\r\n${H}Connection: Content-Length\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, [200]],
  [
    'a coding that Connection names',
    `POST / HTTP/1.1\r\n${H}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    [200],
  ],
  ['a GET with a body', `GET / HTTP/1.1\r\n${H}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, [200]],
  ['a DELETE with chunks', `DELETE / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`, [200]],
  ['names with underscores', `POST / HTTP/1.1\r\n${H}Content_Length: 36\r\nTransfer_Encoding: chunked\r\n\r\n`, [200]],
];

const chunks: readonly Case[] = (
  [
    ['a size in hex', 'A\r\n0123456789\r\n0\r\n\r\n', [200]],
    ['an extension', '4;name=value;other="x;y"\r\nbody\r\n0;last\r\n\r\n', [200]],
    ['a trailer', '4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n', [200]],
    ['a size with 0x', '0x4\r\nbody\r\n0\r\n\r\n', [400]],
    ['a negative size', '-4\r\nbody\r\n0\r\n\r\n', [400]],
    ['no size', '\r\nbody\r\n0\r\n\r\n', [400]],
    ['a size that overflows', `10000000000000004\r\nbody\r\n0\r\n\r\n${SMUGGLED}`, [400]],
    ['a size after a space', ' 4\r\nbody\r\n0\r\n\r\n', [400]],
    ['a space after a size', '4 \r\nbody\r\n0\r\n\r\n', [400]],
    ['a size line that ends in LF', `4\nbody\r\n0\r\n\r\n${SMUGGLED}`, [400]],
    ['LF in an extension', `4;x\nbody\r\n0\r\n\r\n${SMUGGLED}`, [400]],
    ['CR in an extension', `4;x\rbody\r\n0\r\n\r\n${SMUGGLED}`, [400]],
    ['data that is longer than its size', `4\r\nbodyx\r\n0\r\n\r\n${SMUGGLED}`, [400]],
    ['data that ends in LF', `4\r\nbody\n0\r\n\r\n${SMUGGLED}`, [400]],
    ['a last chunk that ends in LF', `0\n\n${SMUGGLED}`, [400]],
    ['a trailer that ends in LF', `0\r\nX: y\n\r\n${SMUGGLED}`, [400]],
    ['a trailer that is no field', `0\r\nGET /smuggled HTTP/1.1\r\n\r\n${SMUGGLED}`, [400]],
    ['trailers that would frame or route', '0\r\nContent-Length: 36\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n', [200]],
  ] as [string, string, number[]][]
).map(([name, body, statuses]) => [name, `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${body}`, statuses]);

const heads: readonly Case[] = [
  ['two requests in one packet', `GET /1 HTTP/1.1\r\n${H}\r\nGET /2 HTTP/1.1\r\n${H}\r\n`, [200, 200]],
  ['an empty line before a request', `\r\nGET / HTTP/1.1\r\n${H}\r\n`, [200]],
  ['LF only', `GET / HTTP/1.1\nHost: a\n\n${SMUGGLED}`, [400]],
  ['LF after a field', `GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n${SMUGGLED}`, [400]],
  ['CR in a field', `GET / HTTP/1.1\r\n${H}X: a\rContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, [400]],
  ['NUL in a field', `GET / HTTP/1.1\r\n${H}X: a\0b\r\n\r\n`, [400]],
  ['a folded field', `GET / HTTP/1.1\r\n${H}X: a\r\n b\r\n\r\n`, [400]],
  ['a fold before any field', `GET / HTTP/1.1\r\n X: y\r\n${H}\r\n`, [400]],
  ['a space before a colon', `POST / HTTP/1.1\r\n${H}Content-Length : 36\r\n\r\n${SMUGGLED}`, [400]],
  ['a field without a colon', `GET / HTTP/1.1\r\n${H}nonsense\r\n\r\n`, [400]],
  ['a field without a name', `GET / HTTP/1.1\r\n${H}: x\r\n\r\n`, [400]],
  ['a field name that is no token', `GET / HTTP/1.1\r\n${H}X(y): z\r\n\r\n`, [400]],
  ['bytes over 127 in a value', `GET / HTTP/1.1\r\n${H}X: caf\xc3\xa9\r\n\r\n`, [200]],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', [400]],
  ['two Hosts', `GET / HTTP/1.1\r\n${H}Host: b\r\n\r\n`, [400]],
  ['two Hosts with an absolute target', `GET http://a/ HTTP/1.1\r\n${H}Host: b\r\n\r\n`, [400]],
  ...['a b', 'a/b', 'user@a', 'a:b', 'a:123456', '[::1', 'a,b', 'a?b', 'a#b'].map((host): Case => [
    `a Host of ${JSON.stringify(host)}`,
    `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    [400],
  ]),
  ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', [400]],
  ['two spaces', `GET  / HTTP/1.1\r\n${H}\r\n`, [400]],
  ['a tab', `GET\t/ HTTP/1.1\r\n${H}\r\n`, [400]],
  ['a space in the target', `GET /a b HTTP/1.1\r\n${H}\r\n`, [400]],
  ['a space at the end', `GET / HTTP/1.1 \r\n${H}\r\n`, [400]],
  ['a fragment', `GET /#x HTTP/1.1\r\n${H}\r\n`, [400]],
  ['a control byte in the target', `GET /\x01 HTTP/1.1\r\n${H}\r\n`, [400]],
  ['a relative target', `GET x HTTP/1.1\r\n${H}\r\n`, [400]],
  ['another scheme', `GET ftp://a/ HTTP/1.1\r\n${H}\r\n`, [400]],
  ['userinfo in the target', `GET http://user@a/ HTTP/1.1\r\n${H}\r\n`, [400]],
  ['a star for GET', `GET * HTTP/1.1\r\n${H}\r\n`, [400]],
  ['a method that is no token', `G(T / HTTP/1.1\r\n${H}\r\n`, [400]],
  ['an unknown method', `PROPFIND / HTTP/1.1\r\n${H}\r\n`, [200]],
  ['a version in small letters', `GET / http/1.1\r\n${H}\r\n`, [400]],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${H}\r\n`, [505]],
  ['HTTP/3.0', `GET / HTTP/3.0\r\n${H}\r\n`, [505]],
  ['HTTP/1.10', `GET / HTTP/1.10\r\n${H}\r\n`, [400]],
  ['no version', 'GET /\r\n', [400]],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [505]],
  ['Connection that is no list', `GET / HTTP/1.1\r\n${H}Connection: a b\r\n\r\n`, [400]],
];

async function statusesOf(bytes: string, expected: number): Promise<number[]> {
  using client = await RawClient.connect(proxy.port);
  client.write(bytes);
  const statuses: number[] = [];
  while (statuses.length < expected) statuses.push((await client.response()).status);
  if (statuses.some((status) => status >= 400)) await client.closed();
  // A further request is answered as the next one, or not at all: nothing is left over in between.
  else {
    const next = await client.request({ target: '/next' });
    if (next.body.toString() !== 'GET /next ') throw new Error(`the next answer is ${next.line} ${next.body.toString()}`);
  }
  if (client.pending.length > 0) throw new Error(`more was said: ${client.pending.toString('latin1')}`);
  return statuses;
}

for (const [group, cases] of [
  ['framing', framing],
  ['chunks', chunks],
  ['heads', heads],
] as const) {
  t.test(group, async (t) => {
    for (const [name, bytes, statuses] of cases) {
      const before = seen.length;
      const found = await statusesOf(bytes, statuses.length).catch(String);
      t.strictSame(found, statuses, name);
      const accepted = statuses.filter((status) => status === 200).length;
      await eventually('the backend has seen them', () => seen.length >= before + accepted);
      const complete = seen.slice(before).filter((one) => one.complete && one.url !== '/next');
      t.equal(complete.length, accepted, `${name}: requests that the backend took for whole`);
    }
    t.strictSame(
      seen.filter(({ url }) => url === '/smuggled'),
      [],
      'nothing was smuggled',
    );
  });
}

t.test('what is accepted whole is the same when it comes byte by byte', async (t) => {
  const all = [...framing, ...chunks, ...heads];
  await Promise.all(
    all.map(async ([name, bytes, statuses]) => {
      using client = await RawClient.connect(proxy.port);
      const found: number[] = [];
      const reading = (async () => {
        while (found.length < statuses.length) found.push((await client.response()).status);
      })();
      await Promise.race([client.drip(bytes), reading, client.closed(10_000)]);
      await reading.catch((error: unknown) => t.fail(`${name}: ${String(error)}`));
      t.strictSame(found, statuses, name);
    }),
  );
  t.strictSame(
    seen.filter(({ url }) => url === '/smuggled'),
    [],
  );
});

/** The fields of one request at the backend, by lower-case name. */
async function forwarded(fields: string, line = 'GET / HTTP/1.1'): Promise<Map<string, string[]>> {
  const before = seen.length;
  using client = await RawClient.connect(proxy.port);
  client.write(`${line}\r\n${H}${fields}\r\n`);
  await client.response();
  const { raw } = seen[before];
  const found = new Map<string, string[]>();
  for (let i = 0; i < raw.length; i += 2) found.set(raw[i].toLowerCase(), [...(found.get(raw[i].toLowerCase()) ?? []), raw[i + 1]]);
  return found;
}

t.test('what is between this client and the proxy stays there', async (t) => {
  const found = await forwarded(
    'Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nx-hop: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip\r\nX-Stays: yes\r\n',
  );
  for (const name of ['x-hop', 'keep-alive', 'proxy-connection', 'te', 'upgrade']) t.notOk(found.has(name), name);
  t.strictSame(found.get('x-stays'), ['yes']);
  const named = await forwarded('Connection: Host, X-Forwarded-For, Authorization, close\r\nAuthorization: Basic x\r\n');
  t.strictSame(named.get('host'), ['a'], 'what must pass cannot be named away');
  t.strictSame(named.get('authorization'), ['Basic x']);
  t.strictSame(named.get('x-forwarded-for'), ['127.0.0.1']);
});

t.test('what a client says of itself is not believed', async (t) => {
  const found = await forwarded(
    'X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 443\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n' +
      'X-Request-Id: mine\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nVia: 1.0 evil\r\nX_Forwarded_For: 10.0.0.1\r\nx-forwarded_for: 10.0.0.1\r\n',
  );
  t.strictSame(found.get('x-forwarded-for'), ['127.0.0.1']);
  t.strictSame(found.get('x-forwarded-proto'), ['http']);
  t.strictSame(found.get('x-forwarded-host'), ['a']);
  t.strictSame(found.get('x-forwarded-port'), [String(proxy.port)]);
  t.strictSame(found.get('forwarded'), ['for=127.0.0.1;proto=http;host="a"']);
  t.strictSame(found.get('via'), ['1.1 switchyard']);
  t.match(found.get('x-request-id'), [/^[0-9a-f]{32}$/]);
  t.match(found.get('traceparent'), [/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/]);
  for (const name of ['x-real-ip', 'x_forwarded_for', 'x-forwarded_for']) t.notOk(found.has(name), name);
  const again = await forwarded('');
  t.not(String(again.get('x-request-id')), String(found.get('x-request-id')), 'each request has an id of its own');
});
