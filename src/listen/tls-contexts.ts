import { constants, createHash } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { KEY_GROUPS } from '../dial/tls-groups.ts';
import type { ClientHello } from '../http/client-hello.ts';
import type { Certificate, TlsPolicy } from '../pool/tls.ts';
import { takeTickets } from './_tickets.ts';

/** Mozilla's intermediate recommendation, version 6.0, which has no DHE any more: it lets clients make the server compute for nothing (CVE-2002-20001); the suites of TLS 1.3 come first and are OpenSSL's own. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');
/** Older sessions are not resumed. */
export const SESSION_SECONDS = 3_600;

/** What a handshake is made with. */
export interface HandshakeTerms {
  /** For clients that name no server. */
  readonly fallback: SecureContext;
  readonly clientAuth: TlsPolicy['clientAuth'];
  /** ALPN protocols in the wire's form (RFC 7301 §3.1), ours in the order we prefer. */
  readonly alpn: Buffer;
  /** Contexts there are: with one, the name makes no difference. */
  readonly different: number;
  find(name: string): SecureContext;
}

/** Certificates that are shown under one name, and the context that shows them once it is made. */
interface Group {
  readonly chosen: readonly Certificate[];
  context: SecureContext | null;
}

/**
 * The TLS contexts of a listener, by server name (SNI, RFC 6066 §3). Immutable: a reload makes others. Each is made when a client first
 * asks for it: it takes most of a millisecond, and a reload of a thousand at once would hold up everybody on the thread.
 */
export class TlsContexts implements HandshakeTerms {
  readonly clientAuth: TlsPolicy['clientAuth'];
  readonly alpn: Buffer;
  private readonly policy: TlsPolicy;
  private readonly groups = new Map<string, Group>();
  private readonly first: Group;
  private readonly exact = new Map<string, Group>();
  private readonly wildcards = new Map<string, Group>();

  constructor(policy: TlsPolicy) {
    const { certificates, clientAuth, http2 } = policy;
    this.policy = policy;
    this.clientAuth = clientAuth;
    this.alpn = Buffer.from(http2 ? '\x02h2\x08http/1.1\x08http/1.0' : '\x08http/1.1\x08http/1.0', 'latin1');
    // An ECDSA and an RSA certificate for one name share a context: OpenSSL shows the one that the client can check.
    const byName = new Map<string, number[]>();
    for (const [at, { names }] of certificates.entries())
      for (const name of new Set(names)) {
        const known = byName.get(name);
        if (known === undefined) byName.set(name, [at]);
        else known.push(at);
      }
    for (const [name, chosen] of byName) {
      const group = this.group(chosen);
      if (name.startsWith('*.')) this.wildcards.set(name.slice(1), group);
      else this.exact.set(name, group);
    }
    const beside = certificates[0].names.flatMap((name) => byName.get(name) ?? []);
    this.first = this.group([...new Set([0, ...beside])].toSorted((a, b) => a - b));
  }

  /** @param chosen positions of certificates. */
  private group(chosen: readonly number[]): Group {
    const key = chosen.join();
    const known = this.groups.get(key);
    if (known !== undefined) return known;
    const made = { chosen: chosen.map((at) => this.policy.certificates[at]), context: null };
    this.groups.set(key, made);
    return made;
  }

  /** Makes all of them. @throws Error of OpenSSL when a certificate and its key do not match or cannot be read. */
  check(): void {
    for (const group of this.groups.values()) this.contextOf(group);
  }

  private contextOf(group: Group): SecureContext {
    return (group.context ??= contextFor(this.policy, group.chosen));
  }

  get different(): number {
    return this.groups.size;
  }

  get fallback(): SecureContext {
    return this.contextOf(this.first);
  }

  /** For a server name: the exact name, else the wildcard of its first label, else the first certificate's. */
  find(name: string): SecureContext {
    const lower = name.toLowerCase();
    const dot = lower.indexOf('.');
    return this.contextOf(this.exact.get(lower) ?? (dot === -1 ? undefined : this.wildcards.get(lower.slice(dot))) ?? this.first);
  }
}

function contextFor({ minVersion, clientAuth, ticketKeys }: TlsPolicy, chosen: readonly Certificate[]): SecureContext {
  // A session of a client that was checked against other authorities is not resumed here (RFC 8446 §4.6.1, RFC 5077 §4).
  const scope = createHash('sha256')
    .update(clientAuth === null ? '' : clientAuth.ca)
    .digest('hex')
    .slice(0, 32);
  const context = createSecureContext({
    cert: chosen.map((one) => one.cert),
    key: chosen.map((one) => one.key),
    ca: clientAuth?.ca,
    minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ecdhCurve: KEY_GROUPS.clients,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ticketKeys: Buffer.from(ticketKeys[0]),
    sessionTimeout: SESSION_SECONDS,
    sessionIdContext: scope,
  });
  if (ticketKeys.length > 1) takeTickets(context, ticketKeys);
  return context;
}

/** RFC 8737 §6.2. */
const ACME_TLS = 'acme-tls/1';

/** What clients are shown that ask whether a name is ours (tls-alpn-01, RFC 8737 §3), while that is pending. */
export class ChallengeContexts {
  private readonly terms = new Map<string, HandshakeTerms>();

  /** @param certificates by name. @throws Error of OpenSSL when one cannot be used. */
  constructor(certificates: ReadonlyMap<string, Pick<Certificate, 'cert' | 'key'>>) {
    for (const [name, { cert, key }] of certificates) {
      // Without tickets and session ids: each question is answered in full.
      const secureOptions = constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET;
      const context = createSecureContext({ cert, key, minVersion: 'TLSv1.2', ciphers: CIPHERS, ecdhCurve: KEY_GROUPS.clients, secureOptions });
      const alpn = Buffer.from(`\x0a${ACME_TLS}`, 'latin1');
      this.terms.set(name, { fallback: context, clientAuth: null, alpn, different: 1, find: () => context });
    }
  }

  /** For a client that asks for this one protocol and a name that is pending; null = it is a client like any other. */
  find({ serverName, protocols }: ClientHello): HandshakeTerms | null {
    if (serverName === null || protocols.length !== 1 || protocols[0] !== ACME_TLS) return null;
    return this.terms.get(serverName) ?? null;
  }
}
