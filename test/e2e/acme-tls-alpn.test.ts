import { execFile } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect as tcpConnect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { promisify } from 'node:util';
import t from 'tap';
import type { Test } from 'tap';
import { challengeCertificate } from '../../src/acme/x509.ts';
import { HANDSHAKE_FAILURES } from '../../src/errors/handshake.ts';
import { NO_CHALLENGES } from '../../src/pool/acme.ts';
import { acmeWorld, issuedFor, shown } from '../helpers/acme.ts';
import { Authority } from '../helpers/certificates.ts';
import { InProcess } from '../helpers/control.ts';
import { freePort, freePorts } from '../helpers/ports.ts';
import { RawClient } from '../helpers/raw_client.ts';
import { TlsClient } from '../helpers/tls_client.ts';
import { eventually, sleep } from '../helpers/wait.ts';

const run = promisify(execFile);
const BY_TLS = { challenge: 'tls-alpn-01' };

/** Relays to a port, with these bytes before what comes. */
async function relay(t: Test, port: number, first = ''): Promise<number> {
  const server = createServer((from) => {
    const to = tcpConnect(port, '127.0.0.1');
    to.write(first);
    from.pipe(to).pipe(from);
    for (const [one, other] of [
      [from, to],
      [to, from],
    ])
      one.on('error', () => other.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Clients that connect one after another, until stopped. */
function visitors(port: number, options: readonly ConnectionOptions[]) {
  let running = true;
  const [failed, issuers] = [[] as unknown[], new Set<string>()];
  const visit = async (one: ConnectionOptions): Promise<void> => {
    while (running) {
      try {
        using client = await TlsClient.connect(port, one);
        issuers.add(client.tls.getPeerX509Certificate()!.issuer);
        const { alpnProtocol } = client.tls;
        if (alpnProtocol !== 'h2' && (await client.request()).status !== 404) throw new Error('no answer');
        if (alpnProtocol !== (one.ALPNProtocols === undefined ? false : (one.ALPNProtocols as string[])[0])) throw new Error(`spoke ${String(alpnProtocol)}`);
      } catch (error) {
        failed.push(error);
      }
      await sleep(5);
    }
  };
  const all = options.map(visit);
  return {
    failed,
    issuers,
    async stop(): Promise<void> {
      running = false;
      await Promise.all(all);
    },
  };
}

t.test('certificates by tls-alpn-01 alone, one of several names, renewed in time; other clients notice nothing', async (t) => {
  const [unheard] = await freePorts(1);
  const domains = ['a.example', ['b.example', 'www.b.example']];
  const { https, start } = await acmeWorld(t, { httpPort: unheard, validity: 8 }, { ...BY_TLS, domains });
  const proxy = await start();
  const guests = visitors(https, [
    { servername: 'a.example' },
    { servername: 'www.b.example', maxVersion: 'TLSv1.2' },
    { servername: 'a.example', ALPNProtocols: ['h2', 'http/1.1'] },
    { servername: 'elsewhere.example', ALPNProtocols: ['http/1.1'] },
  ]);
  const [one, other] = [await issuedFor(https, 'a.example'), await issuedFor(https, 'www.b.example')];
  t.match(one.subjectAltName, 'DNS:a.example');
  t.match(other.subjectAltName, /DNS:b\.example.*DNS:www\.b\.example/);
  await eventually(
    'a renewal of each',
    async () => {
      const now = [await shown(https, 'a.example'), await shown(https, 'b.example')];
      return now.every(({ fingerprint256, issuer }) => issuer.includes('Pebble') && ![one, other].some((first) => first.fingerprint256 === fingerprint256));
    },
    60_000,
    100,
  );
  await guests.stop();
  t.strictSame(guests.failed, []);
  for (const issuer of guests.issuers) t.match(issuer, /Pebble|CN=(a|b)\.example/);
  t.equal(proxy.control.acme.renewals.failed, 0);
  const { challenges } = proxy.control.snapshot().acme;
  t.ok(challenges.tls >= 6, 'each name was asked for each time');
  t.equal(challenges.http, 0);
  t.notMatch(proxy.told.join('\n'), /died/);
});

t.test('behind PROXY protocol headers too', async (t) => {
  const [[https, unheard], pair] = [await freePorts(2), await (await Authority.create(t)).issue()];
  const tlsPort = await relay(t, https, 'PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n');
  const { config } = await acmeWorld(t, { httpPort: unheard, tlsPort }, BY_TLS);
  const [, { tls }] = config.listeners as [unknown, { tls: Record<string, unknown> }];
  const certificates = [{ cert: pair.cert, key: pair.key }];
  const listener = { host: '127.0.0.1', port: https, tls: { ...tls, certificates }, proxyProtocol: ['127.0.0.0/8'] };
  const proxy = await InProcess.start(t, { ...config, listeners: [listener] });
  await proxy.event('certificate-issued', undefined, 60_000);
  t.match((await issuedFor(tlsPort, 'a.example')).issuer, 'Pebble');
});

t.test('when the name leads elsewhere the certificate in force stays, and it is told', async (t) => {
  const elsewhere = await (await Authority.create(t)).issue({ names: ['a.example'] });
  const stranger = createTlsServer({ cert: elsewhere.cert, key: elsewhere.key, ALPNProtocols: ['acme-tls/1'] }, (socket) =>
    socket.on('error', () => undefined),
  );
  let way = 0;
  const door = createServer((from: Socket) => {
    const to = tcpConnect(way, '127.0.0.1');
    from.pipe(to).pipe(from);
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
  });
  for (const server of [stranger, door]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
  }
  const [tlsPort, wrong] = [door, stranger].map((server) => (server.address() as AddressInfo).port);
  const { https, start } = await acmeWorld(t, { tlsPort, validity: 6 }, BY_TLS);
  way = https;
  const proxy = await start();
  const { fingerprint256 } = await issuedFor(https, 'a.example');
  way = wrong;
  const { data } = await proxy.event('certificate-failed', undefined, 60_000);
  t.match(data, { names: ['a.example'], reason: /^a\.example: unauthorized: / });
  const before = (await shown(https, 'a.example')).fingerprint256;
  t.match((await shown(https, 'a.example')).issuer, 'Pebble', 'the old one stays');
  t.ok(proxy.control.snapshot().acme.failed > 0);
  t.match(proxy.control.certificates.facts().join('\n'), /a\.example .* could not be renewed; .*unauthorized/);
  way = https;
  await eventually('a renewal', async () => ![before, fingerprint256].includes((await shown(https, 'a.example')).fingerprint256), 60_000, 100);
});

interface Pending {
  readonly proxy: InProcess;
  readonly port: number;
  readonly authorization: string;
}

/** A listener that has been asked to prove that `a.example` is ours, and is not asked yet. */
async function pending(t: Test, more: Record<string, unknown> = {}): Promise<Pending> {
  const [authority, port] = [await Authority.create(t), await freePort()];
  const pair = await authority.issue({ names: ['a.example', 'localhost'] });
  const clientAuth = { ca: authority.certFile, mode: 'require' };
  const tls = { certificates: [{ cert: pair.cert, key: pair.key }] };
  const strict = { host: '127.0.0.1', port: await freePort(), tls: { ...tls, clientAuth } };
  const proxy = await InProcess.start(t, { listeners: [{ host: '127.0.0.1', port, tls }, strict], ...more }, authority.dir);
  const authorization = 'token-of-the-authority.thumbprint';
  const certificate = await challengeCertificate('a.example', authorization, Date.now());
  await proxy.control.threads.challenge({ answers: new Map(), certificates: new Map([['a.example', certificate]]) });
  return { proxy, port, authorization };
}

/** What openssl s_client says of a handshake, and the certificate in words. */
async function asked(port: number, ...args: string[]): Promise<{ said: string; text: string }> {
  const client = run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'a.example', ...args]);
  const said = await client.then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: { stdout: string; stderr: string }) => error.stdout + error.stderr,
  );
  const [pem] = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(said) ?? [''];
  if (pem === '') return { said, text: '' };
  const read = run('openssl', ['x509', '-noout', '-text']);
  read.child.stdin!.end(pem);
  return { said, text: (await read).stdout };
}

t.test('openssl is shown the challenge, whole and critical, by every thread, and the connection ends', async (t) => {
  const { port, authorization } = await pending(t);
  const digest = createHash('sha256').update(authorization).digest('hex').toUpperCase().match(/../g)!.join(':');
  for (const version of ['-tls1_2', '-tls1_3'])
    for (let i = 0; i < 6; i++) {
      // It ends by itself: nothing is said on its input.
      const { said, text } = await asked(port, '-alpn', 'acme-tls/1', version);
      t.match(said, /ALPN protocol: acme-tls\/1/);
      t.notMatch(said, /unexpected eof/i, 'with a goodbye of ours');
      t.match(text, /Subject Alternative Name: *\n +DNS:a\.example\n/);
      t.match(text, /1\.3\.6\.1\.5\.5\.7\.1\.31: critical\n/);
      const [pem] = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(said)!;
      t.ok(
        new X509Certificate(pem).raw
          .toString('hex')
          .toUpperCase()
          .includes(`0420${digest.replaceAll(':', '')}`),
        'the digest in an OCTET STRING',
      );
      t.equal(new X509Certificate(pem).checkIssued(new X509Certificate(pem)), true, 'signed by itself');
    }
});

t.test('nobody else gets it: another name, more protocols, another protocol, and nobody when it is over', async (t) => {
  const { port, proxy } = await pending(t);
  const issuer = async (options: ConnectionOptions): Promise<string> => {
    using client = await TlsClient.connect(port, { servername: 'a.example', ...options });
    return `${client.tls.getPeerX509Certificate()!.issuer} ${String(client.tls.alpnProtocol)}`;
  };
  t.equal(await issuer({}), 'CN=test authority false');
  t.equal(await issuer({ ALPNProtocols: ['acme-tls/1', 'http/1.1'] }), 'CN=test authority http/1.1');
  t.equal(await issuer({ ALPNProtocols: ['h2'] }), 'CN=test authority h2');
  using validator = await TlsClient.connect(port, { servername: 'a.example', ALPNProtocols: ['acme-tls/1'] });
  t.equal(validator.tls.getPeerX509Certificate()!.subject, 'CN=a.example');
  await eventually('our goodbye', () => validator.ending !== 'open');
  await t.rejects(issuer({ ALPNProtocols: ['acme-tls/1'], servername: 'localhost' }), { code: /NO_APPLICATION_PROTOCOL/ });
  await t.rejects(issuer({ ALPNProtocols: ['acme-tls/1'], servername: '' }), { code: /NO_APPLICATION_PROTOCOL/ });
  t.equal(proxy.control.snapshot().acme.challenges.tls, 1, 'one was answered');
  await proxy.control.threads.challenge(NO_CHALLENGES);
  await t.rejects(issuer({ ALPNProtocols: ['acme-tls/1'] }), { code: /NO_APPLICATION_PROTOCOL/ });
  t.equal(await issuer({ ALPNProtocols: ['http/1.1'] }), 'CN=test authority http/1.1');
});

t.test('listeners that ask for client certificates answer without one; threads that are born meanwhile answer too', async (t) => {
  const { proxy } = await pending(t);
  const [, strict] = proxy.control.certificates.views().map(({ listener }) => Number(listener.split(':')[1]));
  const shows = async (): Promise<boolean> => {
    using client = await TlsClient.connect(strict, { servername: 'a.example', ALPNProtocols: ['acme-tls/1'] });
    return client.tls.alpnProtocol === 'acme-tls/1';
  };
  t.ok(await shows());
  await Promise.all([0, 1].map((thread) => proxy.control.threads.end(thread)));
  t.ok(await eventually('an answer of the new threads', () => shows().catch(() => null)));
});

t.test('while a challenge is pending slow, broken and plain clients are treated as ever', async (t) => {
  const { port, proxy } = await pending(t);
  const failed = (): readonly number[] => proxy.control.snapshot().handshakes.failed;
  using plain = await RawClient.connect(port);
  plain.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually('the end of the plain one', () => plain.ending !== 'open');
  t.equal(failed()[0], 1, 'plain-http');
  const slow = await relaySlowly(t, port);
  using client = await TlsClient.connect(slow, { servername: 'a.example' });
  t.equal((await client.request()).status, 404);
  using validator = await TlsClient.connect(slow, { servername: 'a.example', ALPNProtocols: ['acme-tls/1'] });
  t.equal(validator.tls.getPeerX509Certificate()!.subject, 'CN=a.example');
  await eventually('our goodbye', () => validator.ending !== 'open');
  const half = tcpConnect(port, '127.0.0.1');
  half.write(Buffer.from('1603010200', 'hex'));
  await eventually('one under way', () => proxy.control.snapshot().handshakes.open === 1);
  half.destroy();
  await eventually('none under way', () => proxy.control.snapshot().handshakes.open === 0);
  await eventually('no connections', async () => {
    client.destroy();
    validator.destroy();
    return proxy.control.snapshot().clientConnections === 0;
  });
});

t.test('half a greeting has the time and the room of a handshake', async (t) => {
  const { port, proxy } = await pending(t, { dataThreads: 1, timeouts: { handshake: '3s' }, limits: { handshakes: 2 } });
  const half = [0, 1].map(() => tcpConnect(port, '127.0.0.1').on('error', () => undefined));
  for (const one of half) one.write(Buffer.from('1603010200', 'hex'));
  await eventually('two under way', () => proxy.control.snapshot().handshakes.open === 2);
  await t.rejects(TlsClient.connect(port), 'a third');
  const failures = (): Record<string, number> => {
    const { failed } = proxy.control.snapshot().handshakes;
    return Object.fromEntries(HANDSHAKE_FAILURES.map((reason, i) => [reason, failed[i]]));
  };
  await eventually('the deadline', () => failures().timeout === 2);
  t.match(failures(), { limit: 1, timeout: 2 });
  await eventually('nobody is left', () => proxy.control.snapshot().handshakes.open === 0 && proxy.control.snapshot().clientConnections === 0);
});

/** A way to a port on which what clients send arrives in pieces of a few bytes. */
async function relaySlowly(t: Test, port: number): Promise<number> {
  const server = createServer((from) => {
    const to = tcpConnect({ port, host: '127.0.0.1', noDelay: true });
    to.pipe(from);
    void (async () => {
      try {
        for await (const chunk of from as AsyncIterable<Buffer>) {
          for (let at = 0; at < chunk.length; at += 97) {
            to.write(chunk.subarray(at, at + 97));
            await sleep(1);
          }
        }
        to.end();
      } catch {
        to.destroy();
      }
    })();
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}
