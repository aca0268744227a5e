import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';

const run = promisify(execFile);
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** A certificate with its key: PEM, and the files that hold them. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Wanted {
  /** DNS names and IP addresses; `localhost` and `127.0.0.1` unless told. */
  readonly names?: readonly string[];
  /** Days until it expires; a negative number has expired already. */
  readonly days?: number;
  /** Of its key: an elliptic curve (P-256 unless told), or RSA with so many bits. */
  readonly key?: 'P-256' | 'P-384' | 'P-521' | number;
  /** As `openssl req -subj` takes it. */
  readonly subject?: string;
}

/** A certificate authority of the test's own (by `openssl`), in a folder that goes with it. */
export class Authority {
  readonly dir: string;
  /** Its own certificate. */
  readonly cert: string;
  readonly certFile: string;
  #count = 0;

  private constructor(dir: string, cert: string) {
    this.dir = dir;
    this.cert = cert;
    this.certFile = join(dir, 'ca.pem');
  }

  static async create(t: Teardown): Promise<Authority> {
    const dir = await tempDir(t, 'switchyard-authority');
    await run('openssl', ['req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30', '-subj', '/CN=test authority'], { cwd: dir });
    return new Authority(dir, await readFile(join(dir, 'ca.pem'), 'latin1'));
  }

  /** A certificate that this authority has signed. */
  async issue({ names = ['localhost', '127.0.0.1'], days = 30, key = 'P-256', subject = '/CN=test' }: Wanted = {}): Promise<Pair> {
    const [file, cwd] = [`pair-${this.#count++}`, this.dir];
    const alternatives = names.map((name) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`).join(',');
    await writeFile(join(cwd, `${file}.ext`), `subjectAltName=${alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    const newKey = typeof key === 'number' ? ['-newkey', `rsa:${key}`, '-nodes'] : ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${key}`, '-nodes'];
    await run('openssl', ['req', '-new', ...newKey, '-utf8', '-keyout', `${file}.key`, '-out', `${file}.csr`, '-subj', subject], { cwd });
    const signed = ['-req', '-in', `${file}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${file}.ext`, '-days', String(days)];
    await run('openssl', ['x509', ...signed, '-out', `${file}.pem`], { cwd });
    const [certFile, keyFile] = [join(cwd, `${file}.pem`), join(cwd, `${file}.key`)];
    return { cert: await readFile(certFile, 'latin1'), key: await readFile(keyFile, 'latin1'), certFile, keyFile };
  }
}
