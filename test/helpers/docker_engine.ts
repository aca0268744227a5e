import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';

interface Container {
  readonly id: string;
  readonly name: string;
  readonly body: Record<string, unknown> & {
    Labels: Record<string, string>;
    Image: string;
    Env: string[];
    HostConfig: { PortBindings?: Record<string, { HostPort: string }[]> };
  };
  /** What listens on its published port. */
  server: Server | null;
  state: 'created' | 'running' | 'exited';
  code: number;
  readonly waiting: (() => void)[];
}

/**
 * What a Docker engine of API 1.44 answers to the calls of a launch, without containers: anything that the API has not is a failure
 * that the test sees in `wrong`.
 */
export class DockerEngine {
  readonly socket: string;
  readonly containers: Container[] = [];
  readonly images = new Set<string>();
  readonly pulled: string[] = [];
  readonly wrong: string[] = [];
  /** Seconds that stops were given. */
  readonly stops: string[] = [];
  startFails: string | null = null;
  /** It answers nobody: it is being started again. Its containers go on. */
  isAway = false;
  /** Whether containers listen on their published ports: /healthz with 200 (500 with SICK=1), and anything with their version. */
  serves = false;
  #count = 0;

  private constructor(socket: string) {
    this.socket = socket;
  }

  static async start(t: Teardown): Promise<DockerEngine> {
    const engine = new DockerEngine(join(await tempDir(t, 'engine'), 'd.sock'));
    const server = createServer((request, response) => void engine.#answer(request, response));
    await new Promise<void>((resolve) => server.listen(engine.socket, resolve));
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
      for (const container of engine.containers) container.server?.close();
    });
    engine.#server = server;
    return engine;
  }

  #server: Server | null = null;

  /** It is gone for whoever speaks to it, until `isAway` is false again. */
  goAway(): void {
    this.isAway = true;
    this.#server?.closeAllConnections();
  }

  /** It ends by itself. */
  exit(container: Container, code: number): void {
    container.state = 'exited';
    container.code = code;
    container.server?.closeAllConnections();
    container.server?.close();
    container.server = null;
    for (const done of container.waiting.splice(0)) done();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.isAway) return void request.socket.destroy();
    const url = new URL(request.url ?? '/', 'http://docker');
    const body = await text(request).catch(() => null);
    // The proxy may be killed in the middle of it.
    if (body === null) return;
    const send = (status: number, json?: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(json === undefined ? undefined : JSON.stringify(json));
    };
    if (url.pathname === '/_ping') return void response.writeHead(200, { 'api-version': '1.44' }).end('OK');
    const path = /^\/v1\.44(\/.*)$/.exec(url.pathname)?.[1];
    const fail = (what: string): void => {
      this.wrong.push(`${request.method} ${request.url}: ${what}`);
      send(400, { message: what });
    };
    if (path === undefined) return fail('not of this version');
    const call = `${request.method} ${path}`;
    const q = url.searchParams;
    if (call === 'POST /images/create') return this.#pull(q.get('fromImage') ?? '', response);
    const image = /^GET \/images\/(.+)\/json$/.exec(call)?.[1];
    if (image !== undefined)
      return this.images.has(decodeURIComponent(image)) ? send(200, { Id: 'sha256:1' }) : send(404, { message: `No such image: ${image}` });
    if (call === 'POST /containers/create') {
      if (request.headers['content-type'] !== 'application/json') return fail('no JSON');
      return this.#create(q.get('name') ?? '', JSON.parse(body) as Container['body'], send);
    }
    if (call === 'GET /containers/json') {
      const filters = JSON.parse(q.get('filters') ?? '{}') as { label?: string[] };
      if (q.get('all') !== 'true' || !Array.isArray(filters.label)) return fail('filters');
      const [key, value] = filters.label[0].split('=');
      return send(
        200,
        this.containers.filter(({ body }) => body.Labels[key] === value).map(({ id, state }) => ({ Id: id, State: state })),
      );
    }
    const [, method, id, verb = ''] = /^(GET|POST|DELETE) \/containers\/([^/]+)\/?([a-z]*)$/.exec(call) ?? [];
    const container = this.containers.find((one) => one.id === id);
    if (id === undefined) return fail('there is no such endpoint');
    if (container === undefined) return send(404, { message: `No such container: ${id}` });
    this.#of(container, `${method} ${verb}`, q, response, send, fail);
  }

  #of(
    container: Container,
    call: string,
    q: URLSearchParams,
    response: ServerResponse,
    send: (status: number, json?: unknown) => void,
    fail: (what: string) => void,
  ): void {
    if (call === 'POST start') {
      if (this.startFails !== null) return send(500, { message: this.startFails });
      if (container.state === 'running') return send(304);
      container.state = 'running';
      if (this.serves) this.#serve(container);
      return send(204);
    }
    if (call === 'POST wait') {
      if (q.get('condition') !== 'not-running') return fail('condition');
      const done = (): void => send(200, { StatusCode: container.code });
      if (container.state === 'running') container.waiting.push(done);
      else done();
      return;
    }
    if (call === 'POST stop') {
      this.stops.push(q.get('t') ?? '');
      if (container.state !== 'running') return send(304);
      this.exit(container, 137);
      return send(204);
    }
    if (call === 'GET json') return send(200, { Id: container.id, NetworkSettings: { Networks: { apps: { IPAddress: '10.1.2.3' } } } });
    if (call === 'GET logs') {
      const frame = (stream: number, line: string): Buffer => {
        const head = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
        head.writeUInt32BE(Buffer.byteLength(line), 4);
        return Buffer.concat([head, Buffer.from(line)]);
      };
      if (q.get('stdout') !== 'true' || q.get('stderr') !== 'true') return fail('streams');
      response.writeHead(200, { 'content-type': 'application/vnd.docker.multiplexed-stream' }).end(Buffer.concat([frame(1, 'hello\n'), frame(2, 'oh no\n')]));
      return;
    }
    if (call !== 'DELETE ') return fail('there is no such endpoint');
    if (container.state === 'running') this.exit(container, 137);
    this.containers.splice(this.containers.indexOf(container), 1);
    for (const done of container.waiting.splice(0)) done();
    send(204);
  }

  #serve(container: Container): void {
    const port = Object.values(container.body.HostConfig.PortBindings ?? {})[0]?.[0]?.HostPort;
    const version = container.body.Env.find((each) => each.startsWith('SWITCHYARD_VERSION='))?.slice(19) ?? '';
    const sick = container.body.Env.includes('SICK=1');
    container.server = createServer((request, response) => {
      response.writeHead(sick && request.url === '/healthz' ? 500 : 200, { 'x-version': version }).end(version);
    }).listen(Number(port), '127.0.0.1');
  }

  #pull(image: string, response: ServerResponse): void {
    this.pulled.push(image);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"status":"Pulling"}\r\n');
    if (image.startsWith('missing')) {
      response.end('{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}\r\n');
      return;
    }
    this.images.add(image);
    response.end('{"status":"Downloaded newer image"}\r\n');
  }

  #create(name: string, body: Container['body'], send: (status: number, json?: unknown) => void): void {
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) return send(400, { message: 'Invalid container name' });
    if (!this.images.has(body.Image)) return send(404, { message: `No such image: ${body.Image}` });
    if (this.containers.some((one) => one.name === name)) return send(409, { message: 'Conflict. The container name is already in use' });
    const id = String(++this.#count).padStart(64, '0');
    this.containers.push({ id, name, body, state: 'created', code: 0, waiting: [], server: null });
    send(201, { Id: id, Warnings: [] });
  }
}
