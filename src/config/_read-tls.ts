import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Issue } from '../errors/catalogue.ts';
import type { BackendTls, PemSource } from '../pool/backend-tls.ts';
import type { ParsedBackendTls } from './_backend-tls.ts';
import { pathText } from './issues.ts';

type Path = readonly PropertyKey[];

const MOST_BYTES = 4 * 2 ** 20;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/** Text and how a message names it. */
interface Text {
  readonly text: string;
  readonly file: string | null;
  readonly shown: string;
}

/** Puts the content of certificate files in the place of their names, and gathers what is wrong with them. */
export class TlsReader {
  readonly issues: Issue[] = [];
  private readonly folder: string | null;

  /** @param folder what names are relative to; null = no files are read. */
  constructor(folder: string | null) {
    this.folder = folder;
  }

  read(parsed: ParsedBackendTls | null, path: Path): BackendTls | null {
    if (parsed === null) return null;
    const { servername, verify, minVersion } = parsed;
    const ca = this.certificates(parsed.ca, [...path, 'ca'], Infinity);
    const certificate = this.certificates(parsed.cert, [...path, 'cert'], 1);
    const key = this.key(parsed.key, [...path, 'key']);
    if ((parsed.cert === null) !== (parsed.key === null)) {
      const missing = parsed.cert === null ? 'cert' : 'key';
      this.fail([...path, missing], `expected a ${missing}, because there is a ${missing === 'key' ? 'cert' : 'key'}, got nothing`);
    }
    if (!verify && parsed.ca !== null) this.fail([...path, 'verify'], 'expected true, because there is a ca, got false');
    const identity = certificate === null || key === null ? null : { certificate, key: key.text };
    if (identity !== null && !matches(identity)) {
      this.fail([...path, 'key'], `expected the key of the certificate ${certificate!.file ?? 'in cert'}, got ${key!.shown}, which belongs to another`);
    }
    return { ca, servername, identity, verify, minVersion };
  }

  private fail(path: Path, message: string): null {
    this.issues.push({ path: pathText(path), message });
    return null;
  }

  private text(value: string, path: Path, expected: string): Text | null {
    if (value.includes('-----BEGIN')) return { text: value, file: null, shown: 'text' };
    if (this.folder === null) return this.fail(path, `expected PEM text, because only a configuration file may name files, got '${value}'`);
    try {
      const file = resolve(this.folder, value);
      const found = statSync(file);
      if (!found.isFile()) return this.fail(path, `expected ${expected}, got '${value}', which is not a file`);
      if (found.size > MOST_BYTES) return this.fail(path, `expected ${expected} of at most ${MOST_BYTES} bytes, got '${value}', which has ${found.size}`);
      return { text: readFileSync(file, 'latin1'), file: value, shown: `'${value}'` };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return this.fail(path, `expected ${expected}, got '${value}', which ${code === 'ENOENT' ? 'is not there' : `cannot be read (${message})`}`);
    }
  }

  /** @param told how many of them, from the first, count for `expires`. */
  private certificates(value: string | null, path: Path, told: number): PemSource | null {
    const expected = 'a file of certificates (PEM)';
    const found = value === null ? null : this.text(value, path, expected);
    if (found === null) return null;
    const { text, file, shown } = found;
    try {
      const all = [...text.matchAll(BLOCK)].filter(([, kind]) => kind.endsWith('CERTIFICATE')).map(([block]) => new X509Certificate(block));
      if (all.length === 0) return this.fail(path, `expected ${expected}, got ${shown}, which holds none`);
      // What else the file may hold (a key, as some bundles do) goes no further.
      return {
        pem: all.map((each) => each.toString()).join(''),
        file,
        fingerprint: all[0].fingerprint256,
        expires: Math.max(...all.slice(0, told).map((each) => Date.parse(each.validTo))),
      };
    } catch {
      return this.fail(path, `expected ${expected}, got ${shown}, in which one is damaged`);
    }
  }

  private key(value: string | null, path: Path): Text | null {
    const expected = 'a file with a private key without a passphrase (PEM)';
    const found = value === null ? null : this.text(value, path, expected);
    if (found === null) return null;
    try {
      createPrivateKey(found.text);
      return found;
    } catch {
      return this.fail(path, `expected ${expected}, got ${found.shown}, which is none`);
    }
  }
}

function matches({ certificate, key }: NonNullable<BackendTls['identity']>): boolean {
  return new X509Certificate(certificate.pem).checkPrivateKey(createPrivateKey(key));
}
