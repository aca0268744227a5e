import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeWhole } from '../disk/whole.ts';
import { newKey, type Pair } from './x509.ts';
import { messageOf } from '../errors/message.ts';

const storedCertificate = z.object({ directory: z.string(), domains: z.array(z.string()), cert: z.string(), key: z.string() });
const storedAccount = z.object({ directory: z.string(), key: z.string().transform((pem) => createPrivateKey(pem)) });

/**
 * Account keys and certificates on disk, for the proxy's own eyes (0700, 0600).
 *
 *     stateDir/acme/
 *       account-<server>.json             the account key
 *       <name>-<server and names>.json    a certificate with its key: one file, so that they always belong together
 *
 * A file is written beside its name and renamed when it is on disk: after a crash there is the old or the new one.
 */
export class AcmeStore {
  private readonly dir: string;
  private readonly warn: (message: string) => void;

  /** @param dir is made when the first file is written. @param warn told of a file that is of no use. */
  constructor(dir: string, warn: (message: string) => void) {
    this.dir = dir;
    this.warn = warn;
  }

  /** The account key for a server; made, and on disk, when there is none. */
  accountKey(directory: string): KeyObject {
    const file = `account-${digest(directory)}.json`;
    const known = this.read(file, storedAccount);
    if (known !== null) return known.key;
    const key = newKey();
    this.write(file, { directory, key });
    return createPrivateKey(key);
  }

  /** The certificate for these names; null = none that is of use. */
  certificate(directory: string, domains: readonly string[]): Pair | null {
    const file = fileOf(directory, domains);
    const found = this.read(file, storedCertificate);
    if (found === null) return null;
    const { cert, key } = found;
    try {
      if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return { cert, key };
    } catch {
      // Said below.
    }
    this.warn(`${join(this.dir, file)} holds no certificate with its key; another is asked for`);
    return null;
  }

  keep(directory: string, domains: readonly string[], { cert, key }: Pair): void {
    this.write(fileOf(directory, domains), { directory, domains, cert, key });
  }

  private read<T>(file: string, shape: z.ZodType<T>): T | null {
    const path = join(this.dir, file);
    try {
      return shape.parse(JSON.parse(readFileSync(path, 'utf8')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.warn(`${path} cannot be read, and is made anew: ${oneLine(error)}`);
      return null;
    }
  }

  private write(file: string, content: object): void {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    chmodSync(this.dir, 0o700);
    writeWhole(join(this.dir, file), `${JSON.stringify(content, null, 2)}\n`);
  }
}

function fileOf(directory: string, domains: readonly string[]): string {
  return `${domains[0].replaceAll(/[^a-z0-9.-]/g, '_').slice(0, 100)}-${digest([directory, ...domains.toSorted()].join('\n'))}.json`;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function oneLine(error: unknown): string {
  return messageOf(error).replaceAll(/\s+/g, ' ').slice(0, 200);
}
