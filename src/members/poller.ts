import { Agent, request } from 'undici';
import type { PollPolicy } from '../pool/policy.ts';
import type { OrderView } from './report.ts';
import { messageOf } from '../errors/message.ts';

const BODY_LIMIT = 64 * 1024;
const CONCURRENCY = 64;

export interface PollerParts {
  readonly policy: PollPolicy;
  /** What the member at this address is to be told now; `within` = how long it may take to get there. */
  readonly orderFor: (address: string, within: number) => OrderView;
  /** Its answer, as JSON. @returns what is wrong with it, or null. */
  readonly answered: (version: string, address: string, body: unknown) => string | null;
  readonly failed: (version: string, address: string, error: string) => void;
}

interface Polled {
  readonly version: string;
  readonly address: string;
  timer: NodeJS.Timeout | null;
  /** A poll is under way. */
  busy: boolean;
  /** Poll again as soon as that has ended. */
  again: boolean;
}

/** Tells members that have a URL what they are to do, and reads what they say: one poll of a member at a time, each within its timeout. */
export class Poller {
  private readonly parts: PollerParts;
  policy: PollPolicy;
  private readonly polled = new Map<string, Polled>();
  private readonly queue: Polled[] = [];
  private active = 0;
  private readonly stop = new AbortController();
  private readonly agent = new Agent({ connections: 1, pipelining: 1 });

  constructor(parts: PollerParts) {
    this.parts = parts;
    this.policy = parts.policy;
  }

  /** Polls the members of a version from now on, at once and each interval. */
  watch(version: string, addresses: readonly string[]): void {
    for (const address of addresses) {
      const key = `${version}\n${address}`;
      const one = this.polled.get(key) ?? { version, address, timer: null, busy: false, again: false };
      this.polled.set(key, one);
      this.soon(one);
    }
  }

  forget(version: string): void {
    for (const [key, one] of this.polled) {
      if (one.version !== version) continue;
      if (one.timer !== null) clearTimeout(one.timer);
      this.polled.delete(key);
    }
  }

  /** Orders have changed: every member is polled now. */
  hurry(): void {
    for (const one of this.polled.values()) this.soon(one);
  }

  async close(): Promise<void> {
    this.stop.abort();
    for (const { timer } of this.polled.values()) if (timer !== null) clearTimeout(timer);
    this.polled.clear();
    await this.agent.destroy();
  }

  private soon(one: Polled): void {
    if (one.timer !== null) clearTimeout(one.timer);
    one.timer = null;
    if (one.busy) one.again = true;
    else if (!this.queue.includes(one)) this.queue.push(one);
    this.next();
  }

  private next(): void {
    while (this.active < CONCURRENCY && !this.stop.signal.aborted) {
      const one = this.queue.shift();
      if (one === undefined) return;
      if (this.polled.get(`${one.version}\n${one.address}`) === one) void this.poll(one);
    }
  }

  private async poll(one: Polled): Promise<void> {
    const { version, address } = one;
    one.busy = true;
    this.active++;
    const began = performance.now();
    let error: string | null;
    try {
      error = await this.ask(version, address);
    } catch (thrown) {
      const late = performance.now() - began >= this.policy.timeout;
      error = late ? `no answer within ${this.policy.timeout} ms` : describe(thrown);
    }
    this.active--;
    one.busy = false;
    if (this.stop.signal.aborted || this.polled.get(`${version}\n${address}`) !== one) return this.next();
    if (error !== null) this.parts.failed(version, address, error);
    if (one.again) {
      one.again = false;
      this.soon(one);
    } else {
      one.timer ??= setTimeout(() => this.soon(one), this.policy.interval);
      this.next();
    }
  }

  private async ask(version: string, address: string): Promise<string | null> {
    const { path, timeout } = this.policy;
    const signal = AbortSignal.any([this.stop.signal, AbortSignal.timeout(timeout)]);
    const { statusCode, body } = await request(`http://${address}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', 'user-agent': 'switchyard' },
      body: JSON.stringify(this.parts.orderFor(address, timeout)),
      dispatcher: this.agent,
      signal,
    });
    let text = '';
    for await (const chunk of body.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk;
      if (text.length > BODY_LIMIT) return `its answer is larger than ${BODY_LIMIT} bytes`;
    }
    if (statusCode < 200 || statusCode > 299) return `status ${statusCode}`;
    try {
      return this.parts.answered(version, address, JSON.parse(text));
    } catch (error) {
      return error instanceof SyntaxError ? 'its answer is not JSON' : describe(error);
    }
  }
}

function describe(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === 'ECONNREFUSED') return 'connection refused';
  return messageOf(error);
}
