import { isIP } from 'node:net';
import { connect, createSecureContext, getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { ConnectionOptions, SecureContext, TLSSocket } from 'node:tls';
import type { BackendProtocol, BackendTls } from '../pool/backend-tls.ts';
import { KEY_GROUPS } from './tls-groups.ts';

const ALPN: Readonly<Record<BackendProtocol, string>> = { http1: 'http/1.1', h2: 'h2' };
const KEEP_ALIVE_MS = 60_000;

let systemTrusted = false;

/** Has TLS trust the authorities of the system (and NODE_EXTRA_CA_CERTS) instead of those that Node brings; once a thread, some 30 ms. */
function trustSystem(): void {
  if (systemTrusted) return;
  systemTrusted = true;
  const system = getCACertificates('system');
  if (system.length > 0) setDefaultCACertificates([...new Set([...system, ...getCACertificates('extra')])]);
}

/** Makes TLS connections to the backends of an upstream, as its operator has decided. */
export class TlsClient {
  private readonly context: SecureContext;
  private readonly tls: BackendTls;
  private readonly alpn: string[];

  constructor(tls: BackendTls, protocol: BackendProtocol) {
    this.tls = tls;
    this.alpn = [ALPN[protocol]];
    if (tls.ca === null && tls.verify) trustSystem();
    this.context = createSecureContext({
      ca: tls.ca?.pem,
      cert: tls.identity?.certificate.pem,
      key: tls.identity?.key,
      minVersion: tls.minVersion,
      ecdhCurve: KEY_GROUPS.backends,
    });
  }

  /**
   * Begins a connection. It says `secureConnect` once the backend has shown a certificate of the right name that is trusted,
   * or `error` and `close`. What is written before that is held back: an impostor does not see it.
   */
  connect(host: string, port: number, more: ConnectionOptions = {}): TLSSocket {
    const { servername, verify } = this.tls;
    const socket = connect({
      host,
      port,
      // An address is no name that could be asked for (RFC 6066 §3); the certificate must have it all the same.
      servername: servername ?? (isIP(host) === 0 ? host : ''),
      secureContext: this.context,
      rejectUnauthorized: verify,
      ALPNProtocols: this.alpn,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      ...more,
    } as ConnectionOptions);
    // The runtime holds data back, too, but does not promise that none goes out before the certificate was looked at.
    socket.cork();
    socket.once('secureConnect', uncork);
    return socket;
  }
}

const clients = new WeakMap<BackendTls, TlsClient>();

/** The client of these settings; made once. */
export function tlsClientOf(tls: BackendTls, protocol: BackendProtocol): TlsClient {
  const known = clients.get(tls);
  if (known !== undefined) return known;
  const client = new TlsClient(tls, protocol);
  clients.set(tls, client);
  return client;
}

function uncork(this: TLSSocket): void {
  this.uncork();
}
