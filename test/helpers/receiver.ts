import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { freePort } from './ports.ts';
import type { Teardown } from './temp.ts';
import { PATIENCE, eventually } from './wait.ts';

/** One POST as it came in. */
export interface Received {
  readonly id: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly event: { id: string; at: string; type: string; upstream: string | null; version: string | null; data: Record<string, unknown> };
  /** What it was answered; null = nothing, the connection was closed. */
  readonly status: number | null;
}

/** Somebody who is told of events. Signatures are computed here anew, with nothing of the proxy's code. */
export class Receiver {
  readonly port: number;
  readonly secret = 'the-secret-of-this-receiver';
  readonly all: Received[] = [];
  /** Ids of POSTs that were not answered, and whose connections the other side has ended. */
  readonly brokenOff: string[] = [];
  /** Decides what a POST is answered; `hang` = nothing. */
  answer: (event: Received['event']) => number | 'hang' = () => 204;
  /** Seconds that every answer says in Retry-After; null = nothing of the kind. */
  retryAfter: number | null = null;
  #server: ReturnType<typeof createServer> | null = null;

  private constructor(port: number) {
    this.port = port;
  }

  static async start(t: Teardown): Promise<Receiver> {
    const receiver = new Receiver(await freePort());
    t.teardown(() => receiver.close());
    await receiver.open();
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook?key=not-to-be-shown`;
  }

  async open(): Promise<void> {
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => {
        const event = JSON.parse(body) as Received['event'];
        const status = this.answer(event);
        this.all.push({ id: String(request.headers['webhook-id']), headers: request.headers, body, event, status: status === 'hang' ? null : status });
        if (status === 'hang') return void response.once('close', () => this.brokenOff.push(event.id));
        if (this.retryAfter !== null) response.setHeader('retry-after', this.retryAfter);
        response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end();
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** What was taken (2xx), each delivery once, in the order of the first time. */
  get taken(): Received[] {
    const ids = new Set<string>();
    return this.all.filter(({ id, status }) => status !== null && status < 300 && !ids.has(id) && ids.add(id));
  }

  types(upstream = 'web'): string[] {
    return this.taken.filter(({ event }) => event.upstream === upstream).map(({ event }) => event.type);
  }

  /** Whether a POST is signed with the secret, over the very bytes that came, and in the last five minutes. */
  isSigned({ headers, body }: Received): boolean {
    if (!(Math.abs(Date.now() / 1000 - Number(headers['webhook-timestamp'])) < 300)) return false;
    const content = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
    return headers['webhook-signature'] === `v1,${createHmac('sha256', this.secret).update(content).digest('base64')}`;
  }

  wait(what: string, done: (receiver: Receiver) => boolean, ms = PATIENCE): Promise<unknown> {
    return eventually(`${what}; taken: ${this.types().join(' ')}`, () => done(this), ms);
  }
}
