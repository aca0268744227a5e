import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import type { Config, PullPolicy } from '../config/config.ts';
import { parseConfig } from '../config/parse.ts';
import { writeWhole } from '../disk/whole.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';

export interface RemoteOptions {
  /** https; http only to this machine. */
  readonly url: string;
  /** Sent as a bearer token. */
  readonly token?: string;
  /** The document must come with `X-Switchyard-Signature: sha256=<hex>`, HMAC-SHA256 over its bytes with this key. */
  readonly hmacKey?: string;
  /** The only digest (hex) that the document may have. */
  readonly sha256?: string;
  /** Where the last good document is kept. */
  readonly cacheFile: string;
  readonly tell: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** Calls `run` once after `ms`; the answer cancels it. Timers of Node unless told. */
  readonly after?: (ms: number, run: () => void) => () => void;
  /** From 0 to below 1; Math.random unless told. */
  readonly random?: () => number;
}

const MOST_BYTES = 4 * 2 ** 20;
const MOST_BACKOFF_MS = 300_000;
const CONNECT_MS = 5_000;
const FIRST: PullPolicy = { interval: 30_000, timeout: 10_000, enforce: false };

/** A configuration that is looked at over https, again and again: what is not new, not valid or not to be had changes nothing. */
export class Remote {
  /** Without what may be secret in it. */
  readonly name: string;
  private readonly options: RemoteOptions;
  private readonly agent = new Agent({ connect: { timeout: CONNECT_MS }, connections: 1 });
  private last: Config | null = null;
  private etag: string | null = null;
  private modified: string | null = null;
  private failures = 0;
  private cancel: () => void = () => undefined;
  private hear: (() => void) | null = null;

  constructor(options: RemoteOptions) {
    const url = URL.parse(options.url);
    const loopback = url !== null && /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname);
    if (url === null || (url.protocol !== 'https:' && !(url.protocol === 'http:' && loopback))) {
      throw new Refusal(REFUSAL.invalid, '--config-from: expected a file, a folder or an https URL (http only to this machine)');
    }
    this.options = options;
    this.name = url.origin + url.pathname;
  }

  /** The document to start with: the one that is there, or else the last good one. */
  async first(): Promise<Config> {
    try {
      return await this.load();
    } catch (error) {
      const kept = this.kept();
      if (kept === null) throw error instanceof Refusal ? error : new Refusal(REFUSAL.invalid, messageOf(error));
      this.options.tell('warn', `${messageOf(error)}; the proxy starts with the last good configuration`);
      return kept;
    }
  }

  private kept(): Config | null {
    try {
      this.last = this.parse(readFileSync(this.options.cacheFile, 'utf8'));
      return this.last;
    } catch {
      return null;
    }
  }

  /** Calls `hear` whenever it is time to look again. */
  watch(hear: () => void): void {
    this.hear = hear;
    this.schedule();
  }

  private schedule(): void {
    if (this.hear === null) return;
    const { interval } = this.last?.pull ?? FIRST;
    const wait = this.failures === 0 ? interval : Math.max(interval, Math.min(MOST_BACKOFF_MS, interval * 2 ** Math.min(this.failures, 20)));
    const { after = afterNode, random = Math.random } = this.options;
    this.cancel();
    this.cancel = after(wait * (0.9 + 0.2 * random()), this.hear);
  }

  /**
   * Looks now. @returns the configuration as it is there, which is the one of before when nothing has changed
   * @throws Refusal `invalid` when what is there is not valid; another error when it is not to be had
   */
  async load(): Promise<Config> {
    try {
      const config = await this.ask();
      this.failures = 0;
      return config;
    } catch (error) {
      this.failures++;
      throw error instanceof Refusal ? error : new Error(this.problemOf(error), { cause: error });
    } finally {
      this.schedule();
    }
  }

  /** Why it is not to be had, in a sentence that names it. */
  private problemOf(error: unknown): string {
    if (error instanceof Error && error.name === 'TimeoutError') return `${this.name} has not answered in ${(this.last?.pull ?? FIRST).timeout / 1_000} s`;
    return `${this.name}: ${messageOf(error)}`;
  }

  private async ask(): Promise<Config> {
    const { url, token } = this.options;
    const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'switchyard' };
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    if (this.last !== null && this.etag !== null) headers['if-none-match'] = this.etag;
    if (this.last !== null && this.modified !== null) headers['if-modified-since'] = this.modified;
    const signal = AbortSignal.timeout((this.last?.pull ?? FIRST).timeout);
    const answer = await request(url, { headers, dispatcher: this.agent, signal });
    if (answer.statusCode === 304 && this.last !== null) {
      await answer.body.dump();
      return this.last;
    }
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      const moved = answer.headers.location !== undefined ? '; redirects are not followed, so give the address that it leads to' : '';
      throw new Error(`it answered ${answer.statusCode}${moved}`);
    }
    const bytes = await this.read(answer.body);
    this.check(bytes, headerOf(answer.headers['x-switchyard-signature']));
    const text = bytes.toString('utf8');
    const config = this.parse(text);
    writeWhole(this.options.cacheFile, text);
    // Only of what was good: what was refused is looked at again as a whole.
    this.etag = headerOf(answer.headers.etag);
    this.modified = headerOf(answer.headers['last-modified']);
    this.last = config;
    return config;
  }

  private async read(body: AsyncIterable<Buffer>): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body) {
      size += chunk.length;
      if (size > MOST_BYTES) throw new Refusal(REFUSAL.invalid, `${this.name}: the document is larger than ${MOST_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  private check(bytes: Buffer, signature: string | null): void {
    const { hmacKey, sha256 } = this.options;
    const digest = createHash('sha256').update(bytes).digest('hex');
    if (sha256 !== undefined && digest !== sha256.toLowerCase()) {
      throw new Refusal(REFUSAL.invalid, `${this.name}: the document has the digest ${digest}; expected ${sha256}`);
    }
    if (hmacKey === undefined) return;
    const expected = Buffer.from(`sha256=${createHmac('sha256', hmacKey).update(bytes).digest('hex')}`);
    const given = Buffer.from(signature ?? '');
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new Refusal(REFUSAL.invalid, `${this.name}: the document is not signed with the key that was expected (X-Switchyard-Signature)`);
    }
  }

  private parse(text: string): Config {
    let raw: unknown;
    try {
      raw = JSON.parse(text);
    } catch (error) {
      throw new Refusal(REFUSAL.invalid, `${this.name}: expected JSON: ${messageOf(error)}`);
    }
    if (typeof raw === 'object' && raw !== null && 'stateDir' in raw) {
      const message = 'expected nothing: a document that is pulled does not say where this machine keeps its state (--state-dir does)';
      throw new Refusal(REFUSAL.invalid, `${this.name}: stateDir: ${message}`, {}, [{ path: 'stateDir', message }]);
    }
    try {
      return parseConfig(raw);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new Refusal(error.fault, `${this.name}: ${error.message}`, {}, error.errors);
    }
  }

  close(): void {
    this.cancel();
    this.hear = null;
    void this.agent.destroy();
  }
}

function afterNode(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms).unref();
  return () => clearTimeout(timer);
}

function headerOf(value: string | string[] | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : String((error as { code?: unknown }).code ?? error);
}
