/** http-proxy with a keep-alive agent. Arguments: port, backend port. */
import { Agent, createServer } from 'node:http';
import type { Socket } from 'node:net';
import httpProxy from 'http-proxy';

const [port, backendPort] = process.argv.slice(2).map(Number);
const proxy = httpProxy.createProxyServer({
  target: { host: '127.0.0.1', port: backendPort },
  agent: new Agent({ keepAlive: true, maxSockets: 1024 }),
  xfwd: true,
});
const server = createServer((request, response) => {
  proxy.web(request, response, undefined, () => {
    if (!response.headersSent) response.writeHead(502);
    response.end();
  });
});
server.on('upgrade', (request, socket: Socket, head: Buffer) => {
  proxy.ws(request, socket, head, undefined, () => socket.destroy());
});
server.keepAliveTimeout = 60_000;
server.listen(port, '127.0.0.1', 1024);
