import { FAILURE } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';

/** A fault that is found out here, on its way through a socket's `error`. */
export class LossError extends Error {
  readonly fault: Fault;
  /** Nothing of the request was looked at: it may go elsewhere, whatever its method. */
  readonly untouched: boolean;

  constructor(fault: Fault, untouched: boolean) {
    super(fault.text);
    this.name = 'LossError';
    this.fault = fault;
    this.untouched = untouched;
  }
}

/** OpenSSL's words for a certificate that is not trusted (X509_V_ERR_…, as Node names them). */
const UNTRUSTED = /CERT|ISSUER|LEAF_SIGNATURE|CHAIN|^(?:INVALID_(?:CA|PURPOSE)|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH|EE_KEY_TOO_SMALL|CA_MD_TOO_WEAK)$/;

/** Of a connection that was made, and broke (or was ended: no error) before the handshake was done. */
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'EPROTO']);

/** Why a connection to a backend, made or not, was lost before it had answered. */
export function lossOf(error: Error | null, connected: boolean): Fault {
  if (error instanceof LossError) return error.fault;
  const { code = '', syscall } = (error ?? {}) as NodeJS.ErrnoException;
  // A backend may also refuse our certificate after its side of the handshake (TLS 1.3).
  if (code.startsWith('ERR_SSL_')) return FAILURE.tlsFailed;
  if (connected) return FAILURE.reset;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return FAILURE.tlsName;
  // Errors of the system name the call that failed; those of the verification do not.
  if (syscall === undefined && UNTRUSTED.test(code)) return FAILURE.tlsUntrusted;
  return error === null || (syscall !== 'connect' && BROKEN.has(code)) ? FAILURE.tlsFailed : FAILURE.dialFailed;
}
