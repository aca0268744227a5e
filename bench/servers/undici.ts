/** node:http in front, undici's stream() behind: the usual way to write a proxy by hand. Arguments: port, backend port. */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Pool } from 'undici';

const [port, backendPort] = process.argv.slice(2).map(Number);
const pool = new Pool(`http://127.0.0.1:${backendPort}`, { connections: 1024, pipelining: 1 });
const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'proxy-connection', 'expect']);

function forwarded(request: IncomingMessage): string[] {
  const headers: string[] = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (!HOP.has(request.rawHeaders[i].toLowerCase())) headers.push(request.rawHeaders[i], request.rawHeaders[i + 1]);
  }
  headers.push('x-forwarded-for', request.socket.remoteAddress ?? '', 'x-forwarded-proto', 'http');
  return headers;
}

async function relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const method = request.method ?? 'GET';
  const body = method === 'GET' || method === 'HEAD' ? null : request;
  await pool.stream({ method, path: request.url ?? '/', headers: forwarded(request), body, responseHeaders: 'raw' }, ({ statusCode, headers }) => {
    const raw = headers as unknown as Buffer[];
    const kept: string[] = [];
    for (let i = 0; i < raw.length; i += 2) {
      const name = raw[i].toString('latin1');
      if (!HOP.has(name.toLowerCase())) kept.push(name, raw[i + 1].toString('latin1'));
    }
    response.writeHead(statusCode, kept);
    return response;
  });
}

const server = createServer((request, response) => {
  relay(request, response).catch(() => {
    if (!response.headersSent) response.writeHead(502);
    response.end();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(port, '127.0.0.1', 1024);
