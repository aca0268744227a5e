/**
 * Backends in a process of their own: they stamp their version, and record when each request began and ended. Started by
 * backends.ts, ordered about by messages.
 *
 * Paths: `/healthz` · `/slow?ms=N` · `/hold` (until let go) · `/events` (SSE) · `/ws` (echo; `?flood` = large messages without end)
 * · anything else answers at once. Every answer has `x-version` and `x-backend`; that to a body tells its length.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { Answers, HealthMode, Order, OrderMessage, Reply, VersionRecord } from './backend_messages.ts';

const EVENT_MS = 20;
const SLOW_MS = 60;
const FRAGMENT = Buffer.alloc(30_000, 'f');
const FRAGMENTS = 20;

interface Backend {
  readonly version: Version;
  readonly server: Server;
  readonly port: number;
  health: HealthMode;
  answers: Answers;
  passed: number;
}

class Version {
  readonly id: string;
  readonly backends: Backend[] = [];
  readonly holding = new Set<() => void>();
  readonly byPort: Record<number, number> = {};
  begun = 0;
  ended = 0;
  held = 0;
  passedAtFirst: number | null = null;
  firstBeganAt = 0;
  lastBeganAt = 0;
  lastEndedAt = 0;

  constructor(id: string) {
    this.id = id;
  }

  begin(port: number): void {
    this.passedAtFirst ??= Math.min(...this.backends.map(({ passed }) => passed));
    this.begun++;
    this.held++;
    this.byPort[port] = (this.byPort[port] ?? 0) + 1;
    this.lastBeganAt = Date.now();
    this.firstBeganAt ||= this.lastBeganAt;
  }

  /** Called before the last byte of an answer is written, so that nobody can know of the end earlier. */
  end(): void {
    this.ended++;
    this.lastEndedAt = Date.now();
  }

  record(): VersionRecord {
    const { begun, ended, held, passedAtFirst, firstBeganAt, lastBeganAt, lastEndedAt, byPort } = this;
    return { begun, ended, held, passedAtFirst, firstBeganAt, lastBeganAt, lastEndedAt, byPort };
  }
}

const versions = new Map<string, Version>();

function versionOf(id: string): Version {
  const known = versions.get(id) ?? new Version(id);
  versions.set(id, known);
  return known;
}

function probe(backend: Backend, response: ServerResponse): void {
  if (backend.health === 'silent') return;
  if (backend.health === 'ok') backend.passed++;
  response.writeHead({ ok: 200, fail: 500, gone: 404 }[backend.health]).end();
}

async function bodyLength(request: IncomingMessage): Promise<number> {
  let length = 0;
  for await (const chunk of request) length += (chunk as Buffer).length;
  return length;
}

function answer(request: IncomingMessage, response: ServerResponse, backend: Backend): void {
  const url = new URL(request.url ?? '/', 'http://backend');
  if (url.pathname === '/healthz') return probe(backend, response);
  const { version } = backend;
  version.begin(backend.port);
  let over = false;
  const finish = (status: number, text: string): void => {
    if (over) return;
    over = true;
    version.end();
    version.held--;
    response.writeHead(status, { 'content-length': text.length, 'x-version': version.id, 'x-backend': String(backend.port) }).end(text);
  };
  response.on('close', () => {
    if (!over) version.held--;
    over = true;
  });
  if (backend.answers === 'reset') return void request.socket.resetAndDestroy();
  if (backend.answers === 'error') return finish(500, 'wrong');
  if (url.pathname === '/events') return events(url, response, version);
  bodyLength(request).then(
    (length) => {
      if (url.pathname === '/hold') version.holding.add(() => finish(200, version.id));
      else if (url.pathname === '/slow') setTimeout(() => finish(200, `${length}`), Number(url.searchParams.get('ms')));
      else if (backend.answers === 'slow') setTimeout(() => finish(200, `${length}`), SLOW_MS);
      else finish(200, `${length}`);
    },
    () => undefined,
  );
}

/** Events of three lines each, in pieces that do not respect their ends. */
function events(url: URL, response: ServerResponse, { id }: Version): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-version': id });
  let n = 0;
  const text = 'x'.repeat(Number(url.searchParams.get('size') ?? 40));
  const timer = setInterval(() => {
    const event = `id: ${n++}\ndata: ${id} ${text}\ndata: end\n\n`;
    const half = event.length >> 1;
    response.write(event.slice(0, half));
    setTimeout(() => response.write(event.slice(half)), EVENT_MS / 2);
  }, EVENT_MS);
  response.on('close', () => clearInterval(timer));
}

/** Messages of 600 kB in 20 fragments, one after the other. */
function flood(socket: WebSocket, n = 0): void {
  if (socket.readyState !== socket.OPEN) return;
  socket.send(FRAGMENT, { binary: true, fin: n % FRAGMENTS === FRAGMENTS - 1 }, (error) => {
    if (!error) setImmediate(() => flood(socket, n + 1));
  });
}

function sockets(backend: Backend): void {
  const server = new WebSocketServer({ server: backend.server, path: '/ws' });
  server.on('connection', (socket, request) => {
    backend.version.begin(backend.port);
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      backend.version.end();
      backend.version.held--;
    });
    socket.on('message', (data, binary) => socket.send(data, { binary }));
    if (request.url?.includes('flood')) flood(socket);
    else socket.send(`hello from ${backend.version.id}`);
  });
}

function listen({ version: id, health }: Extract<Order, { type: 'listen' }>, port: number): Promise<number> {
  const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => answer(request, response, backend));
  const version = versionOf(id);
  const backend: Backend = { version, server, port, health, answers: 'normal', passed: 0 };
  sockets(backend);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      version.backends.push(backend);
      resolve(port);
    });
  });
}

function chosen(order: { version: string; port: number | null }): Backend[] {
  return versionOf(order.version).backends.filter(({ port }) => order.port === null || order.port === port);
}

async function obey(order: Order): Promise<unknown> {
  switch (order.type) {
    case 'listen':
      return Promise.all(order.ports.map((port) => listen(order, port)));
    case 'health':
      for (const backend of chosen(order)) backend.health = order.health;
      return null;
    case 'answers':
      for (const backend of chosen(order)) backend.answers = order.answers;
      return null;
    case 'let-go': {
      const { holding } = versionOf(order.version);
      for (const go of holding) go();
      const count = holding.size;
      holding.clear();
      return count;
    }
    case 'record':
      return versionOf(order.version).record();
    case 'close': {
      const { backends } = versionOf(order.version);
      for (const backend of chosen(order)) {
        backend.server.close();
        backend.server.closeAllConnections();
        backends.splice(backends.indexOf(backend), 1);
      }
      return null;
    }
  }
}

process.on('message', ({ id, order }: OrderMessage) => {
  obey(order).then(
    (value) => process.send?.({ id, value: value ?? null, error: null } satisfies Reply),
    (error: unknown) => process.send?.({ id, value: null, error: String(error) } satisfies Reply),
  );
});
process.on('disconnect', () => process.exit(0));
