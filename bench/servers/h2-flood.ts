/**
 * A hostile HTTP/2 client over TLS: floods of one kind on some connections at a time, each as fast as the other side takes it, and
 * begun anew when it is ended, so many a second at most. Prints a line `begun`, and ends on SIGTERM with a line
 * `{connections, bytes}`: how many there were, and how much was sent. Arguments: port, kind, connections, new ones a second.
 */
import { constants, setPriority } from 'node:os';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { FLOODS } from '../../test/helpers/h2_floods.ts';
import { FLAG, FRAME, frame, get, hpack, PREFACE, settings, uint32 } from '../../test/helpers/h2_raw.ts';

const [port, kind, atATime, aSecond] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
/** Each client that reads slowly asks for so many bodies, and opens their windows by so much, so often. */
const SLOW = { streams: 50, bytes: 100, everyMs: 500 };
const SLOW_IDS = Array.from({ length: SLOW.streams }, (_, i) => 1 + 2 * i);
const isSlow = kind === 'slow readers';
if (!isSlow && !Object.hasOwn(FLOODS, kind)) throw new Error(`there is no flood ${kind}`);

/** Made once: making them would take the core from the load. Behind the last, a connection is begun anew. */
const PIECES = isSlow
  ? [Buffer.concat(SLOW_IDS.map((id) => frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, hpack(get('/10mb')))))]
  : Array.from({ length: 64 }, (_, n) => FLOODS[kind](n));
const BEGIN = Buffer.concat([Buffer.from(PREFACE), isSlow ? settings([4, 0]) : settings()]);
const OPENED = Buffer.concat([0, ...SLOW_IDS].map((id) => frame(FRAME.windowUpdate, 0, id, uint32(SLOW.bytes))));
/** It shares a core with the load, and must not take it away. */
setPriority(constants.priority.PRIORITY_LOW);

let [connections, bytes, open] = [0, 0, 0];

function readSlowly(socket: TLSSocket): void {
  const timer = setInterval(() => socket.write(OPENED), SLOW.everyMs);
  socket.on('close', () => clearInterval(timer));
}

function flood(): void {
  connections++;
  open++;
  const socket = connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
  socket.setNoDelay(true);
  let n = 0;
  const more = (): void => {
    while (n < PIECES.length && socket.writable) {
      const piece = PIECES[n++];
      bytes += piece.length;
      if (!socket.write(piece)) return;
    }
    if (!isSlow && n === PIECES.length) socket.destroy();
  };
  socket.on('secureConnect', () => {
    socket.write(BEGIN);
    more();
    if (isSlow) readSlowly(socket);
  });
  socket.on('drain', more);
  socket.on('end', () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('close', () => open--);
  socket.resume();
}

setInterval(() => {
  if (open < atATime) flood();
}, 1000 / aSecond);
process.on('SIGTERM', () => {
  console.log(JSON.stringify({ connections, bytes }));
  process.exit(0);
});
console.log('begun');
