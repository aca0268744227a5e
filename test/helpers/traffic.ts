import { Agent, request } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { sleep } from './wait.ts';

/** One request as its client saw it. Times are of `performance.now()`. */
export interface Taken {
  /** Which of the clients asked. */
  readonly client: number;
  readonly began: number;
  readonly ended: number;
  /** null = no whole answer came. */
  readonly status: number | null;
  readonly version: string | null;
  readonly backend: string | null;
  readonly error: string | null;
  readonly path: string;
}

export interface TrafficOptions {
  readonly port: number;
  readonly clients: number;
  /** Every so many clients opens a connection for each request; the others keep theirs. 0 = none does. */
  readonly freshEvery?: number;
  /** Percent of the requests that are answered slowly (100–300 ms). */
  readonly slow?: number;
  /** Percent that are POSTs with up to 30 kB. */
  readonly posts?: number;
  /** Between an answer and the next request, in ms. */
  readonly pause?: number;
  /** Each request is of another client: a random `x-key`. */
  readonly keyed?: boolean;
  /** Over TLS; the proxy's certificate is believed. */
  readonly tls?: boolean;
}

const MOST_BODY = 30_000;
const BODY = Buffer.alloc(MOST_BODY, 'b');

function ask({ port, tls = false, keyed = false }: TrafficOptions, agent: Agent | false, path: string, body: Buffer | null): Promise<Omit<Taken, 'client'>> {
  const began = performance.now();
  return new Promise((resolve) => {
    let answer: IncomingMessage | null = null;
    const done = (error: string | null): void => {
      const whole = error === null && answer !== null;
      resolve({
        began,
        path,
        ended: performance.now(),
        error,
        status: whole ? (answer?.statusCode ?? null) : null,
        version: (answer?.headers['x-version'] as string | undefined) ?? null,
        backend: (answer?.headers['x-backend'] as string | undefined) ?? null,
      });
    };
    const key = keyed ? { 'x-key': String(Math.random()) } : {};
    const headers = body === null ? key : { ...key, 'content-length': body.length };
    const options = { host: '127.0.0.1', port, path, method: body === null ? 'GET' : 'POST', headers, agent, rejectUnauthorized: false };
    const sent = (tls ? tlsRequest : request)(options, (response) => {
      answer = response;
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      response.on('end', () => {
        const wrong = response.statusCode === 200 && body !== null && text !== String(body.length);
        done(!response.complete ? 'the answer is cut' : wrong ? `sent ${body.length} bytes, the backend got ${text}` : null);
      });
      response.on('error', (error: Error) => done(error.message));
    });
    sent.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    sent.end(body ?? undefined);
  });
}

/** Concurrent clients, each with one request at a time, until they are stopped. */
export class Traffic {
  readonly taken: Taken[] = [];
  #running = true;
  #clients: Promise<void>[];

  constructor(options: TrafficOptions) {
    this.#clients = Array.from({ length: options.clients }, (_, i) => this.#client(i, options));
  }

  async #client(index: number, options: TrafficOptions): Promise<void> {
    const { freshEvery = 4, slow = 5, posts = 30, pause = 4, tls = false } = options;
    const keeps = freshEvery === 0 || index % freshEvery !== 0;
    const agent = keeps ? new (tls ? TlsAgent : Agent)({ keepAlive: true, maxSockets: 1 }) : null;
    await sleep((pause * index) / 8);
    while (this.#running) {
      const isSlow = Math.random() * 100 < slow;
      const path = isSlow ? `/slow?ms=${100 + Math.floor(Math.random() * 200)}` : '/';
      const body = Math.random() * 100 < posts ? BODY.subarray(0, 1 + Math.floor(Math.random() * MOST_BODY)) : null;
      this.taken.push({ client: index, ...(await ask(options, agent ?? false, path, body)) });
      await sleep(pause);
    }
    agent?.destroy();
  }

  /** Lets each client finish the request it is at. */
  async stop(): Promise<readonly Taken[]> {
    this.#running = false;
    await Promise.all(this.#clients);
    return this.taken;
  }

  /** Requests that did not get a 200 with a whole body. */
  get failed(): readonly Taken[] {
    return this.taken.filter(({ status, error }) => status !== 200 || error !== null);
  }
}
