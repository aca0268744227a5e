/**
 * TLS clients that come at a steady rate: each makes a full handshake, in TLS 1.2 and 1.3 by turns, sends one small GET, and goes with
 * its answer. When its standard input ends it waits for those that are under way and prints a line of JSON. Arguments: port, handshakes
 * a second, and the SHA-256 of the certificates that may be shown.
 */
import { connect } from 'node:tls';

const [port, rate] = process.argv.slice(2, 4).map(Number);
const allowed = new Set(process.argv.slice(4));
const TICK_MS = 10;
/** Past it the machine is too busy for the rate. */
const MOST_UNDER_WAY = 500;
const LATE_MS = 10_000;
const REQUEST = 'GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n';
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

const latencies: number[] = [];
const failed: Record<string, number> = {};
const shown: Record<string, number> = {};
let [begun, underWay, late] = [0, 0, 0];

function fail(reason: string): void {
  failed[reason] = (failed[reason] ?? 0) + 1;
}

function visit(): void {
  const version = VERSIONS[begun++ % VERSIONS.length];
  const since = performance.now();
  underWay++;
  let problem: string | null = 'closed without an answer';
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, minVersion: version, maxVersion: version });
  socket.setTimeout(LATE_MS, () => socket.destroy(new Error(`nothing for ${LATE_MS / 1000} s`)));
  socket.once('secureConnect', () => {
    latencies.push(performance.now() - since);
    const { fingerprint256 = 'none' } = socket.getPeerX509Certificate() ?? {};
    shown[fingerprint256] = (shown[fingerprint256] ?? 0) + 1;
    if (!allowed.has(fingerprint256)) fail('another certificate');
    socket.write(REQUEST);
  });
  socket.once('data', (answer: Buffer) => {
    problem = answer.toString('latin1', 0, 12) === 'HTTP/1.1 200' ? null : `answered ${answer.toString('latin1', 0, 12)}`;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => (problem = `${error.code ?? ''} ${error.message.split('\n')[0]}`.trim()));
  socket.on('close', () => {
    underWay--;
    if (problem !== null) fail(problem);
  });
}

const began = performance.now();
let due = 0;
const timer = setInterval(() => {
  due = ((performance.now() - began) / 1000) * rate;
  for (; begun + late < due;) {
    if (underWay < MOST_UNDER_WAY) visit();
    else late++;
  }
}, TICK_MS);

process.stdin.resume().on('end', () => {
  clearInterval(timer);
  const seconds = (performance.now() - began) / 1000;
  const ended = setInterval(() => {
    if (underWay > 0) return;
    clearInterval(ended);
    latencies.sort((a, b) => a - b);
    const at = (share: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN;
    console.log(JSON.stringify({ handshakes: latencies.length, failed, late, seconds, p50: at(0.5), p99: at(0.99), longest: at(1), shown }));
  }, TICK_MS);
});
