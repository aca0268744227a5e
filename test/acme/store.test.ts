import t from 'tap';
import { X509Certificate } from 'node:crypto';
import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AcmeStore } from '../../src/acme/store.ts';
import { challengeCertificate, placeholder, renewalId, signingRequest, newKey } from '../../src/acme/x509.ts';
import { Authority } from '../helpers/certificates.ts';
import { tempDir } from '../helpers/temp.ts';

const SERVER = 'https://ca.example/dir';

t.test('keys and certificates are kept for the eyes of the proxy alone, each pair in one file', async (t) => {
  const dir = join(await tempDir(t), 'acme');
  const warned: string[] = [];
  const store = new AcmeStore(dir, (message) => warned.push(message));
  t.equal(store.certificate(SERVER, ['a.example']), null);
  t.throws(() => statSync(dir), 'nothing is written before there is something');
  const pair = await placeholder(['a.example'], Date.now());
  store.keep(SERVER, ['a.example'], pair);
  t.strictSame(store.certificate(SERVER, ['a.example']), pair);
  t.equal(store.certificate('https://other.example/dir', ['a.example']), null, 'another authority');
  t.equal(store.certificate(SERVER, ['a.example', 'b.example']), null, 'other names');
  const key = store.accountKey(SERVER).export({ type: 'pkcs8', format: 'pem' });
  t.equal(new AcmeStore(dir, () => undefined).accountKey(SERVER).export({ type: 'pkcs8', format: 'pem' }), key);
  t.equal(statSync(dir).mode & 0o777, 0o700);
  for (const file of readdirSync(dir)) t.equal(statSync(join(dir, file)).mode & 0o777, 0o600, file);
  t.strictSame(warned, []);
});

t.test('a file that is of no use is said and made anew', async (t) => {
  const dir = join(await tempDir(t), 'acme');
  const warned: string[] = [];
  const store = new AcmeStore(dir, (message) => warned.push(message));
  const names = ['a.example'];
  const [one, other] = [await placeholder(names, Date.now()), await placeholder(names, Date.now())];
  store.keep(SERVER, names, { cert: one.cert, key: other.key });
  t.equal(store.certificate(SERVER, names), null, 'the key of another');
  store.keep(SERVER, names, one);
  const [file] = readdirSync(dir);
  truncateSync(join(dir, file), 100);
  t.equal(store.certificate(SERVER, names), null, 'half a file');
  const [account] = (store.accountKey(SERVER), readdirSync(dir).filter((name) => name.startsWith('account')));
  for (const odd of ['{"directory": "x", "key": "none"}', '', '[]']) {
    writeFileSync(join(dir, account), odd);
    t.equal(store.accountKey(SERVER).asymmetricKeyType, 'ec', odd);
  }
  t.match(warned, [/holds no certificate with its key/, /cannot be read/, /cannot be read/, /cannot be read/, /cannot be read/]);
});

t.test('what is half written when the process dies is not what is read', async (t) => {
  const dir = join(await tempDir(t), 'acme');
  const store = new AcmeStore(dir, (message) => t.fail(message));
  const pair = await placeholder(['a.example'], Date.now());
  store.keep(SERVER, ['a.example'], pair);
  const [file] = readdirSync(dir);
  writeFileSync(join(dir, `${file}.tmp`), '{"directory": "ht');
  t.strictSame(store.certificate(SERVER, ['a.example']), pair);
  const next = await placeholder(['a.example'], Date.now());
  store.keep(SERVER, ['a.example'], next);
  t.strictSame(store.certificate(SERVER, ['a.example']), next);
  t.strictSame(readdirSync(dir), [file]);
});

t.test('self-signed certificates, and the one of a tls-alpn-01 challenge', async (t) => {
  const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example`;
  const leaf = new X509Certificate((await placeholder([long, 'b.example'], 1_700_000_000_000)).cert);
  t.ok(leaf.checkHost(long) !== undefined && leaf.checkHost('b.example') !== undefined, 'also for a name that is too long for a common name');
  t.equal(Date.parse(leaf.validTo), 1_700_000_000_000 + 7 * 86_400_000);
  const { raw } = new X509Certificate((await challengeCertificate('a.example', 'token.print', Date.now())).cert);
  // The extension as DER: its OID, critical, and an OCTET STRING in an OCTET STRING (RFC 8737 §3).
  t.ok(raw.includes(Buffer.from('06082b0601050507011f0101ff04220420', 'hex')));
});

t.test('the id of a certificate for its renewal is the one of RFC 9773 §4.1', async (t) => {
  const cert = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----`;
  t.equal(await renewalId(cert), 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE');
  t.equal(await renewalId((await placeholder(['a.example'], Date.now())).cert), null, 'one that names no authority has none');
  const issued = await (await Authority.create(t)).issue();
  t.match(await renewalId(issued.cert), /^[\w-]+\.[\w-]+$/);
  t.match(await signingRequest(newKey(), ['a.example']), /^[\w-]+$/);
});
