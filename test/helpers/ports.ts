import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';

/** Below the range from which Linux takes the ports of outgoing connections, so that no client socket can sit on one. */
const FIRST = 12_000;
const LAST = 32_000;
const BLOCK = 100;
const BLOCKS = (LAST - FIRST) / BLOCK;

let next = 0;
let end = 0;
/** One that is far from those of processes started just before. */
let block = (process.pid * 7) % BLOCKS;

/** A server that listens there, or null when somebody else does. */
function listening(port: number, host: string): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(null));
    server.listen({ port, host, exclusive: true }, () => resolve(server));
  });
}

async function bindable(port: number, host: string): Promise<boolean> {
  const server = await listening(port, host);
  if (server === null) return false;
  await new Promise((resolve) => server.close(resolve));
  return true;
}

/** Makes a block this process's own until it ends: whoever listens on its first port has it. */
async function claim(): Promise<void> {
  for (let tried = 0; tried < BLOCKS; tried++) {
    const first = FIRST + block * BLOCK;
    block = (block + 1) % BLOCKS;
    const guard = await listening(first, '127.0.0.1');
    if (guard === null) continue;
    guard.unref();
    [next, end] = [first + 1, first + BLOCK];
    return;
  }
  throw new Error(`no block of free ports between ${FIRST} and ${LAST}`);
}

/**
 * A TCP port nobody listens on, and that nobody else is given: between now and the moment when somebody listens there (or does again,
 * after a restart) lie seconds. No port is given twice.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    if (next >= end) await claim();
    else {
      const port = next++;
      if (await bindable(port, host)) return port;
    }
  }
}

/** `count` different free ports. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort(host));
  return ports;
}

/** The first of `count` ports that follow each other; all are this process's own, and some may be taken by strangers. */
export async function portRange(count: number): Promise<number> {
  if (end - next < count) await claim();
  const first = next;
  next += count;
  return first;
}

/** Whether somebody takes connections there. */
export function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
