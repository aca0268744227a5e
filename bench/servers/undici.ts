/**
 * node:http in front, undici's stream() behind: the usual way to write a proxy by hand. Arguments: port, backend port, and files
 * with a certificate and its key; with these node:http2 is in front, which speaks HTTP/1.1 too.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSecureServer } from 'node:http2';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { Pool } from 'undici';

const [port, backendPort] = process.argv.slice(2, 4).map(Number);
const [cert, key] = process.argv.slice(4).map((file) => readFileSync(file));
const pool = new Pool(`http://127.0.0.1:${backendPort}`, { connections: 1024, pipelining: 1 });
const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'proxy-connection', 'expect']);

function forwarded(request: IncomingMessage): string[] {
  const headers: string[] = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (request.rawHeaders[i].startsWith(':')) continue;
    if (!HOP.has(request.rawHeaders[i].toLowerCase())) headers.push(request.rawHeaders[i], request.rawHeaders[i + 1]);
  }
  headers.push('x-forwarded-for', request.socket.remoteAddress ?? '', 'x-forwarded-proto', cert === undefined ? 'http' : 'https');
  if (request.httpVersionMajor === 2) headers.push('host', String(request.headers[':authority']));
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

function listener(request: IncomingMessage, response: ServerResponse): void {
  relay(request, response).catch(() => {
    if (!response.headersSent) response.writeHead(502);
    response.end();
  });
}

/** The compatible interface of node:http2 is that of node:http. */
const compatible = listener as unknown as (request: Http2ServerRequest, response: Http2ServerResponse) => void;
const server = cert === undefined ? createServer({ keepAliveTimeout: 60_000 }, listener) : createSecureServer({ cert, key, allowHTTP1: true }, compatible);
server.listen(port, '127.0.0.1', 1024);
