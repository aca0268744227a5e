import t from 'tap';
import { catchAll, Proxy } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import { eventually } from '../helpers/wait.ts';

const backend = await RawUpstream.start(t, answer('ok'));
const proxy = await Proxy.start(t, {
  dataThreads: 1,
  accessLog: 'full',
  upstreams: { web: catchAll({ v1: [backend.address] }, 'v1', { health: { kind: 'none' } }) },
});

/** The beginning of a ClientHello of TLS 1.3. */
const HELLO = `\x16\x03\x01\x00\xc4\x01\x00\x00\xc0\x03\x03${'\x5a'.repeat(185)}`;

/** [what it is, its bytes, status, reason]; 0 = it is forwarded. */
const cases: readonly (readonly [string, string, number, string])[] = [
  ['a TLS hello', HELLO, 400, 'tls-on-plain-port'],
  ['a TLS hello after an empty line', `\r\n${HELLO}`, 400, 'tls-on-plain-port'],
  ['an SSL 2 hello', '\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10', 400, 'bad-method'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 505, 'version'],
  ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 400, 'bad-method'],
  ['SMTP', 'EHLO mail.example.com\r\n', 400, 'bad-target'],
  ['SMTP, without a name', 'HELO\r\n', 400, 'bad-method'],
  ['SIP', 'OPTIONS sip:a@example.com SIP/2.0\r\n\r\n', 400, 'malformed'],
  ['RTSP', 'DESCRIBE rtsp://example.com/m RTSP/1.0\r\n\r\n', 400, 'malformed'],
  ['Redis', '*1\r\n$4\r\nPING\r\n', 400, 'bad-method'],
  ['a PROXY header nobody asked for', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed'],
  ['version 2 of it', '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c', 400, 'bad-method'],
  ['zeros', '\0\0\0\0', 400, 'bad-method'],
  ['SOCKS 5', '\x05\x01\x00', 400, 'bad-method'],
  ['HTTP/0.9', 'GET /\r\n', 400, 'bad-target'],
  ['CONNECT', 'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n', 501, 'not-implemented'],
  ['CONNECT with a path', 'CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'not-implemented'],
  ['CONNECT with a URL', 'CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'not-implemented'],
  ['CONNECT with *', 'CONNECT * HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'not-implemented'],
  ['CONNECT of HTTP/1.0', 'CONNECT a:443 HTTP/1.0\r\n\r\n', 501, 'not-implemented'],
  ['connect in lower case', 'connect / HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'not-implemented'],
  ['a target that is an authority', 'GET a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n', 400, 'bad-target'],
  ['TRACE', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method-refused'],
  ['TRACE in other letters', 'Trace / HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method-refused'],
  ['TRACE with Max-Forwards', 'TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n', 405, 'method-refused'],
  ['a method of 33 characters', `${'M'.repeat(33)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 501, 'not-implemented'],
  ['a method in brackets', '(GET) / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-method'],
  ['two methods', 'GET GET / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed'],
  ['a method of 32 characters', `${'M'.repeat(32)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 0, ''],
  ['get in lower case', 'get / HTTP/1.1\r\nHost: a\r\n\r\n', 0, ''],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505, 'version'],
  ['HTTP/3.0', 'GET / HTTP/3.0\r\nHost: a\r\n\r\n', 505, 'version'],
  ['HTTP/1.10', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n', 400, 'malformed'],
  ['HTTP/01.1', 'GET / HTTP/01.1\r\nHost: a\r\n\r\n', 400, 'malformed'],
  ['http/1.1 in lower case', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400, 'malformed'],
  ['no version number', 'GET / HTTP\r\nHost: a\r\n\r\n', 400, 'malformed'],
  ['a space after the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400, 'malformed'],
  ...[
    'a@b',
    'user:pw@a',
    'a:80:80',
    'a:http',
    'a:123456',
    'a,b',
    'a b',
    'a/b',
    'a?b',
    '[::1',
    '::1',
    '[fe80::1%25eth0]',
    '[]',
    '',
    ':80',
    'a\\b',
    'b\xfccher.example',
  ].map((host) => [`Host ${JSON.stringify(host)}`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400, 'bad-host'] as const),
  ...['a', 'a:', 'A.EXAMPLE', 'a.', 'a..', '[::1]:80', 'xn--bcher-kva.example', '127.1:80'].map(
    (host) => [`Host ${host}`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 0, ''] as const,
  ),
];

async function sent(pieces: readonly string[]): Promise<RawClient> {
  const client = await RawClient.connect(proxy.port);
  for (const piece of pieces) {
    client.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return client;
}

for (const [what, bytes, status, reason] of cases) {
  t.test(`${what}: ${status === 0 ? 'forwarded' : `${status} ${reason}`}`, async (t) => {
    const before = backend.requests.length;
    for (const pieces of [[bytes], bytes.slice(0, 60).split('').concat(bytes.slice(60))]) {
      using client = await sent(pieces);
      const response = await client.response();
      if (status === 0) {
        t.equal(response.status, 200);
        continue;
      }
      t.match(response, { status, head: new RegExp(`\\r\\nProxy-Status: .*${reason}`) });
      if (status !== 405) t.equal(await client.closed(), 'end', 'the client sees the answer, and then the end');
    }
    t.equal(backend.requests.length - before, status === 0 ? 2 : 0);
  });
}

t.test('each has its line in the log', async (t) => {
  for (const reason of new Set(cases.map((each) => each[3]).filter((each) => each !== ''))) {
    const wanted = cases.filter((each) => each[3] === reason).length * 2;
    const lines = (): number => proxy.output.split('\n').filter((line) => line.includes(`"reason":"${reason}"`)).length;
    await eventually(`${wanted} lines about ${reason}`, () => lines() >= wanted);
    t.equal(lines(), wanted, reason);
  }
});
