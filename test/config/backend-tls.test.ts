import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { BackendTlsInput } from '../../src/config/input.ts';
import { parseConfig, parseUpstream } from '../../src/config/parse.ts';
import { tlsWarnings } from '../../src/config/warnings.ts';
import { Authority } from '../helpers/certificates.ts';
import { issuesOf } from '../helpers/issues_of.ts';

const DAY = 86_400_000;
const put = (tls: unknown) => parseUpstream('web', { routes: [{}], tls });

t.test('nothing is encrypted unless told; then all is verified', async (t) => {
  t.equal(put(false).policy.tls, null);
  const { tls, health } = put(true).policy;
  t.strictSame(tls, { ca: null, servername: null, identity: null, verify: true, minVersion: 'TLSv1.2' });
  t.equal(health.tls, tls, 'probes use the same settings');
});

t.test('files are read when the configuration is; of a bundle, only certificates go on', async (t) => {
  const authority = await Authority.create(t);
  const pair = await authority.issue();
  await writeFile(join(authority.dir, 'bundle.pem'), `${pair.key}# ours\r\n${pair.cert}${authority.cert}`);
  const { upstreams } = parseConfig(
    { upstreams: { web: { routes: [{}], tls: { ca: 'bundle.pem', cert: pair.certFile, key: 'pair-0.key', servername: 'A.example' } } } },
    { folder: authority.dir },
  );
  const { tls } = upstreams.get('web')!.policy;
  t.equal(tls!.ca!.pem.match(/BEGIN/g)!.length, 2);
  t.notMatch(tls!.ca!.pem, /PRIVATE/);
  t.match(tls, { ca: { file: 'bundle.pem' }, servername: 'a.example', identity: { certificate: { file: pair.certFile }, key: pair.key } });
  t.ok(Math.abs(tls!.identity!.certificate.expires - Date.now() - 30 * DAY) < DAY);
});

t.test('each mistake is named, and no key is in a message', async (t) => {
  const authority = await Authority.create(t);
  const [one, two] = [await authority.issue(), await authority.issue()];
  await writeFile(join(authority.dir, 'empty.pem'), 'nothing\n');
  await writeFile(join(authority.dir, 'damaged.pem'), one.cert.replace(/\n[A-Za-z0-9+/]{10}/, '\nAAAAAAAAAA'));
  const pem = 'a file of certificates (PEM)';
  const key = 'a file with a private key without a passphrase (PEM)';
  const bad: [unknown, string, string][] = [
    ['yes', 'tls', "expected true, false or {ca, servername, cert, key, verify, minVersion}, got 'yes'"],
    [{ cipher: 'x' }, 'tls.cipher', 'is not a known field'],
    [{ ca: 'nowhere.pem' }, 'tls.ca', `expected ${pem}, got 'nowhere.pem', which is not there`],
    [{ ca: '.' }, 'tls.ca', `expected ${pem}, got '.', which is not a file`],
    [{ ca: 'empty.pem' }, 'tls.ca', `expected ${pem}, got 'empty.pem', which holds none`],
    [{ ca: 'damaged.pem' }, 'tls.ca', `expected ${pem}, got 'damaged.pem', in which one is damaged`],
    [{ cert: one.certFile }, 'tls.key', 'expected a key, because there is a cert, got nothing'],
    [{ key: one.keyFile }, 'tls.cert', 'expected a cert, because there is a key, got nothing'],
    [{ cert: one.certFile, key: 'ca.pem' }, 'tls.key', `expected ${key}, got 'ca.pem', which is none`],
    [
      { cert: one.certFile, key: two.keyFile },
      'tls.key',
      `expected the key of the certificate ${one.certFile}, got '${two.keyFile}', which belongs to another`,
    ],
    [{ cert: one.cert, key: two.key }, 'tls.key', 'expected the key of the certificate in cert, got text, which belongs to another'],
    [{ cert: one.cert, key: 5 }, 'tls.key', 'expected the name of a file, or PEM text, got a value that is not shown'],
    [{ servername: '10.0.0.1' }, 'tls.servername', "expected a host name (no address, no port), got '10.0.0.1'"],
    [{ verify: false, ca: 'ca.pem' }, 'tls.verify', 'expected true, because there is a ca, got false'],
    [{ minVersion: 'TLSv1.1' }, 'tls.minVersion', "expected 'TLSv1.2' or 'TLSv1.3', got 'TLSv1.1'"],
  ];
  for (const [tls, place, message] of bad) {
    const found = issuesOf(() => parseConfig({ upstreams: { web: { routes: [{}], tls } } }, { folder: authority.dir }));
    t.strictSame(found, [{ path: `upstreams.web.${place}`, message }]);
  }
  t.strictSame(
    issuesOf(() => put({ ca: 'ca.pem' })),
    [{ path: 'tls.ca', message: "expected PEM text, because only a configuration file may name files, got 'ca.pem'" }],
  );
  const inline: BackendTlsInput = { ca: await readFile(authority.certFile, 'latin1'), cert: one.cert, key: one.key };
  t.equal(put(inline).policy.tls!.ca!.file, null);
});

t.test('what should be known is told', async (t) => {
  const authority = await Authority.create(t);
  const pair = await authority.issue({ days: 20 });
  const upstream = put({ ca: authority.cert, cert: pair.cert, key: pair.key });
  const now = Date.now();
  t.strictSame(tlsWarnings(put(true), now), []);
  t.strictSame(tlsWarnings(upstream, now), []);
  t.match(tlsWarnings(upstream, now + 10 * DAY), [/^Upstream web: the certificate in tls\.cert \(inline\) expires on \d{4}-\d\d-\d\d\.$/]);
  t.match(tlsWarnings(upstream, now + 40 * DAY), [/tls\.ca .* has expired/, /tls\.cert .* has expired/]);
  t.match(tlsWarnings(put({ verify: false }), now), [/does not verify its backends/]);
});
