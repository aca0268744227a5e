import type { BackendTls, PemSource } from '../pool/backend-tls.ts';
import type { ParsedBackendTls } from './_backend-tls.ts';
import { PemReader } from './_pem.ts';
import type { CertificateText } from './_pem.ts';

type Path = readonly PropertyKey[];

/** Puts the content of certificate files of an upstream in the place of their names. */
export class TlsReader extends PemReader {
  read(parsed: ParsedBackendTls | null, path: Path): BackendTls | null {
    if (parsed === null) return null;
    const { servername, verify, minVersion } = parsed;
    const ca = this.source(parsed.ca, [...path, 'ca'], Infinity);
    const keyPath = [...path, 'key'];
    const key = parsed.key === null ? null : this.key(parsed.key, keyPath);
    const leaf = parsed.cert === null ? null : this.certificates(parsed.cert, [...path, 'cert']);
    if ((parsed.cert === null) !== (parsed.key === null)) {
      const missing = parsed.cert === null ? 'cert' : 'key';
      this.fail([...path, missing], `expected a ${missing}, because there is a ${missing === 'key' ? 'cert' : 'key'}, got nothing`);
    }
    if (!verify && parsed.ca !== null) this.fail([...path, 'verify'], 'expected true, because there is a ca, got false');
    if (leaf === null || key === null) return { ca, servername, identity: null, verify, minVersion };
    if (!leaf.all[0].checkPrivateKey(key.key)) {
      this.fail(keyPath, `expected the key of the certificate ${leaf.file ?? 'in cert'}, got ${key.shown}, which belongs to another`);
    }
    return { ca, servername, identity: { certificate: sourceOf(leaf, 1), key: key.text }, verify, minVersion };
  }

  private source(value: string | null, path: Path, told: number): PemSource | null {
    const found = value === null ? null : this.certificates(value, path);
    return found === null ? null : sourceOf(found, told);
  }
}

/** @param told how many of them, from the first, count for `expires`. */
function sourceOf({ all, pem, file }: CertificateText, told: number): PemSource {
  return { pem, file, fingerprint: all[0].fingerprint256, expires: Math.max(...all.slice(0, told).map((each) => Date.parse(each.validTo))) };
}
