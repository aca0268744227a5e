import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import net from 'node:net';
import { tlsClientOf } from '../dial/tls.ts';
import type { Address } from '../pool/address.ts';
import type { HealthPolicy } from '../pool/policy.ts';

const HEAD_LIMIT = 32 * 1024;

/** One request over a connection of its own. */
export interface H2Question {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly authority: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
  /** More of the answer's body is not waited for. */
  readonly most: number;
}

export interface H2Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/**
 * Asks over HTTP/2, by ALPN or with prior knowledge.
 * @throws when there is no whole answer; the reason of the signal when that ends it
 */
export async function askOverH2(address: Address, { tls }: HealthPolicy, question: H2Question, signal: AbortSignal): Promise<H2Reply> {
  signal.throwIfAborted();
  const socket = tls === null ? net.connect(address) : tlsClientOf(tls, 'h2').connect(address.host, address.port);
  const { promise, resolve, reject } = Promise.withResolvers<H2Reply>();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener('abort', stop);
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('the connection was closed before the answer was complete')));
  let session: ClientHttp2Session | null = null;
  socket.once(tls === null ? 'connect' : 'secureConnect', () => {
    if ('alpnProtocol' in socket && socket.alpnProtocol !== 'h2') return reject(new Error('the backend does not speak HTTP/2'));
    session = connect(`${tls === null ? 'http' : 'https'}://backend`, {
      createConnection: () => socket,
      maxReservedRemoteStreams: 0,
      settings: { enablePush: false, maxHeaderListSize: HEAD_LIMIT },
    });
    const failed = (error: NodeJS.ErrnoException): void =>
      reject(error.code === 'ERR_HTTP2_ERROR' ? new Error('the backend does not speak HTTP/2', { cause: error }) : error);
    session.on('error', failed);
    ask(session, tls === null ? 'http' : 'https', question, resolve, failed);
  });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', stop);
    (session as ClientHttp2Session | null)?.destroy();
    socket.destroy();
  }
}

function ask(session: ClientHttp2Session, scheme: string, question: H2Question, resolve: (reply: H2Reply) => void, reject: (error: Error) => void): void {
  const { method, path, authority, fields, body, most } = question;
  const stream = session.request({ ':method': method, ':path': path, ':scheme': scheme, ':authority': authority, ...fields }, { endStream: body === null });
  const pieces: Buffer[] = [];
  let size = 0;
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const done = (): void => resolve({ status: Number(headers[':status']), headers, trailers, body: Buffer.concat(pieces) });
  stream.on('response', (found) => (headers = found));
  stream.on('trailers', (found) => (trailers = found));
  stream.on('data', (chunk: Buffer) => {
    pieces.push(chunk);
    size += chunk.length;
    if (size > most) done();
  });
  stream.on('end', () => {
    if (stream.rstCode === 0 && headers[':status'] !== undefined) done();
  });
  stream.on('error', reject);
  stream.on('close', () => reject(new Error('the backend reset the request')));
  if (body !== null) stream.end(body);
}
