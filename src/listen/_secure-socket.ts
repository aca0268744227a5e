import { TLSSocket } from 'node:tls';
import type { SecureContext, TLSSocketOptions } from 'node:tls';
import type { Socket } from 'node:net';
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

/** Takes the handle out of a socket, which is of no use afterwards. */
export function handleOf(socket: Socket): object {
  const handle: unknown = Reflect.get(socket, '_handle');
  Reflect.set(socket, '_handle', null);
  return handle as object;
}

/** Why the client's certificate is not trusted (an OpenSSL code such as `CERT_HAS_EXPIRED`), or null. */
export function clientCertificateProblem(socket: TLSSocket): string | null {
  if (Object.keys(socket.getPeerCertificate()).length === 0) return 'NO_CERTIFICATE';
  const error = (Reflect.get(socket, '_handle') as { verifyError(): (Error & { code?: string }) | null }).verifyError();
  return error === null || error === undefined ? null : (error.code ?? error.message);
}
