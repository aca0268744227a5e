import { connect } from 'node:net';
import { ByteStream } from './byte_stream.ts';
import { readResponse } from './message.ts';
import type { Response } from './message.ts';
import { PATIENCE, within } from './wait.ts';

/** A client that says exactly what it is told to, byte for byte. */
export class RawClient extends ByteStream {
  static async connect(port: number, options: { host?: string; deadline?: number; localAddress?: string } = {}): Promise<RawClient> {
    const host = options.host ?? '127.0.0.1';
    const socket = connect({ port, host, localAddress: options.localAddress });
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new RawClient(socket);
    try {
      await within(options.deadline ?? PATIENCE, `a connection to ${host}:${port}`, connected);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return client;
  }

  /** The next response; `method` is that of the request it answers. */
  response(method = 'GET', deadline?: number): Promise<Response> {
    return readResponse(this, method, deadline);
  }

  /** Sends one request and takes its response, on this connection. */
  async request(request: RequestSpec = {}, deadline?: number): Promise<Response> {
    this.write(requestBytes(request));
    return this.response(request.method, deadline);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

export interface RequestSpec {
  method?: string;
  target?: string;
  host?: string;
  /** Sent as they are, in this order, after Host. */
  fields?: readonly (readonly [string, string])[];
  /** Adds Content-Length unless `fields` frames the body itself. */
  body?: string | Buffer;
}

/** The bytes of a well-formed request. */
export function requestBytes(spec: RequestSpec = {}): Buffer {
  const fields = spec.fields ?? [];
  const body = Buffer.from((spec.body ?? '') as string, 'latin1');
  const framed = fields.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  const lines = [
    `${spec.method ?? 'GET'} ${spec.target ?? '/'} HTTP/1.1`,
    `Host: ${spec.host ?? 'test.example'}`,
    ...fields.map(([name, value]) => `${name}: ${value}`),
    ...(spec.body !== undefined && !framed ? [`Content-Length: ${body.length}`] : []),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}

/** One request on a connection of its own. */
export async function send(port: number, request: RequestSpec = {}, deadline?: number): Promise<Response> {
  using client = await RawClient.connect(port);
  return await client.request(request, deadline);
}

/** Sends exactly these bytes on a new connection and gives back everything that came until the peer closed it. */
export async function exchange(port: number, bytes: string | Buffer, options: { deadline?: number; end?: boolean } = {}): Promise<string> {
  using client = await RawClient.connect(port);
  client.write(bytes);
  if (options.end) client.end();
  return (await client.takeAll(options.deadline)).toString('latin1');
}
