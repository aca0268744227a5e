import { Agent, request } from 'undici';
import { CliError, EXIT } from './verb.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const HEADERS_TIMEOUT_MS = 30_000;

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface ApiAnswer<T> {
  readonly status: number;
  readonly body: T;
}

export interface Ask {
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** ETag of what the call is about: it is refused when that has changed since. */
  readonly ifMatch?: string;
  /** How long the answer may be held back on purpose, in milliseconds: a long poll. */
  readonly patience?: number;
  /** Makes a repeat of this very call harmless. */
  readonly idempotencyKey?: string;
}

/** A refusal of the admin API, with its problem document. */
export class ApiError extends CliError {
  readonly code: string;
  readonly problem: Readonly<Record<string, unknown>>;

  constructor(status: number, code: string, problem: Readonly<Record<string, unknown>>, message: string) {
    super(exitFor(status, code), message, hintFor(code));
    this.name = 'ApiError';
    this.code = code;
    this.problem = problem;
  }
}

/** The admin API could not be reached, or what answered is not one. */
export class Unreachable extends CliError {
  constructor(message: string, hint: string) {
    super(EXIT.unreachable, message, hint);
    this.name = 'Unreachable';
  }
}

function exitFor(status: number, code: string): number {
  if (code === 'nothing-kept' || code === 'launch-failed') return EXIT.failed;
  if (status === 409 || status === 412) return EXIT.conflict;
  return status >= 500 ? EXIT.failed : EXIT.usage;
}

function hintFor(code: string): string | null {
  const hints: Readonly<Record<string, string>> = {
    unauthorized: 'give a token with --token or SWITCHYARD_ADMIN_TOKEN',
    forbidden: 'use a token of scope operate',
    'no-such-upstream': 'see the upstreams with: switchyard status',
    'no-such-version': 'see the versions with: switchyard versions UPSTREAM; a new one needs --backend HOST:PORT',
    'swap-running': 'watch it with: switchyard status UPSTREAM --watch; end it with: switchyard abort UPSTREAM',
    'version-exists': 'a version never changes its backends: choose another id',
    'no-receipt': 'see what it waits for with: switchyard explain UPSTREAM ID',
    'nothing-kept': 'swap to an earlier version anew, and keep versions with --rollback-keep',
    'stale-revision': 'look at what has changed with: switchyard history',
    'foreign-origin': 'call it by the address it listens on',
  };
  return hints[code] ?? null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Speaks to one admin API. close() lets the process end. */
export class Client {
  readonly base: URL;
  private readonly token: string | undefined;
  private readonly actor: string | undefined;
  private readonly agent = new Agent({ connect: { timeout: CONNECT_TIMEOUT_MS }, pipelining: 1, connections: 4 });

  /** @param actor shown beside the token's name as who asked for a change. */
  constructor(base: URL, token: string | undefined, actor: string | undefined) {
    this.base = base;
    this.token = token;
    this.actor = actor;
  }

  /** Resolves with an answer of 2xx. Throws ApiError for a refusal and Unreachable when there is no admin API. */
  async call<T>(method: Method, path: string, ask: Ask = {}): Promise<ApiAnswer<T>> {
    const { status, text } = await this.exchange(method, path, ask, 'application/json');
    if (status === 204) return { status, body: undefined as T };
    const body = this.parse(status, text);
    if (status >= 300) throw this.refusal(status, body);
    return { status, body: body as T };
  }

  /** The events from now on, one by one; ends when the other side does. */
  async *events(query: Ask['query'], signal: AbortSignal): AsyncGenerator<{ type: string; data: string }> {
    const { body } = await this.open('GET', '/v1/events', { query, signal, patience: Infinity }, 'text/event-stream');
    let rest = '';
    for await (const chunk of body.setEncoding('utf8') as AsyncIterable<string>) {
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string): string =>
          block
            .split('\n')
            .find((line) => line.startsWith(`${name}: `))
            ?.slice(name.length + 2) ?? '';
        if (field('data') !== '') yield { type: field('event'), data: field('data') };
      }
    }
  }

  async close(): Promise<void> {
    await this.agent.destroy();
  }

  private async exchange(method: Method, path: string, ask: Ask, accept: string): Promise<{ status: number; text: string }> {
    const { status, body } = await this.open(method, path, ask, accept);
    try {
      return { status, text: await body.text() };
    } catch (error) {
      throw this.unreachable(error, ask.signal);
    }
  }

  private async open(method: Method, path: string, ask: Ask, accept: string) {
    const url = new URL(this.base.pathname.replace(/\/$/, '') + path, this.base);
    for (const [name, value] of Object.entries(ask.query ?? {})) if (value !== undefined) url.searchParams.set(name, value);
    const headers: Record<string, string> = { accept, 'user-agent': 'switchyard-cli' };
    if (this.token !== undefined) headers.authorization = `Bearer ${this.token}`;
    if (this.actor !== undefined) headers['x-switchyard-actor'] = this.actor;
    if (ask.body !== undefined) headers['content-type'] = 'application/json';
    if (ask.ifMatch !== undefined) headers['if-match'] = ask.ifMatch;
    if (ask.idempotencyKey !== undefined) headers['idempotency-key'] = ask.idempotencyKey;
    const patience = ask.patience ?? 0;
    try {
      const { statusCode, body } = await request(url, {
        method,
        headers,
        dispatcher: this.agent,
        signal: ask.signal,
        body: ask.body === undefined ? null : JSON.stringify(ask.body),
        headersTimeout: patience === Infinity ? HEADERS_TIMEOUT_MS : HEADERS_TIMEOUT_MS + patience,
        bodyTimeout: patience === Infinity ? 0 : HEADERS_TIMEOUT_MS,
      });
      if (patience === Infinity && statusCode !== 200) throw this.refusal(statusCode, this.parse(statusCode, await body.text()));
      return { status: statusCode, body };
    } catch (error) {
      throw this.unreachable(error, ask.signal);
    }
  }

  private parse(status: number, text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      throw this.stranger(status);
    }
  }

  private refusal(status: number, problem: unknown): CliError {
    if (!isRecord(problem) || typeof problem.code !== 'string') return this.stranger(status);
    return new ApiError(status, problem.code, problem, typeof problem.detail === 'string' ? problem.detail : problem.code);
  }

  private stranger(status: number): Unreachable {
    return new Unreachable(
      `${this.base.href} answered ${status}, but it is not a Switchyard admin API`,
      'name its address with --admin URL or SWITCHYARD_ADMIN_URL',
    );
  }

  private unreachable(error: unknown, signal: AbortSignal | undefined): unknown {
    if (error instanceof CliError || signal?.aborted === true) return error;
    const code = isRecord(error) || error instanceof Error ? (error as { code?: unknown }).code : undefined;
    const why = code === 'ECONNREFUSED' ? 'nothing listens there' : error instanceof Error && error.message !== '' ? error.message : String(code ?? error);
    return new Unreachable(
      `the admin API at ${this.base.href} cannot be reached: ${why}`,
      'is the proxy running? Name another address with --admin URL or SWITCHYARD_ADMIN_URL',
    );
  }
}
