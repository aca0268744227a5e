import type { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { InProcess } from './control.ts';
import { Pebble } from './pebble.ts';
import type { PebbleOptions } from './pebble.ts';
import { freePorts } from './ports.ts';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';
import { eventually } from './wait.ts';

const SOON = { first: 200, most: 400 };

/** A proxy that gets the certificates of its TLS listener from an authority beside it. */
export interface AcmeWorld {
  readonly pebble: Pebble;
  readonly http: number;
  readonly https: number;
  readonly stateDir: string;
  readonly config: Record<string, unknown>;
  start(): Promise<InProcess>;
}

export async function acmeWorld(t: Teardown, options: Partial<PebbleOptions> = {}, acme: Record<string, unknown> = {}): Promise<AcmeWorld> {
  const [[http, https], dir] = [await freePorts(2), await tempDir(t)];
  const pebble = await Pebble.start(t, { httpPort: http, tlsPort: https, ...options });
  const automatic = { domains: ['a.example'], email: 'ops@example.com', directory: pebble.directory, ca: pebble.ca, termsAgreed: true, ...acme };
  const listeners = [
    { host: '127.0.0.1', port: http },
    { host: '127.0.0.1', port: https, tls: { acme: automatic } },
  ];
  const config = { listeners, stateDir: join(dir, 'state') };
  return { pebble, http, https, stateDir: config.stateDir, config, start: () => InProcess.start(t, config, undefined, { acmeRetry: SOON }) };
}

/** The certificate that a client of this name is shown. */
export function shown(port: number, servername: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false }, () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (certificate === undefined) reject(new Error('no certificate'));
      else resolve(certificate);
    });
    socket.on('error', reject);
  });
}

/** Resolves with the authority's certificate for a name, once it is shown. */
export function issuedFor(port: number, name: string): Promise<X509Certificate> {
  return eventually(
    `a certificate for ${name}`,
    async () => {
      const found = await shown(port, name).catch((error: NodeJS.ErrnoException) => {
        // It may still be starting.
        if (error.code === 'ECONNREFUSED') return null;
        throw error;
      });
      return found?.issuer.includes('Pebble') === true ? found : null;
    },
    60_000,
    100,
  );
}
