import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { ByteStream } from './byte_stream.ts';
import { readResponse } from './message.ts';
import type { Response } from './message.ts';
import { requestBytes } from './raw_client.ts';
import type { RequestSpec } from './raw_client.ts';
import { PATIENCE, within } from './wait.ts';

/** A client that says exactly what it is told to, inside TLS. It trusts everybody unless told whom. */
export class TlsClient extends ByteStream {
  readonly tls: TLSSocket;

  private constructor(socket: TLSSocket) {
    super(socket);
    this.tls = socket;
  }

  static async connect(port: number, options: ConnectionOptions = {}): Promise<TlsClient> {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: options.ca !== undefined, ...options });
    const secured = new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed in the handshake')));
    });
    try {
      await within(PATIENCE, 'a TLS handshake', secured);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return new TlsClient(socket);
  }

  /** Sends one request and takes its response, on this connection. */
  async request(request: RequestSpec = {}, deadline?: number): Promise<Response> {
    this.write(requestBytes(request));
    return readResponse(this, request.method ?? 'GET', deadline);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}
