import { TLSSocket } from 'node:tls';
import type { SecureContext, TLSSocketOptions } from 'node:tls';
import type { Socket } from 'node:net';
import { nameLine, type Holder } from '../http/client-identity.ts';
import type { SharedRead } from '../proxy/sockets.ts';

/** The inner method by which a TLS socket gets the stream it encrypts. */
type HandleTaker = new (socket: null, options: TLSSocketOptions) => TLSSocket & { _wrapHandle(socket: null, handle: object, busy: boolean): object };

/** Handle for the socket that is being made: the constructor asks for it before there is a `this` to keep it in. */
let accepted: object | null = null;

/**
 * A TLS socket right on an accepted handle that reads into the shared buffer. By the public way each connection would have
 * two sockets, and each read a buffer of its own, since `onread` is ignored when a socket is wrapped.
 */
class AcceptedTlsSocket extends (TLSSocket as unknown as HandleTaker) {
  override _wrapHandle(socket: null, handle: object, busy: boolean): object {
    return super._wrapHandle(socket, accepted ?? handle, busy);
  }

  /** Its writes are done only in a later turn of the event loop, but what was written is encrypted at once. */
  get encrypts(): true {
    return true;
  }

  /** A TLS socket cannot be reset by the public way; what it encrypts for can. */
  override resetAndDestroy(): this {
    const handle = Reflect.get(this, '_handle') as { _parent: { close: unknown; reset: unknown } } | null;
    if (handle !== null) handle._parent.close = handle._parent.reset;
    return this.destroy();
  }
}

export interface SecureOptions {
  readonly context: SecureContext;
  readonly alpn: Buffer;
  /** By server name; null = `context` for all. */
  readonly select: ((name: string, done: (error: Error | null, context?: SecureContext) => void) => void) | null;
  readonly clientCertificate: boolean;
  readonly onread: SharedRead;
}

/**
 * Begins a handshake as the server.
 * @param read bytes that were read from the handle already.
 */
export function secureSocket(handle: object, { context, alpn, select, clientCertificate, onread }: SecureOptions, read: Buffer): TLSSocket {
  accepted = handle;
  const options = {
    isServer: true,
    secureContext: context,
    ALPNProtocols: alpn,
    ...(select === null ? {} : { SNICallback: select }),
    requestCert: clientCertificate,
    // Judged when the handshake is over: a refusal then has a reason that can be counted.
    rejectUnauthorized: false,
    allowHalfOpen: true,
    onread,
  };
  const socket = new AcceptedTlsSocket(null, options);
  accepted = null;
  // It takes a socket without a parent for one that still has to connect.
  Reflect.set(socket, 'connecting', false);
  if (read.length > 0) (Reflect.get(socket, '_handle') as { receive(bytes: Buffer): void }).receive(read);
  return socket;
}

/** The handshake is over: a server would say so to the socket, which from now on tells of errors and may be given to a session. */
export function established(socket: TLSSocket): void {
  (socket as TLSSocket & { _releaseControl(): boolean })._releaseControl();
  Reflect.set(socket, 'secureConnecting', false);
}

/** Takes the handle out of a socket, which is of no use afterwards. */
export function handleOf(socket: Socket): object {
  const handle: unknown = Reflect.get(socket, '_handle');
  Reflect.set(socket, '_handle', null);
  return handle as object;
}

/** Whose certificate the client has shown; it must be a trusted one. */
export function holderOf(socket: TLSSocket): Holder | null {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  const { subject, issuer, fingerprint256: fingerprint, subjectAltName: names = '' } = certificate;
  return { subject: nameLine(subject), issuer: nameLine(issuer), fingerprint, names };
}

/** Why the client's certificate is not trusted (an OpenSSL code such as `CERT_HAS_EXPIRED`), or null. */
export function clientCertificateProblem(socket: TLSSocket): string | null {
  if (socket.getPeerX509Certificate() === undefined) return 'NO_CERTIFICATE';
  const error = (Reflect.get(socket, '_handle') as { verifyError(): (Error & { code?: string }) | null }).verifyError();
  return error === null || error === undefined ? null : (error.code ?? error.message);
}
