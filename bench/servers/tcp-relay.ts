/** Bytes in, bytes out, nothing read: what sockets alone cost in Node, a floor. Arguments: port, backend port. */
import { connect, createServer } from 'node:net';

const [port, backendPort] = process.argv.slice(2).map(Number);
const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const backend = connect({ port: backendPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  client.pipe(backend);
  backend.pipe(client);
  client.on('error', () => backend.destroy());
  backend.on('error', () => client.destroy());
  client.on('close', () => backend.destroy());
});
server.listen({ port, host: '127.0.0.1', backlog: 1024 });
