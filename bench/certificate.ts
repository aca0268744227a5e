import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import 'reflect-metadata';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';

/** Files with a certificate, its key, and both (as haproxy takes them), as PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly both: string;
}

const DAYS = 10;

/** A certificate for 127.0.0.1 with a key on P-256, which all subjects show: signing with RSA would cost fifty times as much. */
export async function newCertificate(dir: string): Promise<Pair> {
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const made = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=switchyard bench',
    keys,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + DAYS * 86_400_000),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const lines = der.toString('base64').replaceAll(/.{64}/g, '$&\n');
  const [cert, key] = [`${made.toString('pem')}\n`, `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`];
  const pair = { cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem'), both: join(dir, 'both.pem') };
  writeFileSync(pair.cert, cert);
  writeFileSync(pair.key, key, { mode: 0o600 });
  writeFileSync(pair.both, cert + key, { mode: 0o600 });
  return pair;
}
