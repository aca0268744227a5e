/**
 * The bundled demo service: a small web service that shows which version and backend answered. Launched as any program is: its
 * version and port are in its environment.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { WebSocketServer } from 'ws';
import { page } from './_page.ts';

const LONGEST_WAIT = 60_000;
const TICK = 1000;
const GRACE = 10_000;
/** Between two looks for the proxy, and how long it may be away. */
const LOOK = 5_000;
const ALONE = 60_000;

interface Backend {
  readonly version: string;
  readonly address: string;
  count: number;
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(`${JSON.stringify(value)}\n`);
}

function sendPage(response: ServerResponse, { version, address, count }: Backend): void {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }).end(page(version, address, count));
}

function sendEvents(response: ServerResponse, { version, address }: Backend): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const tick = (): void => {
    response.write(`event: tick\ndata: ${JSON.stringify({ version, backend: address, at: new Date().toISOString() })}\n\n`);
  };
  tick();
  const timer = setInterval(tick, TICK);
  response.on('close', () => clearInterval(timer));
}

function answerSlowly(url: URL, response: ServerResponse, { version, address }: Backend): void {
  const asked = Number(url.searchParams.get('ms') ?? 1000);
  const ms = Number.isFinite(asked) ? Math.min(Math.max(asked, 0), LONGEST_WAIT) : 1000;
  const timer = setTimeout(() => sendJson(response, { version, backend: address, waitedMs: ms }), ms);
  response.on('close', () => clearTimeout(timer));
}

function countUpload(request: IncomingMessage, response: ServerResponse, { version, address }: Backend): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => sendJson(response, { version, backend: address, bytes }));
}

function answer(request: IncomingMessage, response: ServerResponse, backend: Backend): void {
  const url = new URL(request.url ?? '/', 'http://demo');
  if (url.pathname !== '/upload') request.resume();
  if (url.pathname === '/healthz') {
    response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    return;
  }
  backend.count++;
  if (url.pathname === '/') sendPage(response, backend);
  else if (url.pathname === '/api') sendJson(response, { version: backend.version, backend: backend.address, count: backend.count });
  else if (url.pathname === '/events') sendEvents(response, backend);
  else if (url.pathname === '/slow') answerSlowly(url, response, backend);
  else if (url.pathname === '/upload') countUpload(request, response, backend);
  else response.writeHead(404, { 'content-type': 'text/plain' }).end('There is no such page.\n');
}

/** Echoes WebSocket messages on `/ws`, after one that says who is at the other end. */
function addWebSocket(server: Server, { version, address }: Backend): WebSocketServer {
  const sockets = new WebSocketServer({ server, path: '/ws', maxPayload: 2 ** 20 });
  sockets.on('connection', (socket) => {
    socket.on('error', () => socket.terminate());
    socket.on('message', (data, binary) => socket.send(data, { binary }));
    socket.send(JSON.stringify({ version, backend: address }));
  });
  return sockets;
}

async function listen(version: string, host: string, port: number): Promise<() => void> {
  const backend: Backend = { version, address: `${host}:${port}`, count: 0 };
  let stopping = false;
  const server = createServer((request, response) => {
    // A connection that is busy when the end comes is not idle until its answer is out.
    response.on('close', () => stopping && setImmediate(() => server.closeIdleConnections()));
    answer(request, response, backend);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', (error: NodeJS.ErrnoException) => {
    reject(new Error(error.code === 'EADDRINUSE' ? `port ${port} of ${host} is in use` : `port ${port} of ${host}: ${error.message}`));
  });
  server.listen(port, host, resolve);
  await promise;
  const sockets = addWebSocket(server, backend);
  return () => {
    stopping = true;
    for (const socket of sockets.clients) socket.close(1001);
    server.close();
    server.closeIdleConnections();
  };
}

/** A demo that nobody has stopped, because its proxy was killed and never came back, ends by itself. */
function endAlone(admin: string, stop: () => void): void {
  let seen = performance.now();
  const look = async (): Promise<void> => {
    const there = await fetch(`${admin}/livez`, { signal: AbortSignal.timeout(LOOK) }).then(
      (answer) => answer.ok,
      () => false,
    );
    if (there) seen = performance.now();
    else if (performance.now() - seen > ALONE) stop();
  };
  setInterval(() => void look(), LOOK).unref();
}

async function main({ SWITCHYARD_VERSION: version = 'demo', SWITCHYARD_ADMIN_URL: admin, PORT = '' }: NodeJS.ProcessEnv): Promise<void> {
  const close = await listen(version, '127.0.0.1', Number(PORT));
  console.log(`${version} listens on 127.0.0.1:${PORT}`);
  const stop = (): void => {
    close();
    setTimeout(() => process.exit(0), GRACE).unref();
  };
  process.once('SIGTERM', stop);
  if (admin !== undefined) endAlone(admin, stop);
}

await main(process.env);
