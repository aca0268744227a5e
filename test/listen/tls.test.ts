import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { promisify } from 'node:util';
import t from 'tap';
import type { Test } from 'tap';
import { Authority } from '../helpers/certificates.ts';
import type { Pair } from '../helpers/certificates.ts';
import { field } from '../helpers/message.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { RawUpstream, answer } from '../helpers/raw_upstream.ts';
import type { SeenRequest } from '../helpers/raw_upstream.ts';
import { TlsClient } from '../helpers/tls_client.ts';
import { eventually } from '../helpers/wait.ts';

const run = promisify(execFile);

interface World {
  readonly authority: Authority;
  readonly proxy: Proxy;
  readonly upstream: RawUpstream;
  /** Of the TLS listener; `plain` of another without. */
  readonly port: number;
  readonly plain: number;
}

interface Options {
  readonly pairs?: readonly Pair[];
  readonly tls?: Record<string, unknown>;
  readonly listener?: Record<string, unknown>;
  readonly config?: Record<string, unknown>;
  readonly route?: Record<string, unknown>;
}

async function start(t: Test, authority: Authority, { pairs, tls, listener, config, route }: Options = {}): Promise<World> {
  const upstream = await RawUpstream.start(t);
  const [port, plain] = [await freePort(), await freePort()];
  const certificates = (pairs ?? [await authority.issue()]).map(({ certFile: cert, keyFile: key }) => ({ cert, key }));
  const listeners = [
    { host: '127.0.0.1', port, tls: { certificates, ...tls }, ...listener },
    { host: '127.0.0.1', port: plain },
  ];
  const web = catchAll({ v1: [upstream.address] }, 'v1', { health: { kind: 'none' }, ...(route === undefined ? {} : { routes: [route] }) });
  const proxy = await Proxy.start(t, { listeners, upstreams: { web }, ...config });
  return { authority, proxy, upstream, port, plain };
}

/** The head that the backend gets of a request. */
async function passed({ upstream }: World, sent: Promise<unknown>): Promise<string> {
  const index = upstream.requests.length;
  const { line, fields } = await upstream.request(index);
  await sent;
  return `${[line, ...fields.map(([name, value]) => `${name}: ${value}`)].join('\r\n')}\r\n`;
}

/** A script that keeps the connection for the test. */
function taking(world: World): Promise<SeenRequest> {
  return new Promise((resolve) => {
    world.upstream.use((request) => {
      resolve(request);
      return 'taken';
    });
  });
}

async function metric({ proxy }: World, series: string): Promise<number> {
  const { text } = await proxy.admin('/metrics');
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length) ?? Number.NaN,
  );
}

const failed = (reason: string): string => `switchyard_tls_handshakes_total{result="failed",reason="${reason}"}`;

function subjectOf(client: TlsClient): string {
  return client.tls.getPeerX509Certificate()!.subject;
}

async function shownFor(port: number, options: ConnectionOptions): Promise<string> {
  using client = await TlsClient.connect(port, options);
  return subjectOf(client);
}

t.test('the certificate is that of the name: exact, wildcard of one label, else the first', async (t) => {
  const authority = await Authority.create(t);
  const pairs = [
    await authority.issue({ names: ['first.example'], subject: '/CN=first' }),
    await authority.issue({ names: ['*.wild.example'], subject: '/CN=wild' }),
    await authority.issue({ names: ['exact.wild.example'], subject: '/CN=exact' }),
  ];
  const { port } = await start(t, authority, { pairs });
  for (const [servername, subject] of [
    ['first.example', 'CN=first'],
    ['a.wild.example', 'CN=wild'],
    ['A.Wild.EXAMPLE', 'CN=wild'],
    ['exact.wild.example', 'CN=exact'],
    ['a.b.wild.example', 'CN=first'],
    ['wild.example', 'CN=first'],
    ['other.example', 'CN=first'],
    ['', 'CN=first'],
  ] as const) {
    t.equal(await shownFor(port, { servername }), subject, servername || 'no name');
  }
});

t.test('ECDSA and RSA certificates of one name serve side by side; old versions and weak suites are refused', async (t) => {
  const authority = await Authority.create(t);
  const pairs = [await authority.issue({ subject: '/CN=ecdsa' }), await authority.issue({ key: 2048, subject: '/CN=rsa' })];
  const world = await start(t, authority, { pairs });
  const { port } = world;
  const old = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
  t.equal(await shownFor(port, { ...old, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }), 'CN=ecdsa');
  t.equal(await shownFor(port, { ...old, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }), 'CN=rsa');
  t.equal(await shownFor(port, { minVersion: 'TLSv1.3', sigalgs: 'rsa_pss_rsae_sha256' }), 'CN=rsa');
  t.equal(await shownFor(port, { minVersion: 'TLSv1.3', sigalgs: 'ecdsa_secp256r1_sha256' }), 'CN=ecdsa');
  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    await t.rejects(TlsClient.connect(port, { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' }), version);
  }
  for (const ciphers of ['AES128-GCM-SHA256', 'ECDHE-RSA-AES128-SHA256', 'DHE-RSA-AES128-GCM-SHA256']) {
    await t.rejects(TlsClient.connect(port, { ...old, ciphers }), ciphers);
  }
  await eventually(
    'the reasons',
    async () => (await metric(world, failed('no-common-version'))) === 2 && (await metric(world, failed('no-common-cipher'))) === 3,
  );
});

t.test('keys are agreed on by the best group that a client has sent a share for', async (t) => {
  const world = await start(t, await Authority.create(t));
  const agreed = async (more: ConnectionOptions): Promise<unknown> => {
    using client = await TlsClient.connect(world.port, more);
    return (client.tls.getEphemeralKeyInfo() as { name?: string }).name;
  };
  t.equal(await agreed({}), 'X25519MLKEM768', 'as clients of today ask for it');
  t.equal(await agreed({ ecdhCurve: 'X25519:prime256v1' }), 'X25519');
  t.equal(await agreed({ ecdhCurve: 'secp384r1' }), 'secp384r1');
  t.equal(await agreed({ ecdhCurve: 'X25519MLKEM768:*X25519' }), 'X25519', 'nobody is asked for another share');
  t.equal(await agreed({ maxVersion: 'TLSv1.2' }), 'X25519');
  await t.rejects(agreed({ ecdhCurve: 'X448' }));
});

t.test('curl, openssl s_client and fetch get an answer, over each version of TLS and HTTP', async (t) => {
  const authority = await Authority.create(t);
  const world = await start(t, authority);
  const { port } = world;
  const curl = (...args: string[]) =>
    run('curl', ['-sS', '-m', '60', '--cacert', authority.certFile, '-w', ' %{http_version}', ...args, `https://localhost:${port}/`]);
  t.equal((await curl('--http1.1')).stdout, 'ok 1.1');
  t.equal((await curl('--http1.0')).stdout, 'ok 1.1');
  t.equal((await curl('--http1.1', '--tls-max', '1.2')).stdout, 'ok 1.1');
  t.equal((await curl('--http2')).stdout, 'ok 2');
  t.equal((await curl('--http2', '--tls-max', '1.2')).stdout, 'ok 2');
  const client = run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-CAfile', authority.certFile, '-quiet']);
  client.child.stdin!.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  t.match((await client).stdout, /^HTTP\/1\.1 200 Status\r\n[^]*ok$/);
  const script = `fetch('https://localhost:${port}/').then((r) => r.text()).then(console.log)`;
  t.equal((await run(process.execPath, ['-e', script], { env: { ...process.env, NODE_EXTRA_CA_CERTS: authority.certFile } })).stdout, 'ok\n');
  const spoken = (): Promise<number[]> =>
    Promise.all(['HTTP/1.0', 'HTTP/1.1', 'HTTP/2'].map((protocol) => metric(world, `switchyard_client_requests_total{protocol="${protocol}"}`)));
  await eventually('each is counted: fetch takes HTTP/2', async () => String(await spoken()) === '1,3,3');
  await run('curl', ['-s', '-m', '60', `https://localhost:${port}/`]).catch(() => undefined);
  await eventually('the refusal of who does not trust us', async () => (await metric(world, failed('client-refused'))) === 1);
  const { stdout } = await world.proxy.cli(['explain', 'web']);
  t.match(stdout, /TLS handshakes since the start: 7 succeeded \(\d resumed; 5 TLS 1\.3, 2 TLS 1\.2\), 1 failed \(1 client-refused\)/);
  t.match(stdout, 'requests since the start: 3 HTTP/2, 3 HTTP/1.1, 1 HTTP/1.0');
});

t.test('the backend is told that the client came by https; requests follow one another on the connection', async (t) => {
  const world = await start(t, await Authority.create(t));
  using client = await TlsClient.connect(world.port);
  const head = await passed(world, client.request());
  t.match(head, /\r\nX-Forwarded-Proto: https\r\n/);
  t.match(head, new RegExp(`\r\nX-Forwarded-Port: ${world.port}\r\n`));
  t.match(head, /;proto=https;/);
});

t.test('bodies of megabytes pass both ways while one side reads slowly, byte for byte', async (t) => {
  const world = await start(t, await Authority.create(t));
  const body = Buffer.alloc(8 * 2 ** 20, 'switchyard ');
  using client = await TlsClient.connect(world.port);
  const taken = taking(world);
  client.write(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${body.length}\r\n\r\n`);
  client.write(body);
  const { connection, body: uploaded } = await taken;
  t.ok((await uploaded).equals(body), 'up');
  connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
  client.tls.pause();
  connection.write(body);
  await new Promise((resolve) => setTimeout(resolve, 300));
  client.tls.resume();
  await client.takeUntil('\r\n\r\n');
  t.ok((await client.take(body.length, 60_000)).equals(body), 'down');
});

t.test('a cut body without a length is a reset inside TLS too, and the thread lives on', async (t) => {
  const world = await start(t, await Authority.create(t));
  using client = await TlsClient.connect(world.port);
  const taken = taking(world);
  client.write('GET / HTTP/1.0\r\nHost: a.example\r\n\r\n');
  const { connection } = await taken;
  connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  await client.takeUntil('hello');
  connection.reset();
  await eventually('the reset', () => client.ending !== 'open');
  t.equal(client.ending, 'reset');
  t.notMatch(world.proxy.output, /died/);
});

t.test('the end of an answer is said by close_notify, and a client that ends its side has gone', async (t) => {
  const world = await start(t, await Authority.create(t));
  using client = await TlsClient.connect(world.port);
  await passed(world, client.request({ fields: [['Connection', 'close']] }));
  await eventually('the end', () => client.ending !== 'open');
  t.equal(client.ending, 'end');
  using gone = await TlsClient.connect(world.port);
  const taken = taking(world);
  gone.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n');
  const { connection } = await taken;
  gone.tls.end();
  await eventually('the connection to the backend to end', () => connection.ending !== 'open');
  t.notMatch(world.proxy.output, /died/);
});

t.test('handshakes that come to nothing are ended and counted by their reason', async (t) => {
  const authority = await Authority.create(t);
  const world = await start(t, authority, { config: { dataThreads: 1, timeouts: { handshake: '2m' }, limits: { handshakes: 3 } } });
  const { port } = world;
  using plain = await RawClient.connect(port);
  plain.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n');
  using garbage = await RawClient.connect(port);
  garbage.write('\x00\x01\x02 no TLS at all\r\n\r\n\r\n\r\n');
  const untrusting = connect({ port, host: '127.0.0.1', servername: 'localhost' });
  untrusting.on('error', () => undefined);
  await eventually('three reasons', async () => (await metric(world, failed('plain-http'))) === 1 && (await metric(world, failed('not-tls'))) === 1);
  const none = connect({ port, host: '127.0.0.1', ALPNProtocols: ['spdy/3'], rejectUnauthorized: false });
  none.on('error', () => undefined);
  await eventually('no protocol', async () => (await metric(world, failed('no-common-protocol'))) === 1);
  const silent = [0, 1, 2].map(() => tcpConnect(port, '127.0.0.1'));
  await eventually('three under way', async () => (await metric(world, 'switchyard_tls_handshakes_under_way')) === 3);
  await t.rejects(TlsClient.connect(port), 'a fourth');
  await eventually('it is counted', async () => (await metric(world, failed('limit'))) === 1);
  for (const socket of silent) socket.destroy();
  await eventually('none under way', async () => (await metric(world, 'switchyard_tls_handshakes_under_way')) === 0);
  using after = await TlsClient.connect(port);
  await passed(world, after.request());
  t.notMatch(world.proxy.output, /died/);
});

t.test('a handshake has its time, and then its place is free', async (t) => {
  const world = await start(t, await Authority.create(t), { config: { dataThreads: 1, timeouts: { handshake: '2s' }, limits: { handshakes: 3 } } });
  const silent = [0, 1, 2].map(() => tcpConnect(world.port, '127.0.0.1'));
  await eventually('the deadline', async () => (await metric(world, failed('timeout'))) === 3);
  await eventually('none under way', async () => (await metric(world, 'switchyard_tls_handshakes_under_way')) === 0);
  using after = await TlsClient.connect(world.port);
  await passed(world, after.request());
  for (const socket of silent) socket.destroy();
});

t.test('clients show certificates: who has none is refused, who has one is named to the backend, and nobody names himself', async (t) => {
  const [authority, strangers] = [await Authority.create(t), await Authority.create(t)];
  const world = await start(t, authority, { tls: { clientAuth: { ca: authority.certFile } } });
  const { port, plain } = world;
  const mine = await authority.issue({ names: ['client.example'], subject: '/O=Ünit 1/CN=client%0d' });
  const other = await strangers.issue();
  const refused = async (options: ConnectionOptions): Promise<void> => {
    using client = await TlsClient.connect(port, options);
    await eventually('the end', () => client.ending !== 'open');
    t.equal(client.total, 0);
  };
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    await refused({ maxVersion }).catch(() => undefined);
    await refused({ maxVersion, cert: other.cert, key: other.key }).catch(() => undefined);
  }
  await eventually('four refusals', async () => (await metric(world, failed('client-certificate'))) === 4);
  using client = await TlsClient.connect(port, { cert: mine.cert, key: mine.key });
  const head = await passed(
    world,
    client.request({
      fields: [
        ['x-client-cert-subject', 'CN=admin'],
        ['X_Client_Cert_Issuer', 'me'],
        ['X-Client-Cert', 'mine'],
      ],
    }),
  );
  t.match(head, /\r\nX-Client-Cert-Subject: O=%C3%9Cnit 1, CN=client%250d\r\n/);
  t.match(head, /\r\nX-Client-Cert-Issuer: CN=test authority\r\n/);
  t.match(head, `\r\nX-Client-Cert-Fingerprint: ${new X509Certificate(mine.cert).fingerprint256.replaceAll(':', '').toLowerCase()}\r\n`);
  t.match(head, /\r\nX-Client-Cert-Names: DNS:client\.example\r\n/);
  t.notMatch(head, /CN=admin|: me\r\n/);
  t.match(head, /\r\nX-Client-Cert: mine\r\n/, 'another name is another field');
  const unnamed = await authority.issue({ names: ['workload.example'], subject: '/' });
  using workload = await TlsClient.connect(port, { cert: unnamed.cert, key: unnamed.key });
  const known = await passed(world, workload.request());
  t.match(known, /\r\nX-Client-Cert-Names: DNS:workload\.example\r\n/, 'a certificate may name its holder nowhere else');
  t.notMatch(known, /X-Client-Cert-Subject/);
  using outside = await RawClient.connect(plain);
  t.notMatch(await passed(world, outside.request({ fields: [['X-Client-Cert-Subject', 'CN=admin']] })), /cert-subject/i, 'nor on the plain listener');
  const asked = taking(world);
  using late = await RawClient.connect(plain);
  late.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
  const { connection } = await asked;
  let body = '';
  connection.socket.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
  late.write('1\r\nx\r\n0\r\nX-Client-Cert-Subject: CN=admin\r\nx_client_cert_names: me\r\nX-Sum: 1\r\n\r\n');
  await eventually('the end of the body', () => body.endsWith('\r\n\r\n'));
  t.equal(body, '1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n', 'nor behind the body');
  world.upstream.use(answer('ok'));
  const { session } = await new Promise<{ session: Buffer }>((resolve, reject) => {
    const first = connect({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false, cert: mine.cert, key: mine.key });
    first.on('error', reject);
    first.once('session', (session: Buffer) => {
      first.destroy();
      resolve({ session });
    });
  });
  using resumed = await TlsClient.connect(port, { session, cert: mine.cert, key: mine.key });
  t.ok(resumed.tls.isSessionReused());
  t.match(await passed(world, resumed.request()), /\r\nX-Client-Cert-Names: DNS:client\.example\r\n/, 'also in a session that was resumed');
});

t.test('with `request`, clients without a certificate, or with a strange one, come in unnamed', async (t) => {
  const [authority, strangers] = [await Authority.create(t), await Authority.create(t)];
  const headers = { subject: 'Client-DN', issuer: null, fingerprint: null, names: null };
  const world = await start(t, authority, { tls: { clientAuth: { ca: authority.certFile, mode: 'request', headers } } });
  const [mine, other] = [await authority.issue(), await strangers.issue()];
  using without = await TlsClient.connect(world.port);
  t.notMatch(await passed(world, without.request({ fields: [['Client-DN', 'CN=test']] })), /client-dn/i);
  using stranger = await TlsClient.connect(world.port, { cert: other.cert, key: other.key });
  t.notMatch(await passed(world, stranger.request()), /client-dn/i);
  using known = await TlsClient.connect(world.port, { cert: mine.cert, key: mine.key });
  const head = await passed(world, known.request());
  t.match(head, /\r\nClient-DN: CN=test\r\n/);
  t.notMatch(head, /X-Client-Cert/);
});

t.test('http leads to https, and https says that it is to stay so (HSTS)', async (t) => {
  const world = await start(t, await Authority.create(t), { route: { security: true } });
  using client = await TlsClient.connect(world.port);
  t.equal(field(await client.request(), 'strict-transport-security'), 'max-age=31536000');
  using unsafe = await RawClient.connect(world.plain);
  t.equal(field(await unsafe.request(), 'strict-transport-security'), null);
  const route = { security: true, redirect: { scheme: 'https', port: world.port } };
  const other = await start(t, world.authority, { route });
  using plain = await RawClient.connect(other.plain);
  const answer = await plain.request({ target: '/a?b' });
  t.equal(answer.status, 308);
  t.equal(field(answer, 'location'), `https://test.example:${world.port}/a?b`);
  t.equal(field(answer, 'strict-transport-security'), null);
});

t.test('behind a PROXY protocol header, also when it comes with the first bytes of the handshake', async (t) => {
  const world = await start(t, await Authority.create(t), { listener: { proxyProtocol: ['127.0.0.0/8'] } });
  for (const together of [true, false]) {
    const socket = tcpConnect(world.port, '127.0.0.1');
    const header = 'PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n';
    if (together) socket.cork();
    socket.write(header);
    const client = connect({ socket, servername: 'localhost', rejectUnauthorized: false });
    if (together) setImmediate(() => socket.uncork());
    const answered = once(client, 'data');
    client.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n');
    t.match(await passed(world, answered), /\r\nX-Forwarded-For: 192\.0\.2\.7\r\n/);
    client.destroy();
  }
  t.notMatch(world.proxy.output, /died/);
});
