/** http-proxy with a keep-alive agent. Arguments: port, backend port, and files with a certificate and its key, if it is to speak TLS. */
import { readFileSync } from 'node:fs';
import { Agent, createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Socket } from 'node:net';
import httpProxy from 'http-proxy';

const [port, backendPort] = process.argv.slice(2, 4).map(Number);
const [cert, key] = process.argv.slice(4).map((file) => readFileSync(file));
const proxy = httpProxy.createProxyServer({
  target: { host: '127.0.0.1', port: backendPort },
  agent: new Agent({ keepAlive: true, maxSockets: 1024 }),
  xfwd: true,
});
const listener: RequestListener = (request, response) => {
  proxy.web(request, response, undefined, () => {
    if (!response.headersSent) response.writeHead(502);
    response.end();
  });
};
const server = cert === undefined ? createServer(listener) : createSecureServer({ cert, key }, listener);
server.on('upgrade', (request, socket: Socket, head: Buffer) => {
  proxy.ws(request, socket, head, undefined, () => socket.destroy());
});
server.keepAliveTimeout = 60_000;
server.listen(port, '127.0.0.1', 1024);
