import { createServer } from 'node:net';

/** Below the range from which Linux takes the ports of outgoing connections, so that no client socket can sit on one. */
const FIRST = 12_000;
const LAST = 32_000;
const WINDOW = 40;

let next = FIRST + ((process.pid * WINDOW) % (LAST - FIRST));

function bindable(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A TCP port nobody listens on now. Each process walks a range of its own, so that parallel test files do not meet. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tried = 0; tried < LAST - FIRST; tried++) {
    const port = next;
    next = next + 1 < LAST ? next + 1 : FIRST;
    if (await bindable(port, host)) return port;
  }
  throw new Error(`no free port between ${FIRST} and ${LAST} on ${host}`);
}

/** `count` different free ports. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort(host));
  return ports;
}
