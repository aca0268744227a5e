/** The backend of the bench where nginx is not installed. Argument: port. */
import { createServer } from 'node:http';
import { LARGE_BYTES, SMALL_ANSWER } from '../scenarios.ts';

const large = Buffer.alloc(LARGE_BYTES, 'x');
const server = createServer((request, response) => {
  const body = request.url === '/large' ? large : SMALL_ANSWER;
  const answer = (): void => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length });
    response.end(body);
  };
  if (request.method === 'GET') answer();
  else request.on('end', answer).resume();
});
server.keepAliveTimeout = 600_000;
server.listen(Number(process.argv[2]), '127.0.0.1', 1024);
