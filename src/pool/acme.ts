/** How an ACME server (RFC 8555) proves that a name is ours. */
export type ChallengeType = 'http-01' | 'tls-alpn-01';

/** Certificates that a listener gets by itself, from a certificate authority that speaks ACME (RFC 8555). */
export interface AcmePolicy {
  /** DNS names, lower case; one certificate for each group. */
  readonly groups: readonly (readonly string[])[];
  readonly email: string | null;
  /** URL of the server's directory. */
  readonly directory: string;
  /** Tried in this order. */
  readonly challenges: readonly ChallengeType[];
  /** External account binding (RFC 8555 §7.3.4); the key is base64url and never shown. */
  readonly eab: { readonly kid: string; readonly hmacKey: string } | null;
  /** Authorities (PEM) that the server's own certificate is checked against; null = those that Node trusts. */
  readonly ca: string | null;
}

/** What data threads answer to certificate authorities while they check that names are ours. */
export interface PendingChallenges {
  /** Key authorisations by token (http-01, RFC 8555 §8.3). */
  readonly answers: ReadonlyMap<string, string>;
  /** Certificates, with their keys, by name (tls-alpn-01, RFC 8737); PEM. */
  readonly certificates: ReadonlyMap<string, { readonly cert: string; readonly key: string }>;
}

export const NO_CHALLENGES: PendingChallenges = { answers: new Map(), certificates: new Map() };
