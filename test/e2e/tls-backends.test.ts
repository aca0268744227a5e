import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import type { TLSSocket, TlsOptions } from 'node:tls';
import t from 'tap';
import { Authority } from '../helpers/certificates.ts';
import type { Pair } from '../helpers/certificates.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import type { ProxyConfig } from '../helpers/proxy.ts';
import { RawUpstream } from '../helpers/raw_upstream.ts';
import type { UpstreamConnection } from '../helpers/raw_upstream.ts';
import type { Teardown } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

const BELIEVED = { health: { kind: 'none' }, retries: { attempts: 0 } };

interface Backend {
  readonly address: string;
  /** Handshakes that were completed, in order. */
  readonly sockets: TLSSocket[];
  /** Everything that was sent inside TLS. */
  received: string;
}

/** A backend over TLS that answers every request with `body`, and closes when it is asked to by `?close`. */
async function backend(t: Teardown, { cert, key }: Pair, options: TlsOptions = {}, body = 'over tls'): Promise<Backend> {
  const server = createServer({ cert, key, ...options });
  const seen: Backend = { address: '', sockets: [], received: '' };
  server.on('secureConnection', (socket) => {
    seen.sockets.push(socket);
    socket.on('data', (chunk: Buffer) => {
      seen.received += chunk.toString('latin1');
      const close = chunk.includes('?close');
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${close ? 'Connection: close\r\n' : ''}\r\n${body}`);
      if (close) socket.end();
    });
    socket.on('error', () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    for (const socket of seen.sockets) socket.destroy();
  });
  return Object.assign(seen, { address: `127.0.0.1:${(server.address() as AddressInfo).port}` });
}

const web = (address: string, tls: unknown, more: Record<string, unknown> = {}): ProxyConfig => ({
  accessLog: 'full',
  dataThreads: 1,
  upstreams: { web: { ...catchAll({ v1: [address] }, 'v1', BELIEVED), tls, ...more } },
});

/** An upstream for each name, of which requests name the host. */
function byHost(upstreams: Readonly<Record<string, readonly [address: string, tls: unknown, more?: Record<string, unknown>]>>): ProxyConfig {
  const all = Object.entries(upstreams).map(([name, [address, tls, more]]) => {
    return [name, { ...catchAll({ v1: [address] }, 'v1', BELIEVED), routes: [{ host: `${name}.example` }], tls, ...more }] as const;
  });
  return { accessLog: 'full', dataThreads: 1, upstreams: Object.fromEntries(all) };
}

/** Sends a request to one of them. @returns the status, and the reason in the log. */
async function outcome(proxy: Proxy, name: string): Promise<[status: number, reason: unknown]> {
  const { status } = await proxy.send({ method: 'POST', host: `${name}.example`, body: 'secret' });
  const line = await eventually('a line of the log', () => proxy.process.stdout.split('\n').find((each) => each.includes(`"host":"${name}.example"`)));
  return [status, (JSON.parse(line) as { reason: unknown }).reason];
}

t.test('requests and probes go over TLS, by address, and handshakes are short once a session is known', async (t) => {
  const authority = await Authority.create(t);
  const origin = await backend(t, await authority.issue({ names: ['127.0.0.1'] }));
  const config = web(origin.address, { ca: authority.certFile });
  const proxy = await Proxy.start(t, { ...config, upstreams: { web: { ...catchAll({ v1: [origin.address] }, 'v1'), tls: { ca: authority.certFile } } } });
  const { length: probes } = origin.sockets;
  t.ok(probes > 0, 'a tcp probe makes the whole handshake');
  t.equal((await proxy.send({ target: '/a?close' })).body.toString(), 'over tls');
  t.equal((await proxy.send({ target: '/b' })).status, 200);
  t.equal((await proxy.send({ target: '/c' })).status, 200);
  t.match(origin.received, /^GET \/a\?close HTTP\/1\.1\r\nHost: test\.example\r\n/);
  const used = origin.sockets.filter((socket) => socket.bytesRead > 0 && socket.alpnProtocol !== undefined);
  t.ok(used.length > 0);
  t.strictSame(
    origin.sockets.filter((socket) => socket.isSessionReused()).length,
    1,
    'the second connection for requests resumed the session of the first, and served two',
  );
  const { json } = await proxy.admin('/v1/upstreams/web');
  const { tls, protocol } = json as { tls: { ca: { file: string; fingerprint: string; expiresAt: string } }; protocol: string };
  t.equal(protocol, 'http1');
  t.match(tls, { verify: true, servername: null, ca: { file: authority.certFile, fingerprint: /^[0-9A-F:]{95}$/ }, certificate: null });
});

t.test('an HTTP probe goes over TLS', async (t) => {
  const authority = await Authority.create(t);
  const origin = await backend(t, await authority.issue());
  const proxy = await Proxy.start(t, web(origin.address, { ca: authority.cert, servername: 'localhost' }, { health: { path: '/up', interval: '100ms' } }));
  t.match(origin.received, /^GET \/up HTTP\/1\.1/);
  t.equal(origin.sockets[0].servername, 'localhost');
  t.equal((await proxy.send()).status, 200);
});

t.test('nothing of a request is shown to a backend that is not the right one', async (t) => {
  const [ours, theirs] = [await Authority.create(t), await Authority.create(t)];
  const cases: [string, Backend, unknown, string][] = [
    ['stranger', await backend(t, await theirs.issue()), { ca: ours.certFile }, 'tls-untrusted'],
    ['not-of-the-system', await backend(t, await ours.issue()), true, 'tls-untrusted'],
    ['expired', await backend(t, await ours.issue({ days: -1 })), { ca: ours.certFile }, 'tls-untrusted'],
    ['another-address', await backend(t, await ours.issue({ names: ['127.0.0.2', 'localhost'] })), { ca: ours.certFile }, 'tls-name-mismatch'],
    ['another-name', await backend(t, await ours.issue()), { ca: ours.certFile, servername: 'other.example' }, 'tls-name-mismatch'],
    ['old', await backend(t, await ours.issue(), { maxVersion: 'TLSv1.2' }), { ca: ours.certFile, minVersion: 'TLSv1.3' }, 'tls-failed'],
  ];
  const proxy = await Proxy.start(t, byHost(Object.fromEntries(cases.map(([name, { address }, tls]) => [name, [address, tls]]))));
  for (const [name, origin, , reason] of cases) {
    t.strictSame(await outcome(proxy, name), [502, reason], name);
    t.equal(origin.received, '', `${name}: not a byte of it`);
  }
  const { text } = await proxy.admin('/metrics');
  for (const [name, , , reason] of cases) {
    t.match(text, `switchyard_upstream_failures_total{upstream="${name}",version="v1",reason="${reason}"} 1`);
  }
});

t.test('a probe says why it fails', async (t) => {
  const authority = await Authority.create(t);
  const origin = await backend(t, await authority.issue({ names: ['other.example'] }));
  const proxy = await Proxy.start(t, web(origin.address, { ca: authority.certFile }, { health: { kind: 'tcp', interval: '50ms' } }));
  const evidence = async (): Promise<string> => JSON.stringify((await proxy.admin('/v1/upstreams/web')).json);
  await eventually('the reason', async () => /the certificate is of another name/.test(await evidence()));
  await proxy.editConfig((config) => {
    Object.assign((config.upstreams as Record<string, Record<string, unknown>>).web, { tls: true });
  });
  await eventually('the other reason', async () => /the certificate is not trusted \([A-Z_]+\)/.test(await evidence()));
});

t.test('what is no TLS, or does not finish its handshake in time, is refused within the dial deadline', async (t) => {
  const peer = (onConnection: (connection: UpstreamConnection) => void): Promise<RawUpstream> => RawUpstream.start(t, undefined, { onConnection });
  const plain = await peer((connection) => connection.write('HTTP/1.1 200 OK\r\n\r\n'));
  const silent = await peer(() => undefined);
  const rude = await peer((connection) => connection.end());
  const proxy = await Proxy.start(
    t,
    byHost({
      plain: [plain.address, true],
      silent: [silent.address, true, { timeouts: { dial: '200ms' } }],
      rude: [rude.address, true],
      nobody: [`127.0.0.1:${await freePort()}`, true],
    }),
  );
  t.strictSame(await outcome(proxy, 'plain'), [502, 'tls-failed']);
  t.strictSame(await outcome(proxy, 'silent'), [504, 'dial-timeout']);
  t.strictSame(await outcome(proxy, 'rude'), [502, 'tls-failed']);
  t.strictSame(await outcome(proxy, 'nobody'), [502, 'dial-failed']);
});

t.test('a backend may ask who we are', async (t) => {
  const authority = await Authority.create(t);
  const pair = await authority.issue();
  const asking = async (maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<Backend> =>
    backend(t, await authority.issue(), { requestCert: true, rejectUnauthorized: true, ca: authority.cert, maxVersion });
  const [older, newer] = [await asking('TLSv1.2'), await asking('TLSv1.3')];
  const known = { ca: authority.certFile, cert: pair.certFile, key: pair.keyFile };
  const bare = { ca: authority.certFile };
  const proxy = await Proxy.start(
    t,
    byHost({ older: [older.address, known], newer: [newer.address, known], 'bare-older': [older.address, bare], 'bare-newer': [newer.address, bare] }),
  );
  for (const name of ['older', 'newer']) {
    t.strictSame(await outcome(proxy, name), [200, null], name);
    t.strictSame(await outcome(proxy, `bare-${name}`), [502, 'tls-failed'], `${name}, without a certificate`);
  }
  const { json } = await proxy.admin('/v1/upstreams/older');
  t.match(json, { tls: { certificate: { file: pair.certFile, fingerprint: /^[0-9A-F:]{95}$/ } } });
  t.notMatch(JSON.stringify(json) + proxy.output, /PRIVATE KEY|BEGIN CERT/, 'no content is shown');
});

t.test('by name, with the authorities of the system', async (t) => {
  const authority = await Authority.create(t);
  const origin = await backend(t, await authority.issue({ names: ['localhost'] }));
  const address = origin.address.replace('127.0.0.1', 'localhost');
  const proxy = await Proxy.start(t, web(address, true), { env: { SSL_CERT_FILE: authority.certFile } });
  t.equal((await proxy.send()).status, 200);
  t.equal(origin.sockets[0].servername, 'localhost');
});

t.test('not to verify has to be said, and is warned of', async (t) => {
  const authority = await Authority.create(t);
  const origin = await backend(t, await authority.issue({ names: ['other.example'] }));
  const proxy = await Proxy.start(t, web(origin.address, { verify: false }));
  t.equal((await proxy.send()).status, 200);
  t.match(proxy.process.stderr, /warn Upstream web does not verify its backends \(tls\.verify is false\)/);
  const { code, stdout, stderr } = await proxy.cli(['check', '--config', proxy.configFile]);
  t.match({ code, stdout, stderr }, { code: 0, stdout: /is valid/, stderr: /^warning: Upstream web does not verify its backends/ });
});

t.test('other settings are in force for the next connection; a broken file changes nothing', async (t) => {
  const authority = await Authority.create(t);
  const secure = await backend(t, await authority.issue());
  const proxy = await Proxy.start(t, web(secure.address, true));
  t.equal((await proxy.send()).status, 502);
  const set = (tls: unknown): Promise<void> =>
    proxy.editConfig((config) => {
      Object.assign((config.upstreams as Record<string, Record<string, unknown>>).web, { tls });
    });
  await set({ ca: authority.certFile });
  await eventually('trusted now', async () => (await proxy.send()).status === 200);
  await set({ ca: 'nowhere.pem' });
  await eventually('it is told', () =>
    /the running one stays: .*upstreams\.web\.tls\.ca: expected a file of certificates \(PEM\), got 'nowhere\.pem', which is not there/.test(
      proxy.process.stderr,
    ),
  );
  t.equal((await proxy.send()).status, 200);
  // The same file with other content takes effect by SIGHUP.
  await set({ verify: false });
  await eventually('warned', () => /does not verify/.test(proxy.process.stderr));
  await set(true);
  await eventually('untrusted again: no connection of before is used', async () => (await proxy.send()).status === 502);
});
