import t from 'tap';
import { LossError, lossOf } from '../../src/dial/loss.ts';
import { FAILURE } from '../../src/errors/catalogue.ts';
import type { Fault } from '../../src/errors/catalogue.ts';

const errorOf = (code: string, syscall?: string): Error => Object.assign(new Error(code), { code, ...(syscall === undefined ? {} : { syscall }) });

t.test('why a connection was lost before it had answered', async (t) => {
  const cases: [string, Error | null, boolean, Fault][] = [
    ['refused', errorOf('ECONNREFUSED', 'connect'), false, FAILURE.dialFailed],
    ['reset while it was made', errorOf('ECONNRESET', 'connect'), false, FAILURE.dialFailed],
    ['a name that is not known', errorOf('ENOTFOUND', 'getaddrinfo'), false, FAILURE.dialFailed],
    ['reset in the handshake', errorOf('ECONNRESET', 'read'), false, FAILURE.tlsFailed],
    ['ended in the handshake, as Node tells it', errorOf('ECONNRESET'), false, FAILURE.tlsFailed],
    ['ended in the handshake, without an error', null, false, FAILURE.tlsFailed],
    ['no TLS', errorOf('ERR_SSL_WRONG_VERSION_NUMBER'), false, FAILURE.tlsFailed],
    ['our certificate was refused after the handshake', errorOf('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), true, FAILURE.tlsFailed],
    ['another name', errorOf('ERR_TLS_CERT_ALTNAME_INVALID'), false, FAILURE.tlsName],
    ['an authority nobody knows', errorOf('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), false, FAILURE.tlsUntrusted],
    ['signed by itself', errorOf('DEPTH_ZERO_SELF_SIGNED_CERT'), false, FAILURE.tlsUntrusted],
    ['expired', errorOf('CERT_HAS_EXPIRED'), false, FAILURE.tlsUntrusted],
    ['no issuer', errorOf('UNABLE_TO_GET_ISSUER_CERT_LOCALLY'), false, FAILURE.tlsUntrusted],
    ['for another purpose', errorOf('INVALID_PURPOSE'), false, FAILURE.tlsUntrusted],
    ['reset once it was made', errorOf('ECONNRESET', 'read'), true, FAILURE.reset],
    ['closed once it was made', null, true, FAILURE.reset],
    ['what was found out on the way', new LossError(FAILURE.streamRefused, true), true, FAILURE.streamRefused],
  ];
  for (const [what, error, connected, fault] of cases) t.equal(lossOf(error, connected), fault, what);
});
