import { Client } from 'undici';

/** The newest version of the Docker Engine API that is known here; older engines are spoken to in theirs. */
const KNOWN = [1, 47] as const;
const TIMEOUT_MS = 30_000;
const MOST_ANSWER = 4 * 2 ** 20;

/** What the engine has refused, in its own words. */
export class EngineError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'EngineError';
    this.status = status;
  }
}

export interface EngineCall {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** Milliseconds until the answer begins, and between two pieces of it; 0 = no limit. */
  readonly timeout?: number;
}

/** Speaks to a Docker engine over its unix socket, each call on a connection of its own. */
export class Engine {
  private readonly socketPath: string;
  private prefix: Promise<string> | null = null;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /**
   * One call of the API; `path` without the version.
   * @throws EngineError for a status of 400 and more; Error when the engine cannot be reached
   */
  async call(method: 'GET' | 'POST' | 'DELETE', path: string, call: EngineCall = {}): Promise<Buffer> {
    this.prefix ??= this.version().catch((error: unknown) => {
      this.prefix = null;
      throw error;
    });
    return (await this.exchange(method, `${await this.prefix}${path}`, call)).body;
  }

  async json<T>(method: 'GET' | 'POST', path: string, call: EngineCall = {}): Promise<T> {
    return JSON.parse((await this.call(method, path, call)).toString()) as T;
  }

  private async version(): Promise<string> {
    const { headers } = await this.exchange('GET', '/_ping', {});
    const told = headers['api-version'];
    const [major, minor] = (typeof told === 'string' ? told : '').split('.').map(Number);
    if (!Number.isInteger(major) || !Number.isInteger(minor)) throw new Error(`what answers at ${this.socketPath} is no Docker engine`);
    const newer = major > KNOWN[0] || (major === KNOWN[0] && minor > KNOWN[1]);
    return newer ? `/v${KNOWN.join('.')}` : `/v${major}.${minor}`;
  }

  private async exchange(method: 'GET' | 'POST' | 'DELETE', path: string, { query = {}, body, signal, timeout = TIMEOUT_MS }: EngineCall) {
    const connect = { socketPath: this.socketPath, timeout: TIMEOUT_MS };
    const client = new Client('http://docker', { connect, headersTimeout: timeout, bodyTimeout: timeout });
    try {
      const search = new URLSearchParams(query).toString();
      const answer = await client.request({
        method,
        path: search === '' ? path : `${path}?${search}`,
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
        signal,
        reset: true,
      });
      const bytes = await whole(answer.body);
      if (answer.statusCode >= 400) throw new EngineError(answer.statusCode, messageIn(bytes) ?? `the Docker engine answered ${answer.statusCode}`);
      return { headers: answer.headers, body: bytes };
    } catch (error) {
      if (error instanceof EngineError || signal?.aborted === true) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      throw new Error(`the Docker engine at ${this.socketPath} cannot be reached: ${code ?? message}`, { cause: error });
    } finally {
      await client.destroy();
    }
  }
}

/** The end of what was answered, when it is more than is kept. */
async function whole(body: AsyncIterable<unknown>): Promise<Buffer> {
  let bytes: Buffer = Buffer.alloc(0);
  for await (const chunk of body) {
    const all = Buffer.concat([bytes, chunk as Buffer]);
    bytes = all.length > MOST_ANSWER ? all.subarray(all.length - MOST_ANSWER) : all;
  }
  return bytes;
}

function messageIn(bytes: Buffer): string | null {
  try {
    const { message } = JSON.parse(bytes.toString()) as { message?: unknown };
    return typeof message === 'string' ? message : null;
  } catch {
    return null;
  }
}
