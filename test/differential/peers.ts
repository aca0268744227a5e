import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { nginxFrame } from '../../bench/subjects/nginx.ts';
import { installed } from '../../bench/subjects/subject.ts';
import { judgeRequest, valuesOf } from '../fuzz/judge.ts';
import { freePort } from '../helpers/ports.ts';
import { tempDir } from '../helpers/temp.ts';
import type { Teardown } from '../helpers/temp.ts';
import { eventually, sleep } from '../helpers/wait.ts';

export interface Read {
  readonly method: string;
  readonly target: string;
  readonly body: string;
}

/** What came of the bytes of one connection. */
export interface Reading {
  readonly messages: readonly Read[];
  /** It answered with an error, or hung up on what it could not read. */
  readonly refused: boolean;
}

export type Quiet = (soFar: Reading) => number;

/** Another reader of HTTP/1.1. */
export interface Peer {
  readonly name: string;
  /** Sends these bytes on a connection of their own, and waits until nothing has happened for so many ms as `quiet` says of what came. */
  read(text: string, quiet: Quiet): Promise<Reading>;
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const LOOK_MS = 10;

/** Sends, and gives back the answer and what was read elsewhere: `found`, by the port of the client. */
async function converse(port: number, text: string, quiet: Quiet, found: Map<number, Read[]>): Promise<Reading> {
  const socket = connect({ port, host: '127.0.0.1' });
  let answer = '';
  let closed = false;
  socket.setEncoding('latin1').on('data', (data: string) => (answer += data));
  socket.on('error', () => undefined).on('close', () => (closed = true));
  await once(socket, 'connect');
  const clientPort = socket.localPort!;
  // Of a client that had this port before, and did not wait so long.
  found.delete(clientPort);
  socket.write(text, 'latin1');
  const soFar = (): Reading => ({ messages: found.get(clientPort) ?? [], refused: refusedIn(answer) });
  for (let [before, since, enough] = [-1, performance.now(), Infinity]; !closed && performance.now() - since < enough; await sleep(LOOK_MS)) {
    const now = answer.length + (found.get(clientPort)?.length ?? 0) * 1e6;
    if (now !== before) [before, since, enough] = [now, performance.now(), quiet(soFar())];
  }
  socket.destroy();
  const all = soFar();
  found.delete(clientPort);
  return all;
}

/** Statuses of the answers that are not the backend's. */
function refusedIn(answer: string): boolean {
  return /(?:^|ok|\n)HTTP\/1\.[01] [45]\d\d/.test(answer);
}

async function listening(t: Teardown, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** The parser of node:http, strict. */
export async function nodePeer(t: Teardown): Promise<Peer> {
  const found = new Map<number, Read[]>();
  const server = createHttpServer({ insecureHTTPParser: false, requireHostHeader: true, keepAliveTimeout: 60_000 }, (request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (data: string) => (body += data));
    request.on('error', () => undefined);
    request.on('end', () => {
      const port = request.socket.remotePort!;
      found.set(port, [...(found.get(port) ?? []), { method: request.method!, target: request.url!, body }]);
      response.end('ok');
    });
  });
  server.on('clientError', (_, socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const port = await listening(t, server);
  return {
    name: 'node:http',
    read: (text, quiet) => converse(port, text, quiet, found),
  };
}

/** Records what a proxy forwards, by the client port that the proxy names in X-Case. */
async function recorder(t: Teardown): Promise<{ port: number; found: Map<number, Read[]> }> {
  const found = new Map<number, Read[]>();
  const serve = (socket: Socket): void => {
    let text = '';
    let at = 0;
    socket.on('error', () => undefined);
    socket.setEncoding('latin1').on('data', (data: string) => {
      text += data;
      for (;;) {
        const message = judgeRequest(text, at, false);
        if (message === null || typeof message === 'string' || !message.complete) return;
        const [method, target] = message.start;
        const from = Number(valuesOf(message.fields, 'x-case')[0]);
        found.set(from, [...(found.get(from) ?? []), { method, target, body: message.body }]);
        at = message.end;
        socket.write(method === 'HEAD' ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n' : OK);
      }
    });
  };
  return { port: await listening(t, createServer(serve)), found };
}

/** A proxy of another make, in front of the recorder; null when it is not installed here. */
async function proxyPeer(t: Teardown, name: string, configure: (dir: string, port: number, backendPort: number) => readonly string[]): Promise<Peer | null> {
  const program = installed(name);
  if (program === null) return null;
  const { port: backendPort, found } = await recorder(t);
  const dir = await tempDir(t, `switchyard-${name}`);
  const port = await freePort();
  const child = spawn(program, configure(dir, port, backendPort), { stdio: 'ignore' });
  t.teardown(async () => {
    if (child.exitCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
  await eventually(`${name} listens`, async () => {
    const socket = connect({ port, host: '127.0.0.1' });
    const up = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return up;
  });
  return {
    name,
    read: (text, quiet) => converse(port, text, quiet, found),
  };
}

export function nginxPeer(t: Teardown): Promise<Peer | null> {
  return proxyPeer(t, 'nginx', (dir, port, backendPort) => {
    const file = join(dir, 'nginx.conf');
    const http = `  upstream recorder { server 127.0.0.1:${backendPort}; keepalive 64; }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 0;
    location / {
      proxy_pass http://recorder;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host a.example;
      proxy_set_header X-Case $remote_port;
    }
  }`;
    writeFileSync(file, nginxFrame(dir, http));
    return ['-p', dir, '-c', file, '-e', join(dir, 'error.log')];
  });
}

export function haproxyPeer(t: Teardown): Promise<Peer | null> {
  return proxyPeer(t, 'haproxy', (dir, port, backendPort) => {
    const file = join(dir, 'haproxy.cfg');
    const text = `global
  nbthread 1
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:${port}
  http-request set-header X-Case %[src_port]
  http-request set-header Host a.example
  default_backend recorder
backend recorder
  server s 127.0.0.1:${backendPort}
`;
    writeFileSync(file, text);
    return ['-db', '-f', file];
  });
}
