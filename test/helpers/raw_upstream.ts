import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { ByteStream } from './byte_stream.ts';
import { readBody, readHead } from './message.ts';
import type { Message } from './message.ts';
import { freePort } from './ports.ts';
import type { Teardown } from './temp.ts';
import { eventually } from './wait.ts';

/** One request as the backend saw it. */
export interface SeenRequest extends Message {
  readonly method: string;
  readonly target: string;
  /** Counts from 0 over the whole upstream. */
  readonly index: number;
  readonly connection: UpstreamConnection;
  /** The whole body; rejects when the client goes before it is complete. */
  readonly body: Promise<Buffer>;
}

/** The backend's side of one connection: write what you like, end, reset. */
export class UpstreamConnection extends ByteStream {
  /** Counts from 0. */
  readonly index: number;
  /** Requests seen on it. */
  requests = 0;

  constructor(socket: Socket, index: number) {
    super(socket);
    this.index = index;
  }

  /** Answers with a well-formed response; `fields` come before Content-Length. */
  respond(status = 200, body: string | Buffer = '', fields: readonly (readonly [string, string])[] = []): void {
    this.write(responseBytes(status, body, fields));
  }
}

/**
 * Answers one request. Called when its head is complete; the body may still be coming. The next request on the
 * connection is read when the script is done; a script that answers `'taken'` keeps the connection to itself (upgrades).
 */
export type Script = (request: SeenRequest, connection: UpstreamConnection) => unknown;

export interface RawUpstreamOptions {
  host?: string;
  port?: number;
  /** Takes the connection over from its first byte; `script` is not used then. */
  onConnection?: (connection: UpstreamConnection) => unknown;
}

/** The bytes of a well-formed response with Content-Length. */
export function responseBytes(status = 200, body: string | Buffer = '', fields: readonly (readonly [string, string])[] = []): Buffer {
  const bytes = Buffer.from(body as string, 'latin1');
  const lines = [`HTTP/1.1 ${status} Status`, ...fields.map(([name, value]) => `${name}: ${value}`), `Content-Length: ${bytes.length}`];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes]);
}

/** Answers `200` with this body, once the request's body is complete. */
export function answer(body: string | Buffer, status = 200, fields: readonly (readonly [string, string])[] = []): Script {
  return async (request, connection) => {
    await request.body;
    connection.respond(status, body, fields);
  };
}

/**
 * A backend on a raw socket that records what it is sent and answers by script. A script that throws resets the
 * connection and is found in `failures`; `close()` rejects with the first of them.
 */
export class RawUpstream {
  readonly connections: UpstreamConnection[] = [];
  readonly requests: SeenRequest[] = [];
  readonly failures: unknown[] = [];
  #server: Server;
  #script: Script;
  #scripts = new Map<string, Script>();

  private constructor(server: Server, script: Script) {
    this.#server = server;
    this.#script = script;
  }

  static async listen(script: Script = answer('ok'), options: RawUpstreamOptions = {}): Promise<RawUpstream> {
    const server = createServer({ allowHalfOpen: true });
    const upstream = new RawUpstream(server, script);
    server.on('connection', (socket) => {
      const connection = new UpstreamConnection(socket, upstream.connections.length);
      upstream.connections.push(connection);
      const served = options.onConnection ? async () => options.onConnection?.(connection) : () => upstream.#serve(connection);
      served().catch((error: unknown) => {
        upstream.failures.push(error);
        connection.reset();
      });
    });
    const host = options.host ?? '127.0.0.1';
    server.listen(options.port ?? (await freePort(host)), host);
    await once(server, 'listening');
    return upstream;
  }

  /** Like `listen`, and closed when the test ends. */
  static async start(t: Teardown, script?: Script, options?: RawUpstreamOptions): Promise<RawUpstream> {
    const upstream = await RawUpstream.listen(script, options);
    t.teardown(() => upstream.close());
    return upstream;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** `host:port`, as a configuration names it. */
  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  }

  /** Connections that neither side has ended. */
  get open(): number {
    return this.connections.filter((connection) => connection.ending === 'open' && !connection.socket.destroyed).length;
  }

  /** Answers by this script from the next request on; with a target, only the requests to it, whatever the others get. */
  use(script: Script, target?: string): void {
    if (target === undefined) this.#script = script;
    else this.#scripts.set(target, script);
  }

  /**
   * The first request to that target, once its head has arrived. Name a target that nothing else asks for: "the next
   * request" may be a late one of what was done before.
   */
  async requestTo(target: string, deadline?: number): Promise<SeenRequest> {
    const seen = (): string => this.requests.map((request) => request.target).join(' ');
    return eventually(
      () => `a request to ${target} (seen: ${seen().slice(-500)})`,
      () => this.requests.find((request) => request.target === target),
      deadline,
    );
  }

  /** All requests to that target so far. */
  requestsTo(target: string): SeenRequest[] {
    return this.requests.filter((request) => request.target === target);
  }

  /** The request of that number, once its head has arrived: for a backend that has had all requests before it. */
  async request(index: number, deadline?: number): Promise<SeenRequest> {
    return eventually(
      () => `request ${index} (seen: ${this.requests.length})`,
      () => this.requests[index],
      deadline,
    );
  }

  async close(): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, 'close') : Promise.resolve();
    this.#server.close();
    for (const connection of this.connections) connection.destroy();
    await closed;
    if (this.failures.length > 0) throw this.failures[0];
  }

  async #serve(connection: UpstreamConnection): Promise<void> {
    for (;;) {
      await connection.until(() => connection.pending.length > 0 || connection.ending !== 'open', 'a request', 600_000, true);
      if (connection.pending.length === 0) {
        connection.end();
        return;
      }
      const head = await readHead(connection).catch((error: unknown) => {
        if (connection.ending !== 'open') return null;
        throw error;
      });
      if (head === null) return;
      const [method, target] = head.line.split(' ');
      const body = readBody(connection, head, false, 60_000).then((whole) => whole.body);
      // A script need not look at the body; its failure must not count as unhandled then.
      body.catch(() => {});
      const request: SeenRequest = { ...head, method, target, index: this.requests.length, connection, body };
      this.requests.push(request);
      connection.requests++;
      try {
        if ((await (this.#scripts.get(target) ?? this.#script)(request, connection)) === 'taken') return;
        await body;
      } catch (error) {
        if (connection.ending !== 'open' || connection.socket.destroyed) return;
        throw error;
      }
      if (connection.socket.writableEnded || connection.socket.destroyed) return;
    }
  }
}
