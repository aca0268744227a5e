/** A file, or text that was given instead of one, with what may be shown of it. */
export interface PemSource {
  /** Content: PEM. Never logged or shown. */
  readonly pem: string;
  /** Name as in the configuration; null = given inline. */
  readonly file: string | null;
  /** SHA-256 of the first certificate, as `AA:BB:…`. */
  readonly fingerprint: string;
  /** When it is of no more use (its leaf, or the last authority of a bundle, expires); epoch milliseconds. */
  readonly expires: number;
}

/** How connections to the backends of an upstream are encrypted and whom they trust. */
export interface BackendTls {
  /** Whom to trust; null = the authorities of the system. */
  readonly ca: PemSource | null;
  /** Name that is asked for (SNI) and that the certificate must have; null = the backend's host. */
  readonly servername: string | null;
  /** What we show when a backend asks who we are. */
  readonly identity: { readonly certificate: PemSource; readonly key: string } | null;
  /** False: any certificate will do. */
  readonly verify: boolean;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

/** Protocol of the connections to backends. `h2` = HTTP/2, by ALPN over TLS, with prior knowledge without. */
export type BackendProtocol = 'http1' | 'h2';
