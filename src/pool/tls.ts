/** A certificate with its key, read and checked by the control plane. */
export interface Certificate {
  /** DNS names of the certificate, lower case; `*.example.com` stands for one label. */
  readonly names: readonly string[];
  /** The chain, leaf first, as PEM. */
  readonly cert: string;
  /** Private key as PEM. Never logged, never shown. */
  readonly key: string;
}

/** Request fields that tell a backend who the client's certificate says it is; null = not told. */
export interface ClientFields {
  /** Distinguished name (RFC 4514 order as OpenSSL prints it, one line). */
  readonly subject: string | null;
  readonly issuer: string | null;
  /** SHA-256, lower case hex. */
  readonly fingerprint: string | null;
  /** Subject alternative names: `DNS:a.example, URI:spiffe://…`. */
  readonly names: string | null;
}

/** How a listener ends TLS. What data threads make their contexts of; a change counts for new connections only. */
export interface TlsPolicy {
  /** At least one. The first is shown to clients that name no server, or one that none of these is for. */
  readonly certificates: readonly Certificate[];
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** `h2` is spoken with those who ask for it. */
  readonly http2: boolean;
  /** Certificates of clients: the authorities (PEM) they are checked against; null = not asked for. */
  readonly clientAuth: { readonly ca: string; readonly required: boolean; readonly fields: ClientFields } | null;
  /**
   * Keys of session tickets (RFC 5077), 48 random bytes each, the same on every thread: a session that began on one is resumed on another.
   * New tickets are encrypted with the first; those of the others are taken, and renewed.
   */
  readonly ticketKeys: readonly Uint8Array[];
}
