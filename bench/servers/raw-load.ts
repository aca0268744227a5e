/** The bench's own client on plain sockets: for what autocannon cannot do, and where it would cost more than the subject. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { CHUNK, ChunkedReader } from '../../src/http/chunked.ts';
import type { LoadOrder } from '../load.ts';
import { MESSAGE_BYTES } from '../scenarios.ts';
import type { Scenario } from '../scenarios.ts';
import type { Tally } from './tally.ts';

const TIMEOUT_MS = 20_000;
/** An upload in chunks comes in pieces of so many bytes. */
const PIECE = 4096;

function requestOf(order: LoadOrder): Buffer[] {
  const { scenario } = order;
  const fields: Record<string, string> = { host: new URL(order.url).host, ...scenario.headers };
  if (scenario.reconnect) fields.connection = 'close';
  if (scenario.chunked) fields['transfer-encoding'] = 'chunked';
  else if (scenario.bodyBytes > 0) fields['content-length'] = String(scenario.bodyBytes);
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = Buffer.from(`${scenario.method} ${scenario.path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1');
  if (scenario.bodyBytes === 0) return [head];
  if (!scenario.chunked) return [head, Buffer.alloc(scenario.bodyBytes, 'x')];
  const size = Math.min(PIECE, scenario.bodyBytes);
  const piece = Buffer.from(`${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`, 'latin1');
  // Piece by piece, as a stream writes them.
  return [head, ...Array.from({ length: scenario.bodyBytes / size }, () => piece), Buffer.from('0\r\n\r\n', 'latin1')];
}

/** Counts an answer to its end: only 200, with a length or in chunks. */
class Answer {
  private head = '';
  private left = -1;
  private bytes = 0;
  private chunks: ChunkedReader | null = null;
  /** The other side will close. */
  closes = false;

  /** @returns true when the answer is complete. Throws when it is not what was expected. */
  take(data: Buffer): boolean {
    if (this.left !== -1) return this.body(data, 0);
    this.head += data.toString('latin1');
    const end = this.head.indexOf('\r\n\r\n');
    if (end === -1) return false;
    const from = data.length - (this.head.length - end - 4);
    const head = this.head.slice(0, end);
    if (!/^HTTP\/1\.[01] 200 /.test(head)) throw new Error(head.slice(0, 40));
    this.closes = /\r\nconnection: *close/i.test(head);
    this.left = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) this.chunks = new ChunkedReader();
    return this.body(data, from);
  }

  private body(data: Buffer, from: number): boolean {
    if (this.chunks === null) {
      this.bytes += data.length - from;
      if (this.bytes > this.left) throw new Error('more bytes than were said');
      return this.bytes === this.left;
    }
    for (let at = from; ; at = this.chunks.at) {
      const found = this.chunks.next(data, at, data.length);
      if (found === CHUNK.data) this.bytes += this.chunks.dataEnd - this.chunks.dataStart;
      else if (found === CHUNK.bad) throw new Error('the chunks are not valid');
      else return found === CHUNK.end;
    }
  }

  get length(): number {
    return this.bytes;
  }
}

function dial(url: string): Socket {
  const { hostname, port } = new URL(url);
  return connect({ host: hostname, port: Number(port), noDelay: true });
}

function go(socket: Socket, pieces: readonly Buffer[]): void {
  for (const piece of pieces) socket.write(piece);
}

/** Requests on one connection until `more` says no, or until the other side says that it closes; true when it ended as it should. */
function kept(order: LoadOrder, pieces: readonly Buffer[], tally: Tally, more: () => boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const { scenario } = order;
    const socket = dial(order.url);
    let answer = new Answer();
    let at = performance.now();
    let fine = false;
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('nothing has come')));
    socket.on('error', () => (fine = false));
    socket.on('close', () => resolve(fine));
    socket.on('data', (data: Buffer) => {
      try {
        fine = false;
        if (!answer.take(data)) return;
        fine = answer.length === scenario.answerBytes;
        if (!scenario.reconnect) tally.add(fine, (performance.now() - at) * 1000);
        if (answer.closes) return;
        // Some leave a connection open whose client has asked for its end.
        if (scenario.reconnect) return void socket.end();
        if (!more()) return void socket.destroy();
      } catch {
        return void socket.destroy();
      }
      answer = new Answer();
      at = performance.now();
      go(socket, pieces);
    });
    go(socket, pieces);
  });
}

export async function raw(order: LoadOrder, tally: Tally): Promise<void> {
  const { scenario } = order;
  const pieces = requestOf(order);
  let left = order.amount ?? Infinity;
  const more = (): boolean => left-- > 0 && (order.amount !== undefined || tally.elapsed < order.seconds * 1000);
  const client = async (): Promise<void> => {
    while (more()) {
      const at = performance.now();
      const fine = await kept(order, pieces, tally, more);
      // Of a connection for one request, opening and closing belong to its time.
      if (scenario.reconnect) tally.add(fine, (performance.now() - at) * 1000);
      else if (!fine) tally.failed++;
      if (!fine && tally.failed > 1_000) throw new Error('more than 1 000 requests have failed');
    }
  };
  await Promise.all(Array.from({ length: scenario.connections }, client));
}

/** One masked text frame (RFC 6455 §5.2). */
function frame(): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | MESSAGE_BYTES]), Buffer.alloc(4), Buffer.alloc(MESSAGE_BYTES, 'x')]);
}

const ECHO_BYTES = MESSAGE_BYTES + 2;

function tunnel(order: LoadOrder, scenario: Scenario, tally: Tally): Promise<void> {
  return new Promise((resolve, reject) => {
    const message = frame();
    const socket = dial(order.url);
    let head = '';
    let open = false;
    let done = false;
    let have = 0;
    let at = 0;
    const send = (): void => {
      at = performance.now();
      socket.write(message);
    };
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('no answer in the tunnel')));
    socket.on('error', (error) => (done ? resolve() : reject(error)));
    socket.on('close', () => (done ? resolve() : reject(new Error(`the tunnel has closed ${head.slice(0, 40)}`))));
    socket.on('data', (data: Buffer) => {
      if (!open) {
        head += data.toString('latin1');
        if (!head.endsWith('\r\n\r\n')) return undefined;
        if (!head.startsWith('HTTP/1.1 101')) return void socket.destroy();
        open = true;
        return send();
      }
      have += data.length;
      if (have < ECHO_BYTES) return undefined;
      tally.add(have === ECHO_BYTES && data.at(-1) === message.at(-1), (performance.now() - at) * 1000);
      have = 0;
      done = tally.elapsed >= order.seconds * 1000;
      if (!done) return send();
      return void socket.destroy();
    });
    const key = randomBytes(16).toString('base64');
    const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`;
    socket.write(`GET ${scenario.path} HTTP/1.1\r\nHost: ${new URL(order.url).host}\r\n${upgrade}\r\n`);
  });
}

export async function tunnels(order: LoadOrder, tally: Tally): Promise<void> {
  await Promise.all(Array.from({ length: order.scenario.connections }, () => tunnel(order, order.scenario, tally)));
}
