import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type * as Library from '@peculiar/x509';

type X509 = typeof Library;

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const HOUR_MS = 3_600_000;
/** id-pe-acmeIdentifier (RFC 8737 §6.1). */
const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31';
/** An OCTET STRING of 32 bytes. */
const DIGEST_PREFIX = Buffer.from([4, 32]);

/** A certificate and its key, as PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

let library: Promise<X509> | null = null;

/** Loaded when it is first needed: it takes a fifth of a second, and most proxies never do. */
function x509(): Promise<X509> {
  library ??= import('reflect-metadata').then(() => import('@peculiar/x509'));
  return library;
}

/** A fresh key: EC P-256, which every client of today can check. */
export function newKey(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
}

async function imported(pem: string): Promise<webcrypto.CryptoKeyPair> {
  const key: KeyObject = createPrivateKey(pem);
  const { crv, kty, x, y, d } = key.export({ format: 'jwk' });
  const [privateKey, publicKey] = await Promise.all([
    webcrypto.subtle.importKey('jwk', { crv, kty, x, y, d }, ECDSA, true, ['sign']),
    webcrypto.subtle.importKey('jwk', { crv, kty, x, y }, ECDSA, true, ['verify']),
  ]);
  return { privateKey, publicKey };
}

/** A certificate signing request (PKCS #10) for these names, as base64url of DER (RFC 8555 §7.4). */
export async function signingRequest(key: string, names: readonly string[]): Promise<string> {
  const { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } = await x509();
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys: await imported(key),
    signingAlgorithm: ECDSA,
    extensions: [new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value })))],
  });
  return Buffer.from(request.rawData).toString('base64url');
}

async function selfSigned(names: readonly string[], hours: number, now: number, further: (library: X509) => Library.Extension[]): Promise<Pair> {
  const found = await x509();
  const key = newKey();
  const cert = await found.X509CertificateGenerator.createSelfSigned({
    serialNumber: `4${randomBytes(16).toString('hex').slice(1)}`,
    name: `CN=${names[0].length > 64 ? 'switchyard' : names[0]}`,
    notBefore: new Date(now - HOUR_MS),
    notAfter: new Date(now + hours * HOUR_MS),
    keys: await imported(key),
    signingAlgorithm: ECDSA,
    extensions: [new found.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value }))), ...further(found)],
  });
  return { cert: `${cert.toString('pem')}\n`, key };
}

/** What is shown until the authority has given a certificate: nobody trusts it, but the listener is there. */
export function placeholder(names: readonly string[], now: number): Promise<Pair> {
  return selfSigned(names, 7 * 24, now, () => []);
}

/** The certificate that answers a tls-alpn-01 challenge (RFC 8737 §3). */
export function challengeCertificate(name: string, keyAuthorization: string, now: number): Promise<Pair> {
  const digest = createHash('sha256').update(keyAuthorization).digest();
  return selfSigned([name], 24, now, ({ Extension }) => [new Extension(ACME_IDENTIFIER, true, new Uint8Array(Buffer.concat([DIGEST_PREFIX, digest])))]);
}

/** The id of a certificate in questions about its renewal (RFC 9773 §4.1); null = it names no key of its authority. */
export async function renewalId(cert: string): Promise<string | null> {
  const { X509Certificate, AuthorityKeyIdentifierExtension } = await x509();
  const leaf = new X509Certificate(cert);
  const keyId = leaf.getExtension(AuthorityKeyIdentifierExtension)?.keyId;
  if (keyId === undefined) return null;
  const hex = leaf.serialNumber.length % 2 === 0 ? leaf.serialNumber : `0${leaf.serialNumber}`;
  const serial = Buffer.from(hex, 'hex');
  // The bytes of the INTEGER: one whose first bit is set is preceded by a zero.
  const bytes = (serial[0] & 0x80) === 0 ? serial : Buffer.concat([Buffer.from([0]), serial]);
  return `${Buffer.from(keyId, 'hex').toString('base64url')}.${bytes.toString('base64url')}`;
}
