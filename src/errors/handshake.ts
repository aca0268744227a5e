/** Why TLS handshakes fail: label `reason` of `switchyard_tls_handshakes_total`. Append only: the ledger's layout follows it. */
export const HANDSHAKE_FAILURES = [
  'plain-http',
  'no-common-version',
  'no-common-cipher',
  'no-common-protocol',
  'client-refused',
  'client-certificate',
  'timeout',
  'closed',
  'limit',
  'not-tls',
  'other',
] as const;
export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number];

const BY_CODE: Readonly<Record<string, HandshakeFailure>> = {
  ERR_SSL_HTTP_REQUEST: 'plain-http',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'plain-http',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'no-common-version',
  ERR_SSL_UNKNOWN_PROTOCOL: 'no-common-version',
  ERR_SSL_VERSION_TOO_LOW: 'no-common-version',
  ERR_SSL_NO_SHARED_CIPHER: 'no-common-cipher',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'no-common-cipher',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'no-common-protocol',
  ERR_SSL_WRONG_VERSION_NUMBER: 'not-tls',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'not-tls',
  ERR_SSL_BAD_RECORD_TYPE: 'not-tls',
  ECONNRESET: 'closed',
  EPIPE: 'closed',
};

/** The reason behind an error of a TLS socket, by its OpenSSL code. */
export function handshakeFailure(error: Error): HandshakeFailure {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  // An alert of the client says that it does not take our certificate, or the like.
  return BY_CODE[code] ?? (code.includes('_ALERT_') ? 'client-refused' : 'other');
}
