import t from 'tap';
import { field } from '../helpers/message.ts';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient, requestBytes } from '../helpers/raw_client.ts';
import type { RequestSpec } from '../helpers/raw_client.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { Script } from '../helpers/raw_upstream.ts';

const backend = await RawUpstream.start(t);
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' }, outlier: false, timeouts: { head: '2s', idle: '2s' } }) },
});

const OK = 'HTTP/1.1 200 OK\r\n';
const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';

interface Case {
  readonly name: string;
  /** What the backend sends; it closes the connection after it. */
  readonly bytes: string;
  readonly request?: RequestSpec;
  /** Status that the client gets, and body; `cut` when the answer must not look complete. */
  readonly status: number;
  readonly body?: string;
  readonly cut?: boolean;
}

const good: readonly Case[] = [
  { name: 'an empty reason', bytes: 'HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok', status: 200, body: 'ok' },
  { name: 'HTTP/1.0', bytes: 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', status: 200, body: 'ok' },
  { name: 'HTTP/1.0 to its end', bytes: 'HTTP/1.0 200 OK\r\n\r\nto the end', status: 200, body: 'to the end' },
  { name: 'an empty body to its end', bytes: `${OK}\r\n`, status: 200, body: '' },
  { name: 'a length with zeros', bytes: `${OK}Content-Length: 0002\r\n\r\nok`, status: 200, body: 'ok' },
  { name: 'chunks with extensions and a trailer', bytes: `${OK}Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n`, status: 200, body: 'ok' },
  { name: '204 with a length', bytes: 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', status: 204, body: '' },
  { name: '304 with chunks', bytes: 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n', status: 304, body: '' },
  { name: 'HEAD with a length', bytes: `${OK}Content-Length: 500\r\n\r\n`, request: { method: 'HEAD' }, status: 200, body: '' },
  { name: 'HEAD with chunks', bytes: `${OK}Transfer-Encoding: chunked\r\n\r\n`, request: { method: 'HEAD' }, status: 200, body: '' },
  { name: 'HEAD without anything', bytes: `${OK}\r\n`, request: { method: 'HEAD' }, status: 200, body: '' },
  { name: 'a status nobody knows', bytes: 'HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n', status: 599, body: '' },
  { name: 'Latin letters in a value', bytes: `${OK}X: caf\xe9\r\nContent-Length: 0\r\n\r\n`, status: 200, body: '' },
  { name: '200 fields', bytes: `${OK}${'X: y\r\n'.repeat(200)}Content-Length: 0\r\n\r\n`, status: 200, body: '' },
];

const refused: readonly Case[] = (
  [
    ['LF only', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['LF after a field', `${OK}X: y\nContent-Length: 2\r\n\r\nok`],
    ['CR in a field', `${OK}X: y\rContent-Length: 0\r\n\r\n${POISON}`],
    ['NUL in a field', `${OK}X: a\0b\r\nContent-Length: 0\r\n\r\n`],
    ['a folded field', `${OK}X: a\r\n b\r\nContent-Length: 0\r\n\r\n`],
    ['a space before a colon', `${OK}Content-Length : 2\r\n\r\nok`],
    ['two lengths', `${OK}Content-Length: 0\r\nContent-Length: 2\r\n\r\nok`],
    ['a list of lengths', `${OK}Content-Length: 2, 2\r\n\r\nok`],
    ['a negative length', `${OK}Content-Length: -2\r\n\r\nok`],
    ['length and chunks', `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['an unknown coding', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['HTTP/2', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['another protocol', 'ICY 200 OK\r\n\r\n'],
    ['no space after the status', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n'],
    ['status 099', 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n'],
    ['status 600', 'HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n'],
    ['a control byte in the reason', 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n'],
    ['a switch that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
    ['too many fields', `${OK}${'X: y\r\n'.repeat(257)}Content-Length: 0\r\n\r\n`],
    ['a head too large', `${OK}X: ${'y'.repeat(70_000)}\r\nContent-Length: 0\r\n\r\n`],
    ['half a head', `${OK}Content-Le`],
    ['nothing', ''],
    ['Connection that is no list', `${OK}Connection: a b\r\nContent-Length: 0\r\n\r\n`],
  ] as const
).map(([name, bytes]) => ({ name, bytes, status: 502 }));

const cut: readonly Case[] = (
  [
    ['less than its length', `${OK}Content-Length: 10\r\n\r\nhalf`],
    ['chunks without the last', `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`],
    ['half a chunk', `${OK}Transfer-Encoding: chunked\r\n\r\n8\r\nhalf`],
    ['a chunk size that is none', `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n`],
    ['a chunk that is longer than its size', `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nhalfX\r\n0\r\n\r\n`],
    ['trailers that are no fields', `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n`],
  ] as const
).map(([name, bytes]) => ({ name, bytes, status: 200, cut: true }));

async function check(t: { equal(a: unknown, b: unknown, name: string): unknown; ok(a: unknown, name: string): unknown }, one: Case): Promise<void> {
  using client = await RawClient.connect(proxy.port);
  if (one.cut) {
    client.write(requestBytes(one.request));
    const all = (await client.takeAll()).toString('latin1');
    t.ok(all.startsWith('HTTP/1.1 200 ') && !all.endsWith('\r\n0\r\n\r\n') && !all.includes('Content-Length: 4\r\n'), `${one.name}: begun, and cut`);
    return;
  }
  const response = await client.request(one.request);
  t.equal(response.status, one.status, one.name);
  if (one.body !== undefined) t.equal(response.body.toString('latin1'), one.body, `${one.name}: its body`);
  else t.ok(/details="(bad-response|reset)"/.test(field(response, 'proxy-status') ?? ''), `${one.name}: its reason`);
  t.equal((await client.request({ target: '/next' })).body.toString(), 'next', `${one.name}: the next answer is that of the next request`);
  t.equal(client.pending.length, 0, `${one.name}: nothing more is said`);
}

function play(bytes: string, drip: boolean): Script {
  return async (request, connection) => {
    if (request.target === '/next') return connection.respond(200, 'next');
    if (drip) await connection.drip(bytes);
    else connection.write(bytes);
    connection.end();
  };
}

for (const [group, cases] of [
  ['passed on', good],
  ['refused', refused],
  ['cut', cut],
] as const) {
  t.test(`answers that are ${group}`, async (t) => {
    for (const one of cases) {
      backend.use(play(one.bytes, false));
      await check(t, one);
      if (one.bytes.length > 1_000) continue;
      backend.use(play(one.bytes, true));
      await check(t, { ...one, name: `${one.name}, byte by byte` });
    }
  });
}

t.test('what is between the backend and the proxy stays there', async (t) => {
  backend.use((_, connection) =>
    connection.write(
      `${OK}Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=60\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nTE: x\r\n` +
        'Server: s\r\nVary: a\r\nVary: b\r\nContent-Length: 2\r\n\r\nok',
    ),
  );
  const response = await proxy.send();
  t.strictSame(
    response.fields.filter(([name]) => name !== 'Date'),
    [
      ['Server', 's'],
      ['Vary', 'a'],
      ['Vary', 'b'],
      ['Content-Length', '2'],
    ],
  );
  t.match(field(response, 'date'), / GMT$/, 'and an answer without a date gets one');
});
