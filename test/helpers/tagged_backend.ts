/** Backends in a process of their own that answer with the tag of the request and commit faults: see tagged.ts. */
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { PLANS, TAG_LENGTH, LARGEST_BODY, bears, seeded, tagged } from './tagged.ts';
import type { BackendReport, Plan } from './tagged.ts';

const random = seeded(Number(process.argv[2]));
const count = Number(process.argv[3]);
const names = Object.keys(PLANS) as Plan[];
const total = Object.values(PLANS).reduce((sum, weight) => sum + weight, 0);
const plans: Record<string, number> = {};
const wrong: string[] = [];
let requests = 0;
let connections = 0;

function choosePlan(): Plan {
  let at = random() * total;
  return names.find((name) => (at -= PLANS[name]) < 0) ?? 'ok';
}

const CHUNK = 1_500;

function chunks(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; at += CHUNK) {
    const piece = body.subarray(at, at + CHUNK);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

function head(tag: string, plan: Plan, framing: string): string {
  return `HTTP/1.1 200 OK\r\nX-Tag: ${tag}\r\nX-Plan: ${plan}\r\n${framing}\r\n`;
}

const INTERIM = (tag: string): string => `HTTP/1.1 103 Early Hints\r\nX-Tag: ${tag}\r\nLink: </a.css>; rel=preload\r\n\r\n`;

/** What is written for a plan, and what becomes of the connection then: 'next' = the next request is read. */
function answer(tag: string, plan: Plan): { bytes: Buffer; then: 'next' | 'end' | 'reset' | 'silent' } {
  const length = Math.floor(random() * LARGEST_BODY);
  const body = tagged(tag, length);
  const sized = (says: number): Buffer => Buffer.concat([Buffer.from(head(tag, plan, `Content-Length: ${says}\r\n`)), body]);
  const chunkHead = Buffer.from(head(tag, plan, 'Transfer-Encoding: chunked\r\n'));
  const more = 1 + Math.floor(random() * 500);
  switch (plan) {
    case 'ok':
    case 'before-body':
      return { bytes: sized(length), then: 'next' };
    case 'chunked':
      return { bytes: Buffer.concat([chunkHead, chunks(body), Buffer.from('0\r\n\r\n')]), then: 'next' };
    case 'until-close':
      return { bytes: Buffer.concat([Buffer.from(head(tag, plan, '')), body]), then: 'end' };
    case 'interim':
      return { bytes: Buffer.concat([Buffer.from(INTERIM(tag).repeat(1 + Math.floor(random() * 9))), sized(length)]), then: 'next' };
    case 'short':
      return { bytes: sized(Math.floor(random() * length)), then: 'next' };
    case 'surplus':
      return { bytes: Buffer.concat([sized(length), tagged(tag, more)]), then: 'next' };
    case 'twice':
      return { bytes: Buffer.concat([sized(length), sized(length)]), then: 'next' };
    case 'long':
      return { bytes: sized(length + more), then: 'end' };
    case 'long-reset':
      return { bytes: sized(length + more), then: 'reset' };
    case 'long-silent':
      return { bytes: sized(length + more), then: 'silent' };
    case 'chunked-end':
      return { bytes: Buffer.concat([chunkHead, chunks(body)]), then: 'end' };
    case 'chunked-reset':
      return { bytes: Buffer.concat([chunkHead, chunks(body)]), then: 'reset' };
    case 'chunked-bad':
      return { bytes: Buffer.concat([chunkHead, chunks(body), Buffer.from('zz\r\nmore\r\n0\r\n\r\n')]), then: 'next' };
    case 'reset-before':
      return { bytes: Buffer.alloc(0), then: 'reset' };
    case 'reset-in-head':
      return { bytes: chunkHead.subarray(0, Math.floor(random() * chunkHead.length)), then: 'reset' };
    case 'end-in-head':
      return { bytes: chunkHead.subarray(0, Math.floor(random() * chunkHead.length)), then: 'end' };
    case 'bad-head':
      return { bytes: Buffer.from(head(tag, plan, `Content-Length: 5\r\nContent-Length: ${length}\r\n`)), then: 'next' };
    case 'interim-flood':
      return { bytes: Buffer.concat([Buffer.from(INTERIM(tag).repeat(30)), sized(length)]), then: 'next' };
    case 'endless-head':
      return { bytes: Buffer.from(head(tag, plan, `X-More: ${'m'.repeat(997)}\r\n`.repeat(100))), then: 'silent' };
    case 'never':
      return { bytes: Buffer.alloc(0), then: 'silent' };
  }
}

interface Asked {
  readonly tag: string;
  readonly plan: Plan;
  readonly length: number;
  readonly chunked: boolean;
}

/** Reads requests one after another; what is no well-formed, tagged request is written down as wrong. */
class Connection {
  readonly socket: Socket;
  private pending: Buffer = Buffer.alloc(0);
  private asked: Asked | null = null;
  private over = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
      while (!this.over && this.step());
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => socket.destroy());
  }

  private step(): boolean {
    if (this.asked === null && !this.readHead()) return false;
    const asked = this.asked!;
    const body = asked.chunked ? this.readChunks() : this.readSized(asked.length);
    if (body === null) return false;
    this.asked = null;
    if (!bears(body, asked.tag)) wrong.push(`the body of ${asked.tag} is ${JSON.stringify(body.toString('latin1').slice(0, 200))}`);
    if (asked.plan !== 'before-body') this.carryOut(asked);
    return true;
  }

  private readHead(): boolean {
    const end = this.pending.indexOf('\r\n\r\n');
    if (end === -1) return false;
    const text = this.pending.toString('latin1', 0, end);
    this.pending = this.pending.subarray(end + 4);
    requests++;
    const line = new RegExp(`^(GET|POST|PUT) /(\\w{${TAG_LENGTH}}) HTTP/1\\.1\r\n`).exec(text);
    if (line === null || text.indexOf('HTTP/1.1') !== text.lastIndexOf('HTTP/1.1')) {
      wrong.push(`a request head ${JSON.stringify(text.slice(0, 200))}`);
      this.finish('reset');
      return false;
    }
    const plan = choosePlan();
    plans[plan] = (plans[plan] ?? 0) + 1;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0);
    this.asked = { tag: line[2], plan, length, chunked: /\r\ntransfer-encoding: chunked/i.test(text) };
    if (plan === 'before-body') this.carryOut(this.asked);
    return true;
  }

  private readSized(length: number): Buffer | null {
    if (this.pending.length < length) return null;
    const body = this.pending.subarray(0, length);
    this.pending = this.pending.subarray(length);
    return body;
  }

  private readChunks(): Buffer | null {
    const parts: Buffer[] = [];
    for (let at = 0; ;) {
      const lineEnd = this.pending.indexOf('\r\n', at);
      if (lineEnd === -1) return null;
      const size = Number.parseInt(this.pending.toString('latin1', at, lineEnd), 16);
      const next = lineEnd + 2 + size + 2;
      if (Number.isNaN(size)) {
        wrong.push(`a chunk size ${JSON.stringify(this.pending.toString('latin1', at, at + 100))}`);
        this.finish('reset');
        return null;
      }
      if (this.pending.length < next) return null;
      parts.push(this.pending.subarray(lineEnd + 2, next - 2));
      at = next;
      if (size > 0) continue;
      this.pending = this.pending.subarray(at);
      return Buffer.concat(parts);
    }
  }

  private carryOut({ tag, plan }: Asked): void {
    const { bytes, then } = answer(tag, plan);
    if (bytes.length > 0) this.socket.write(bytes);
    if (then === 'next') return;
    // A reset would overtake what was written just now.
    if (then === 'reset' && bytes.length > 0) setTimeout(() => this.finish('reset'), 3);
    else this.finish(then);
  }

  private finish(how: 'end' | 'reset' | 'silent'): void {
    this.over = true;
    if (how === 'end') this.socket.end();
    else if (how === 'reset') this.socket.resetAndDestroy();
  }
}

const ports: number[] = [];
for (let i = 0; i < count; i++) {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections++;
    new Connection(socket);
  });
  server.listen(0, '127.0.0.1', () => {
    ports.push((server.address() as AddressInfo).port);
    if (ports.length === count) process.send?.(ports);
  });
}
process.on('message', () => process.send?.({ type: 'backend', requests, connections, plans, wrong: wrong.slice(0, 10) } satisfies BackendReport));
process.on('disconnect', () => process.exit(0));
