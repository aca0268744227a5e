import type { X509Certificate } from 'node:crypto';
import type { Issue } from '../errors/catalogue.ts';
import { nameLine } from '../http/client-identity.ts';
import type { AcmePolicy } from '../pool/acme.ts';
import type { Certificate, ClientFields } from '../pool/tls.ts';
import { acmePolicy } from './_acme.ts';
import type { ParsedListenerTls } from './_listener-tls.ts';
import { PemReader } from './_pem.ts';

type Path = readonly PropertyKey[];

/** A certificate and its key as the configuration names them: files, or PEM itself. */
export interface PairSource {
  readonly cert: string;
  readonly key: string;
}

/** A certificate with what may be shown of it. */
export interface LoadedCertificate extends Certificate {
  /** As the configuration names it; null = inline. */
  readonly file: string | null;
  /** IP addresses that it is for. */
  readonly addresses: readonly string[];
  readonly subject: string;
  readonly issuer: string;
  /** Epoch milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SHA-256, as `AA:BB:…`. */
  readonly fingerprint: string;
  /** `RSA 2048`, `EC P-256`. */
  readonly keyType: string;
}

/** How a listener ends TLS: where its certificates come from, and what was found there. */
export interface ListenerTls {
  /** What names of files are relative to. */
  readonly folder: string | null;
  /** As long as `certificates`. */
  readonly sources: readonly PairSource[];
  readonly certificates: readonly LoadedCertificate[];
  /** Certificates that it gets by itself; null = none. */
  readonly acme: AcmePolicy | null;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly http2: boolean;
  readonly clientAuth: {
    readonly source: string;
    /** PEM. */
    readonly ca: string;
    readonly required: boolean;
    readonly fields: ClientFields;
  } | null;
}

const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384' };
const LEAST_RSA_BITS = 2048;
const DNS_NAME = /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/;

/** What a file holds now, or what is wrong with it. */
export type Read<T> = { readonly found: T } | { readonly issues: readonly Issue[] };

/** Reads a pair and checks that it can be shown to clients. That it has expired is for the caller to judge. */
export function readPair(source: PairSource, folder: string | null, path: Path): Read<LoadedCertificate> {
  const reader = new ListenerReader(folder);
  const found = reader.pair(source, path);
  return found === null ? { issues: reader.issues } : { found };
}

/** Reads the authorities that certificates of clients are checked against, as PEM. */
export function readAuthorities(source: string, folder: string | null, path: Path): Read<string> {
  const reader = new ListenerReader(folder);
  const found = reader.authorities(source, path);
  return found === null ? { issues: reader.issues } : { found };
}

/** Puts the content of the certificate files of a listener in the place of their names. */
export class ListenerReader extends PemReader {
  /** @returns null when something is wrong: see `issues`. */
  read(parsed: ParsedListenerTls | null, path: Path): ListenerTls | null {
    if (parsed === null) return null;
    const { certificates: sources, acme, minVersion, http2, clientAuth } = parsed;
    const certificates = sources.map((source, i) => this.pair(source, [...path, 'certificates', i])).filter((one) => one !== null);
    const ca = clientAuth === null ? null : this.authorities(clientAuth.ca, [...path, 'clientAuth', 'ca']);
    const asked =
      clientAuth === null || ca === null ? null : { source: clientAuth.ca, ca, required: clientAuth.mode === 'require', fields: clientAuth.headers };
    const server = acme === null || acme.ca === null ? null : this.authorities(acme.ca, [...path, 'acme', 'ca']);
    const automatic = acme === null ? null : acmePolicy(acme, server);
    return { folder: this.folder, sources, certificates, acme: automatic, minVersion, http2, clientAuth: asked };
  }

  authorities(source: string, path: Path): string | null {
    return this.certificates(source, path)?.pem ?? null;
  }

  pair(source: PairSource, path: Path): LoadedCertificate | null {
    const [certPath, keyPath] = [
      [...path, 'cert'],
      [...path, 'key'],
    ];
    const found = this.certificates(source.cert, certPath);
    const key = this.key(source.key, keyPath);
    if (found === null || key === null) return null;
    const { all, pem, file, shown } = found;
    const [leaf] = all;
    if (!leaf.checkPrivateKey(key.key)) {
      if (all.some((each) => each.checkPrivateKey(key.key)))
        return this.fail(certPath, `expected the certificate of the key first, got ${shown}, in which it comes later`);
      return this.fail(keyPath, `expected the key of the certificate ${file === null ? 'in cert' : `'${file}'`}, got ${key.shown}, which belongs to another`);
    }
    for (let i = 1; i < all.length; i++) {
      if (all[i - 1].checkIssued(all[i])) continue;
      return this.fail(certPath, `expected certificates each issued by the next, got ${shown}, whose number ${i + 1} did not issue number ${i}`);
    }
    const keyType = keyTypeOf(leaf);
    if (keyType === null)
      return this.fail(certPath, `expected a key of RSA with at least ${LEAST_RSA_BITS} bits, EC P-256 or EC P-384, got ${shown}, whose key is none`);
    return { ...described(leaf), cert: pem, key: key.text, file, keyType };
  }
}

/** null = not one that is offered: too weak, or nothing that clients of today can check. */
function keyTypeOf({ publicKey }: X509Certificate): string | null {
  const { modulusLength = 0, namedCurve = '' } = publicKey.asymmetricKeyDetails ?? {};
  if (publicKey.asymmetricKeyType === 'rsa') return modulusLength >= LEAST_RSA_BITS ? `RSA ${modulusLength}` : null;
  return publicKey.asymmetricKeyType === 'ec' && namedCurve in CURVES ? `EC ${CURVES[namedCurve]}` : null;
}

function described(leaf: X509Certificate): Omit<LoadedCertificate, 'cert' | 'key' | 'file' | 'keyType'> {
  const alternatives = (leaf.subjectAltName ?? '').split(', ');
  const of = (kind: string): string[] => alternatives.filter((one) => one.startsWith(kind)).map((one) => one.slice(kind.length).toLowerCase());
  return {
    names: of('DNS:').filter((name) => DNS_NAME.test(name)),
    addresses: of('IP Address:'),
    subject: nameLine(leaf.subject),
    issuer: nameLine(leaf.issuer),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
    fingerprint: leaf.fingerprint256,
  };
}
