/** One client with many connections, in a process of its own, that looks at every byte it gets: see tagged.ts. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { COMPLETE, LARGEST_BODY, bears, seeded, tagged } from './tagged.ts';
import type { ClientReport, TaggedLoad } from './tagged.ts';

const load = JSON.parse(process.argv[2]) as TaggedLoad;
const random = seeded(load.seed);
/** Far beyond every deadline of the proxy. */
const HANG_MS = 30_000;
const ABORT = 0.004;
const MOST_PIPELINED = 6;

const report = {
  sent: 0,
  answered: {} as Record<number, number>,
  plans: {} as Record<string, number>,
  cut: 0,
  unanswered: 0,
  aborted: 0,
  wrong: [] as string[],
};
let running = 0;

interface Message {
  readonly status: number;
  readonly tag: string | null;
  readonly plan: string;
  readonly close: boolean;
  /** What there is of the body; null = the head is not complete. */
  readonly body: Buffer;
  readonly complete: boolean;
  /** Bytes of the whole message. */
  readonly length: number;
}

function value(head: string, name: string): string | null {
  return new RegExp(`\r\n${name}: ([^\r]*)\r\n`, 'i').exec(head)?.[1] ?? null;
}

/** Reads the message at the start of the bytes; null = not even its head is there. */
function read(bytes: Buffer): Message | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const head = bytes.toString('latin1', 0, end + 2);
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? 0);
  const parts = { status, tag: value(head, 'x-tag'), plan: value(head, 'x-plan') ?? '', close: value(head, 'connection') === 'close' };
  const from = end + 4;
  if (status < 200) return { ...parts, body: Buffer.alloc(0), complete: true, length: from };
  if (value(head, 'transfer-encoding') === 'chunked') return { ...parts, ...readChunks(bytes, from) };
  const size = Number(value(head, 'content-length') ?? Number.NaN);
  return { ...parts, body: bytes.subarray(from, from + size), complete: bytes.length >= from + size, length: from + size };
}

function readChunks(bytes: Buffer, from: number): { body: Buffer; complete: boolean; length: number } {
  const parts: Buffer[] = [];
  for (let at = from; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const size = lineEnd === -1 ? Number.NaN : Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size)) return { body: Buffer.concat(parts), complete: false, length: 0 };
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
    if (bytes.length < at) return { body: Buffer.concat(parts), complete: false, length: 0 };
    if (size === 0) return { body: Buffer.concat(parts), complete: true, length: at };
  }
}

function request(tag: string): Buffer {
  const kind = random();
  if (kind < 0.5) return Buffer.from(`GET /${tag} HTTP/1.1\r\nHost: t\r\n\r\n`);
  const body = tagged(tag, Math.floor(random() * LARGEST_BODY));
  const line = `${kind < 0.8 ? 'POST' : 'PUT'} /${tag} HTTP/1.1\r\nHost: t\r\n`;
  if (kind < 0.75) return Buffer.concat([Buffer.from(`${line}Content-Length: ${body.length}\r\n\r\n`), body]);
  const half = body.length >> 1;
  const parts = [body.subarray(0, half), body.subarray(half)].filter(({ length }) => length > 0);
  const chunks = parts.flatMap((part) => [Buffer.from(`${part.length.toString(16)};x=y\r\n`), part, Buffer.from('\r\n')]);
  return Buffer.concat([Buffer.from(`${line}Transfer-Encoding: chunked\r\n\r\n`), ...chunks, Buffer.from('0\r\n\r\n')]);
}

class Connection {
  private readonly name: string;
  private readonly pipelines: boolean;
  private count = 0;
  private socket: Socket | null = null;
  private pending: Buffer = Buffer.alloc(0);
  private asked: string[] = [];
  private watchdog: NodeJS.Timeout | undefined;

  constructor(index: number) {
    this.name = load.name + String(index).padStart(3, '0');
    this.pipelines = index % 2 === 1;
    running++;
    this.open();
  }

  private open(): void {
    if (report.sent >= load.requests) return done();
    const socket = connect(load.port, '127.0.0.1');
    socket.setNoDelay(true);
    this.socket = socket;
    this.pending = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      if (this.socket === socket) this.received(chunk);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (this.socket === socket) this.closed();
    });
    this.ask();
  }

  private ask(): void {
    if (report.sent >= load.requests) {
      this.socket!.destroy();
      this.socket = null;
      clearTimeout(this.watchdog);
      return done();
    }
    const depth = this.pipelines ? 1 + Math.floor(random() * MOST_PIPELINED) : 1;
    const bytes: Buffer[] = [];
    for (let i = 0; i < depth; i++) {
      const tag = `${this.name}x${String(this.count++).padStart(7, '0')}`;
      this.asked.push(tag);
      bytes.push(request(tag));
    }
    report.sent += depth;
    this.write(Buffer.concat(bytes));
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      this.wrong(`no answer in ${HANG_MS} ms`);
      this.socket?.destroy();
    }, HANG_MS);
    if (random() < ABORT) this.abort();
  }

  /** Now and then in two pieces. */
  private write(bytes: Buffer): void {
    if (random() < 0.9) return void this.socket!.write(bytes);
    const { socket } = this;
    const at = Math.floor(random() * bytes.length);
    socket!.write(bytes.subarray(0, at));
    setTimeout(() => socket!.write(bytes.subarray(at)), 2);
  }

  private abort(): void {
    const { socket } = this;
    setTimeout(() => {
      if (this.socket !== socket || socket === null) return;
      this.socket = null;
      report.aborted += this.asked.length;
      this.asked = [];
      if (random() < 0.5) socket.destroy();
      else socket.resetAndDestroy();
      this.open();
    }, random() * 5);
  }

  private received(chunk: Buffer): void {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    for (let message = read(this.pending); message?.complete === true; message = read(this.pending)) {
      if (!this.take(message)) return;
    }
  }

  /** @returns whether there may be more on this connection. */
  private take(message: Message): boolean {
    const { status, tag, plan, body } = message;
    const own = this.asked[0];
    if (own === undefined) return this.wrong('an answer that nobody asked for');
    if (tag !== null && tag !== own) return this.wrong(`the answer of ${tag}`);
    this.pending = this.pending.subarray(message.length);
    if (status < 200) return true;
    this.asked.shift();
    report.answered[status] = (report.answered[status] ?? 0) + 1;
    if (status === 200) {
      report.plans[plan] = (report.plans[plan] ?? 0) + 1;
      if (tag === null || !bears(body, own)) return this.wrong(`a body that is not of ${own}`);
      if (!COMPLETE.has(plan)) return this.wrong(`an answer that looks complete, of plan ${plan}`);
    } else if ((status !== 502 && status !== 504) || tag !== null) return this.wrong(`status ${status}`);
    if (message.close) return true;
    if (this.asked.length === 0) this.ask();
    return true;
  }

  /** What came last may be a part of an answer, and only of our own. */
  private closed(): void {
    this.socket = null;
    const part = read(this.pending);
    const own = this.asked.shift();
    if (part !== null && (own === undefined || part.tag !== own || !bears(part.body, own))) this.wrong('a part of an answer that is not its own');
    if (this.pending.length > 0) report.cut++;
    else if (own !== undefined) report.unanswered++;
    report.unanswered += this.asked.length;
    this.asked = [];
    this.open();
  }

  private wrong(what: string): false {
    report.wrong.push(`${this.asked[0] ?? this.name} got ${what}: ${JSON.stringify(this.pending.toString('latin1').slice(0, 300))}`);
    this.socket?.destroy();
    return false;
  }
}

function done(): void {
  if (--running > 0) return;
  clearInterval(progress);
  process.send?.({ type: 'clients', ...report, wrong: report.wrong.slice(0, 10) } satisfies ClientReport, () => process.exit(0));
}

const progress = setInterval(() => process.send?.(report.sent), 250);
for (let i = 0; i < load.connections; i++) new Connection(i);
