import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Authority } from './certificates.ts';
import { childEnv, killed } from './process.ts';
import { freePorts, isOpen } from './ports.ts';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';
import { eventually } from './wait.ts';

export interface PebbleOptions {
  /** Where it looks for answers to http-01 challenges, and to tls-alpn-01 ones. */
  readonly httpPort: number;
  readonly tlsPort?: number;
  /** Percent of good nonces that it refuses. */
  readonly nonceReject?: number;
  /** Seconds that its certificates last. */
  readonly validity?: number;
  readonly eab?: Record<string, string>;
}

/** Debian's `pebble`, a small ACME server for tests, with a name server that says 127.0.0.1 to everything. */
export class Pebble {
  /** Authorities that its own certificate is checked against. */
  readonly ca: string;
  readonly directory: string;
  readonly #port: number;
  readonly #config: string;
  readonly #env: Record<string, string>;
  readonly #dns: string;
  readonly #t: Teardown;
  #child: ChildProcess | null = null;
  output = '';

  private constructor(t: Teardown, parts: { ca: string; port: number; config: string; env: Record<string, string>; dns: string }) {
    this.#t = t;
    this.ca = parts.ca;
    this.#port = parts.port;
    this.#config = parts.config;
    this.#env = parts.env;
    this.#dns = parts.dns;
    this.directory = `https://127.0.0.1:${parts.port}/dir`;
  }

  static async start(t: Teardown, { httpPort, tlsPort = 1, nonceReject = 0, validity = 86_400, eab }: PebbleOptions): Promise<Pebble> {
    const [dir, authority, [port, management, dns, dnsManagement]] = [await tempDir(t, 'pebble'), await Authority.create(t), await freePorts(4)];
    const own = await authority.issue();
    const pebble = {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: own.certFile,
      privateKey: own.keyFile,
      httpPort,
      tlsPort,
      certificateValidityPeriod: validity,
      externalAccountBindingRequired: eab !== undefined,
      externalAccountMACKeys: eab ?? {},
    };
    const config = join(dir, 'pebble.json');
    await writeFile(config, JSON.stringify({ pebble }));
    const names = ['-defaultIPv4', '127.0.0.1', '-defaultIPv6', '', '-dns01', `127.0.0.1:${dns}`, '-management', `127.0.0.1:${dnsManagement}`];
    const child = launch('pebble-challtestsrv', [...names, '-http01', '', '-https01', '', '-tlsalpn01', '']);
    t.teardown(() => killed(child));
    await eventually('the name server of pebble', () => isOpen(dnsManagement), 60_000);
    const env = { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: String(nonceReject), PEBBLE_AUTHZREUSE: '0' };
    const here = new Pebble(t, { ca: authority.cert, port, config, env, dns: `127.0.0.1:${dns}` });
    await here.resume();
    return here;
  }

  /** Starts it (again): it has forgotten every account and order. */
  async resume(): Promise<void> {
    const child = launch('pebble', ['-config', this.#config, '-dnsserver', this.#dns], this.#env);
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.#t.teardown(() => killed(child));
    await eventually('pebble', () => isOpen(this.#port), 60_000);
  }

  async stop(): Promise<void> {
    if (this.#child !== null) await killed(this.#child);
  }

  /** How often something appears in its log. */
  said(text: string): number {
    return this.output.split(text).length - 1;
  }
}

function launch(command: string, args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(command, args, { env: childEnv(env), stdio: ['ignore', 'pipe', 'pipe'] });
  child.on('error', (error) => {
    throw new Error(`${command} cannot be run: tests of certificates need the Debian package pebble (apt-get install pebble): ${error.message}`);
  });
  for (const stream of [child.stdout, child.stderr]) stream?.resume();
  return child;
}
