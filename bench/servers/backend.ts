/** The backend of the bench where nginx is not installed. Argument: port. */
import { createServer } from 'node:http';
import { CHUNKED_BYTES, FILES, SMALL_ANSWER } from '../answers.ts';

const small = Buffer.from(SMALL_ANSWER);
const bodies = new Map(Object.entries(FILES).map(([path, bytes]) => [path, Buffer.alloc(bytes, 'x')]));
const streamed = Buffer.alloc(CHUNKED_BYTES, 'x');
const server = createServer((request, response) => {
  const chunked = request.url === '/chunked';
  const body = chunked ? streamed : (bodies.get(request.url ?? '') ?? small);
  const answer = (): void => {
    response.writeHead(200, { 'content-type': 'text/plain', ...(chunked ? {} : { 'content-length': body.length }) });
    if (chunked) response.write(body);
    response.end(chunked ? undefined : body);
  };
  if (request.method === 'GET') answer();
  else request.on('end', answer).resume();
});
server.keepAliveTimeout = 600_000;
server.listen(Number(process.argv[2]), '127.0.0.1', 1024);
