/**
 * Slow clients: each opens a connection and sends its request head one byte at a time, without end. Prints a line
 * `{open, failed}` when all are there, and a line `{seconds, answered}` when the proxy has ended the last of them: how long after
 * all were there, and how many were told why. Arguments: port, how many, ms between two bytes of one client.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const [port, count, everyMs] = process.argv.slice(2).map(Number);
const HEAD = `GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ${'x'.repeat(1_000)}`;
/** At a time, so that no accept queue overflows. */
const AT_A_TIME = 200;
/** Of one address, so that there are ports enough. */
const PER_ADDRESS = 1_000;
const TICK_MS = 50;

interface Client {
  readonly socket: Socket;
  sent: number;
}

const clients = new Set<Client>();
let [failed, answered, next, began] = [0, 0, 0, 0];
let complete = false;

function sayGone(): void {
  if (complete && clients.size === 0) console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000, answered }));
}

function open(index: number): Promise<void> {
  return new Promise((resolve) => {
    const localAddress = `127.0.0.${2 + Math.floor(index / PER_ADDRESS)}`;
    const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
    const client: Client = { socket, sent: 1 };
    socket.once('connect', () => {
      clients.add(client);
      socket.write(HEAD[0]);
      resolve();
    });
    socket.once('data', () => answered++);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (clients.delete(client)) sayGone();
      else failed++;
      resolve();
    });
  });
}

await Promise.all(
  Array.from({ length: AT_A_TIME }, async () => {
    while (next < count) await open(next++);
  }),
);
complete = true;
began = performance.now();
console.log(JSON.stringify({ open: clients.size, failed }));
sayGone();

// Their bytes are spread over the time, as those of so many clients are.
const turns = Math.max(1, Math.round(everyMs / TICK_MS));
const lists: Client[][] = Array.from({ length: turns }, () => []);
for (const [i, client] of [...clients].entries()) lists[i % turns].push(client);
let turn = 0;
const timer = setInterval(() => {
  for (const client of lists[turn++ % turns]) if (clients.has(client)) client.socket.write(HEAD[client.sent++ % HEAD.length]);
  if (clients.size === 0) clearInterval(timer);
}, TICK_MS);
