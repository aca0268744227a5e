/** fast-proxy over undici, the faster of its two ways. Arguments: port, backend port. */
import { createServer } from 'node:http';
import fastProxy from 'fast-proxy';

const [port, backendPort] = process.argv.slice(2).map(Number);
const fast = fastProxy({ base: `http://127.0.0.1:${backendPort}`, undici: { connections: 1024, pipelining: 1 } });
const server = createServer((request, response) => fast.proxy(request, response, request.url ?? '/', {}));
server.keepAliveTimeout = 60_000;
server.listen(port, '127.0.0.1', 1024);
