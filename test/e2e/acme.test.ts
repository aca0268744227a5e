import t from 'tap';
import type { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { InProcess } from '../helpers/control.ts';
import { Pebble } from '../helpers/pebble.ts';
import type { PebbleOptions } from '../helpers/pebble.ts';
import { freePorts } from '../helpers/ports.ts';
import { send } from '../helpers/raw_client.ts';
import { tempDir } from '../helpers/temp.ts';
import type { Teardown } from '../helpers/temp.ts';
import { eventually } from '../helpers/wait.ts';

const SOON = { first: 200, most: 400 };

interface World {
  readonly pebble: Pebble;
  readonly http: number;
  readonly https: number;
  readonly stateDir: string;
  readonly config: Record<string, unknown>;
  start(): Promise<InProcess>;
}

async function world(t: Teardown, options: Partial<PebbleOptions> = {}, acme: Record<string, unknown> = {}): Promise<World> {
  const [[http, https], dir] = [await freePorts(2), await tempDir(t)];
  const pebble = await Pebble.start(t, { httpPort: http, tlsPort: https, ...options });
  const automatic = { domains: ['a.example'], email: 'ops@example.com', directory: pebble.directory, ca: pebble.ca, termsAgreed: true, ...acme };
  const listeners = [
    { host: '127.0.0.1', port: http },
    { host: '127.0.0.1', port: https, tls: { acme: automatic } },
  ];
  const config = { listeners, stateDir: join(dir, 'state') };
  return { pebble, http, https, stateDir: config.stateDir, config, start: () => InProcess.start(t, config, undefined, { acmeRetry: SOON }) };
}

/** The certificate that a client of this name is shown. */
function shown(port: number, servername: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false }, () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (certificate === undefined) reject(new Error('no certificate'));
      else resolve(certificate);
    });
    socket.on('error', reject);
  });
}

function issuedFor(port: number, name: string): Promise<X509Certificate> {
  return eventually(
    `a certificate for ${name}`,
    async () => {
      const found = await shown(port, name);
      return found.issuer.includes('Pebble') ? found : null;
    },
    20_000,
    100,
  );
}

t.test('a listener gets its certificates by http-01: one for each name or list, kept for the next start', async (t) => {
  const { pebble, http, https, stateDir, start } = await world(t, { nonceReject: 30 }, { domains: ['a.example', ['b.example', 'www.b.example']] });
  const proxy = await start();
  const first = await shown(https, 'a.example');
  t.ok(first.checkHost('a.example'), 'until then there is one for the name');
  t.match(proxy.told.join('\n'), /info a\.example: a self-signed certificate is shown until 127\.0\.0\.1:\d+ has given one/);
  const [one, other] = [await issuedFor(https, 'a.example'), await issuedFor(https, 'www.b.example')];
  t.match(one.subjectAltName, 'DNS:a.example');
  t.match(other.subjectAltName, /DNS:b\.example.*DNS:www\.b\.example/);
  await proxy.event('certificate-issued');
  t.strictSame(proxy.control.acme.renewals, { issued: 2, failed: 0 }, 'though the server refused every third nonce');
  t.strictSame(
    proxy.control.acme.status().map(({ state, problem }) => [state, problem]),
    [
      ['issued', null],
      ['issued', null],
    ],
  );

  const dir = join(stateDir, 'acme');
  t.equal(statSync(dir).mode & 0o777, 0o700);
  const files = readdirSync(dir);
  t.equal(files.length, 3, 'an account and two certificates');
  for (const file of files) t.equal(statSync(join(dir, file)).mode & 0o777, 0o600, file);

  const secrets = files.map((file) => (JSON.parse(readFileSync(join(dir, file), 'utf8')) as { key: string }).key);
  const views = JSON.stringify([proxy.control.operator.certificates(), proxy.events, proxy.told]);
  for (const secret of secrets) t.notOk(views.includes(secret.split('\n')[1]), 'keys are not told');

  t.equal((await send(http, { target: '/.well-known/acme-challenge/none' })).status, 404, 'what is over is not answered');
  await proxy.stop();
  await pebble.stop();
  const again = await start();
  t.equal((await shown(https, 'a.example')).fingerprint256, one.fingerprint256, 'the same after a restart, with no authority to ask');
  t.equal((await shown(https, 'www.b.example')).fingerprint256, other.fingerprint256);
  await again.stop();
});
