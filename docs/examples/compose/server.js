// A web service as small as one can be: it says who it is, tells when it is ready, and ends in peace.
import { createServer } from 'node:http';

const { VERSION = 'v1', PORT = '8080' } = process.env;
const server = createServer((request, response) => {
  response.setHeader('content-type', 'text/plain');
  response.end(request.url === '/healthz' ? 'ok\n' : `${VERSION}\n`);
});
server.listen(Number(PORT));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
