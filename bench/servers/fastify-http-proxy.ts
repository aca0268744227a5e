/** @fastify/http-proxy as its documentation shows it, without a logger. Arguments: port, backend port. */
import httpProxy from '@fastify/http-proxy';
import Fastify from 'fastify';

const [port, backendPort] = process.argv.slice(2).map(Number);
const server = Fastify({ logger: false, keepAliveTimeout: 60_000 });
await server.register(httpProxy, {
  upstream: `http://127.0.0.1:${backendPort}`,
  websocket: true,
  undici: { connections: 1024, pipelining: 1 },
});
await server.listen({ port, host: '127.0.0.1', backlog: 1024 });
