import { copyFile, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import type { Test } from 'tap';
import type { CertificateView, ReloadView } from '../../src/control/operations.ts';
import { Backends } from '../helpers/backends.ts';
import { Authority } from '../helpers/certificates.ts';
import type { Pair, Wanted } from '../helpers/certificates.ts';
import { InProcess } from '../helpers/control.ts';
import { Events } from '../helpers/events.ts';
import { freePort } from '../helpers/ports.ts';
import { Proxy, catchAll } from '../helpers/proxy.ts';
import { TlsClient } from '../helpers/tls_client.ts';
import { eventually } from '../helpers/wait.ts';

interface World {
  readonly authority: Authority;
  readonly proxy: Proxy;
  readonly port: number;
  /** Puts a pair where the proxy looks for it. */
  put(pair: { certFile: string; keyFile: string }): Promise<void>;
  readonly first: Pair;
}

/** A proxy whose pair lies in a folder of its own, as `cert.pem` and `key.pem`. */
async function start(t: Test, wanted?: Wanted): Promise<World> {
  const authority = await Authority.create(t);
  const [cert, key] = [join(authority.dir, 'cert.pem'), join(authority.dir, 'key.pem')];
  const put = async (pair: { certFile: string; keyFile: string }): Promise<void> => {
    await copyFile(pair.certFile, cert);
    await copyFile(pair.keyFile, key);
  };
  const first = await authority.issue(wanted);
  await put(first);
  const port = await freePort();
  const backends = await Backends.start(t);
  const listeners = [{ host: '127.0.0.1', port, tls: { certificates: [{ cert, key }] } }];
  const proxy = await Proxy.start(t, { listeners, upstreams: { web: catchAll({ v1: await backends.listen('v1') }, 'v1') } });
  return { authority, proxy, port, put, first };
}

function fingerprintOf({ cert }: Pair): string {
  return new X509Certificate(cert).fingerprint256;
}

/** SHA-256 of what is shown to a new connection. */
async function shown(port: number): Promise<string> {
  using client = await TlsClient.connect(port);
  return client.tls.getPeerX509Certificate()!.fingerprint256;
}

/** So many times in a row, so that each data thread is asked. */
async function shownByAll(port: number): Promise<Set<string>> {
  const found = new Set<string>();
  for (let i = 0; i < 12; i++) found.add(await shown(port));
  return found;
}

/** It is told of, and shown by one thread, before the last one shows it. */
function allShow(port: number, pair: Pair): Promise<boolean> {
  return eventually('the new one, by each thread', async () => {
    const found = await shownByAll(port);
    return found.size === 1 && found.has(fingerprintOf(pair));
  });
}

function told({ proxy }: World, line: RegExp): Promise<boolean> {
  return eventually(
    () => `${String(line)} in the output:\n${proxy.output}`,
    () => line.test(proxy.output),
  );
}

async function certificates({ proxy }: World): Promise<CertificateView[]> {
  return (await proxy.admin('/v1/certificates')).json as CertificateView[];
}

async function reload({ proxy }: World): Promise<ReloadView> {
  return (await proxy.admin('/v1/certificates/reload', { method: 'POST' })).json as ReloadView;
}

t.test('a certificate that is replaced on disk is shown by every thread, without anybody asking; connections that are open stay', async (t) => {
  const world = await start(t);
  const events = await Events.of(t, world.proxy.adminUrl);
  using open = await TlsClient.connect(world.port);
  t.equal(await shown(world.port), fingerprintOf(world.first));
  const second = await world.authority.issue();
  await world.put(second);
  const { data } = await events.wait('certificate-reloaded');
  t.match(data, { names: ['localhost'], fingerprint: fingerprintOf(second), by: 'a change of files' });
  await allShow(world.port, second);
  t.equal((await open.request()).status, 200);
  await told(world, /info certificate localhost of 127\.0\.0\.1:\d+ replaced after a change of files/);
});

t.test('the admin API and the command answer when every thread shows the new one', async (t) => {
  const world = await start(t);
  const second = await world.authority.issue({ names: ['localhost', '*.example.org', '127.0.0.1'], key: 2048 });
  await world.put(second);
  await reload(world);
  t.strictSame(await shownByAll(world.port), new Set([fingerprintOf(second)]));
  const [view] = await certificates(world);
  t.match(view, {
    listener: `127.0.0.1:${world.port}`,
    names: ['localhost', '*.example.org', '127.0.0.1'],
    keyType: 'RSA 2048',
    issuer: 'CN=test authority',
    fingerprint: fingerprintOf(second),
    refused: null,
  });
  const again = await world.proxy.cli(['certificates', '--reload']);
  t.equal(again.code, 0);
  const { notAfter } = view;
  const [on, left] = [notAfter.slice(0, 10), Math.floor((Date.parse(notAfter) - Date.now()) / 86_400_000)];
  const { stdout } = await world.proxy.cli(['status']);
  t.match(stdout, `\n1 certificate, the first to expire: localhost of 127.0.0.1:${world.port}, on ${on}, in ${left} days\n`);
  t.match((await world.proxy.cli(['explain', 'web'])).stdout, `certificate localhost of 127.0.0.1:${world.port} expires on ${on}\n`);
  t.match(again.stdout, /0 replaced, 0 refused[^]*localhost \*\.example\.org 127\.0\.0\.1 +RSA 2048/);
});

t.test('SIGHUP and an edit of the configuration take effect on a listener that runs; its address does not', async (t) => {
  const world = await start(t);
  const [second, third] = [await world.authority.issue(), await world.authority.issue()];
  await world.put(second);
  process.kill(world.proxy.process.pid, 'SIGHUP');
  await eventually('the second', async () => (await shown(world.port)) === fingerprintOf(second));
  await world.proxy.editConfig((config) => {
    const certificates = [{ cert: third.cert, key: third.key }];
    return { ...config, listeners: [{ host: '127.0.0.1', port: world.port, tls: { certificates, minVersion: 'TLSv1.3' } }] };
  });
  await allShow(world.port, third);
  await t.rejects(TlsClient.connect(world.port, { maxVersion: 'TLSv1.2' }), 'and its other options');
  t.strictSame(
    (await certificates(world)).map(({ file }) => file),
    [null],
  );
  t.notMatch(world.proxy.output, /after a restart/);
  await world.proxy.editConfig((config) => ({ ...config, listeners: [{ host: '127.0.0.1', port: world.port }] }));
  await eventually('the warning', () => world.proxy.output.includes('The change of listeners takes effect after a restart.'));
  t.equal(await shown(world.port), fingerprintOf(third));
});

t.test('what cannot be used is refused with its reason, the old one stays, and all of it is told', async (t) => {
  const world = await start(t);
  const { authority, proxy, port } = world;
  const events = await Events.of(t, proxy.adminUrl);
  const [other, expired, weak] = [await authority.issue(), await authority.issue({ days: -1 }), await authority.issue({ key: 1024 })];
  const garbage = { ...other, certFile: join(authority.dir, 'garbage') };
  await writeFile(garbage.certFile, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  const cases = [
    [
      'another key',
      { certFile: other.certFile, keyFile: world.first.keyFile },
      /key: expected the key of the certificate '.*cert\.pem', got '.*key\.pem', which belongs to another/,
    ],
    ['expired', expired, /cert\.pem has expired on \d{4}-\d\d-\d\d, and the one in force has not/],
    ['weak', weak, /expected a key of RSA with at least 2048 bits/],
    ['damaged', garbage, /cert\.pem', in which one is damaged/],
  ] as const;
  for (const [name, pair, reason] of cases) {
    await world.put(pair);
    const { refused, reloaded } = await reload(world);
    t.match(refused, [{ reason }], name);
    t.equal(reloaded, 0);
    t.match((await certificates(world))[0], { refused: reason, fingerprint: fingerprintOf(world.first) }, name);
    t.equal(await shown(port), fingerprintOf(world.first), name);
  }
  t.match((await events.wait('certificate-refused')).data, { listener: `127.0.0.1:${port}` });
  await told(world, /error a certificate was refused, the old one stays: listeners\[0\]\.tls\.certificates\[0\]\.key: expected the key/);
  const again = await proxy.cli(['certificates', '--reload']);
  t.equal(again.code, 1);
  t.match(again.stdout, /! certificate localhost of 127\.0\.0\.1:\d+ was not replaced: .*damaged/);
  t.match((await proxy.cli(['status'])).stdout, /! certificate localhost .* was not replaced/);
  t.match((await proxy.cli(['explain', 'web'])).stdout, /certificate localhost .* was not replaced/);
  await world.put(other);
  await reload(world);
  t.equal(await shown(port), fingerprintOf(other));
  t.equal((await certificates(world))[0].refused, null);
});

t.test('a certificate that ends soon is told of; one that has ended is served when there is no other', async (t) => {
  const world = await start(t, { days: -1 });
  await told(world, /warn certificate localhost of 127\.0\.0\.1:\d+ has expired on/);
  t.match((await world.proxy.cli(['status'])).stdout, /! certificate localhost of .* has expired/);
  await world.put(await world.authority.issue({ days: 5 }));
  await reload(world);
  t.match((await world.proxy.cli(['status'])).stdout, /! certificate localhost of .* expires in 4 days/);
  t.match((await world.proxy.cli(['explain', 'web'])).stdout, /certificate localhost of .* expires on/);
  const expiry = /^switchyard_certificate_expiry_seconds\{listener="127\.0\.0\.1:\d+",name="localhost"\} (\d+)$/m.exec(
    (await world.proxy.admin('/metrics')).text,
  );
  t.ok(Math.abs(Number(expiry![1]) * 1000 - Date.now() - 5 * 86_400_000) < 120_000, 'and measured');
});

t.test('folders that are swapped by a link are followed, as Kubernetes and certbot make them', async (t) => {
  const authority = await Authority.create(t);
  const [first, second, third] = [await authority.issue(), await authority.issue(), await authority.issue()];
  const volume = join(authority.dir, 'volume');
  await mkdir(volume);
  const generation = async (name: string, pair: Pair): Promise<void> => {
    await mkdir(join(volume, name));
    await copyFile(pair.certFile, join(volume, name, 'tls.crt'));
    await copyFile(pair.keyFile, join(volume, name, 'tls.key'));
    await symlink(name, join(volume, '..tmp'));
    await rename(join(volume, '..tmp'), join(volume, '..data'));
  };
  await generation('..1', first);
  for (const file of ['tls.crt', 'tls.key']) await symlink(join('..data', file), join(volume, file));
  const port = await freePort();
  const tls = { certificates: [{ cert: join(volume, 'tls.crt'), key: join(volume, 'tls.key') }] };
  await Proxy.start(t, { listeners: [{ host: '127.0.0.1', port, tls }], upstreams: {} });
  for (const [at, pair] of [second, third].entries()) {
    await generation(`..${at + 2}`, pair);
    await allShow(port, pair);
  }
});

t.test('a thread that is born later shows the newest certificate', async (t) => {
  const authority = await Authority.create(t);
  const [first, second] = [await authority.issue(), await authority.issue()];
  const [cert, key] = [join(authority.dir, 'cert.pem'), join(authority.dir, 'key.pem')];
  const put = async (pair: Pair): Promise<void> => {
    await writeFile(cert, pair.cert);
    await writeFile(key, pair.key);
  };
  await put(first);
  const port = await freePort();
  const proxy = await InProcess.start(t, { listeners: [{ host: '127.0.0.1', port, tls: { certificates: [{ cert, key }] } }], upstreams: {} }, authority.dir);
  await put(second);
  await proxy.control.certificates.reload('the test');
  await Promise.all([0, 1].map((thread) => proxy.control.threads.end(thread)));
  await eventually('a thread that listens', () => shown(port).catch(() => null));
  // Each thread has to answer this: then the other one is there, too.
  await proxy.control.threads.renew(new Map());
  t.strictSame(await shownByAll(port), new Set([fingerprintOf(second)]));
});

/** A reload each time, and handshakes all the while: more of those than reloads. */
async function reloadsUnderLoad(world: World, times: number, clients: number): Promise<{ handshakes: number; failed: unknown[]; seen: Set<string> }> {
  const pairs = [world.first, await world.authority.issue({ key: 2048 })];
  let running = true;
  let handshakes = 0;
  const [failed, seen] = [[] as unknown[], new Set<string>()];
  const client = async (): Promise<void> => {
    while (running) {
      try {
        using one = await TlsClient.connect(world.port, { ca: world.authority.cert });
        handshakes++;
        seen.add(one.tls.getPeerX509Certificate()!.fingerprint256);
        if (handshakes % 8 === 0 && (await one.request()).status !== 200) throw new Error('no answer');
      } catch (error) {
        failed.push(error);
      }
    }
  };
  const all = Array.from({ length: clients }, client);
  for (let i = 0; i < times || handshakes <= times || seen.size < 2; i++) {
    await world.put(pairs[(i + 1) % 2]);
    await reload(world);
  }
  running = false;
  await Promise.all(all);
  return { handshakes, failed, seen };
}

t.test('reloads one after another while clients connect: no handshake fails', async (t) => {
  const world = await start(t);
  const times = Number(process.env.RELOADS ?? 100);
  const began = performance.now();
  const { handshakes, failed, seen } = await reloadsUnderLoad(world, times, 8);
  t.comment(`${times} reloads, ${handshakes} handshakes in ${Math.round(performance.now() - began)} ms`);
  t.strictSame(failed, []);
  t.equal(seen.size, 2, 'both certificates were seen');
  t.ok(handshakes > times);
  const metrics = (await world.proxy.admin('/metrics')).text;
  t.notMatch(metrics, /switchyard_tls_handshakes_total\{result="failed",reason="(?!closed)[a-z-]+"\} [1-9]/);
});
