/** A WebSocket server that sends every message back; plain requests get the small answer. Argument: port. */
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { SMALL_ANSWER } from '../answers.ts';

const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': SMALL_ANSWER.length });
  response.end(SMALL_ANSWER);
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket) => {
  socket.on('message', (data: Buffer, binary) => socket.send(data, { binary }));
  socket.on('error', () => socket.terminate());
});
server.keepAliveTimeout = 600_000;
server.listen(Number(process.argv[2]), '127.0.0.1', 1024);
