/** Opens connections, makes one small request on each and keeps them: prints `{open, failed}` when all are there; ends with SIGTERM. Arguments: port, path, how many. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const [port, , count] = process.argv.slice(2).map(Number);
const path = process.argv[3];
/** At a time, so that no accept queue overflows. */
const AT_A_TIME = 100;
const held: Socket[] = [];
let failed = 0;
let next = 0;

function hold(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let answer = '';
    socket.on('data', (data: Buffer) => {
      answer += data.toString('latin1');
      // The answer of the bench's backend ends in a line, and so does no head before its end.
      if (!/\r\n\r\n.+\n$/s.test(answer)) return;
      if (answer.startsWith('HTTP/1.1 200')) held.push(socket);
      else failed++;
      socket.pause();
      resolve();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      failed++;
      resolve();
    });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
  });
}

await Promise.all(
  Array.from({ length: AT_A_TIME }, async () => {
    while (next++ < count) await hold();
  }),
);
console.log(JSON.stringify({ open: held.length, failed }));
