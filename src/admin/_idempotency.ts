import { createHash } from 'node:crypto';
import { Refusal, REFUSAL } from '../errors/catalogue.ts';
import type { Answer } from './_endpoint.ts';

const MAX_KEYS = 1_000;
const LIFETIME_MS = 24 * 3_600_000;
const KEY = /^[\x21-\x7e]{1,255}$/;

interface Entry {
  readonly fingerprint: string;
  readonly at: number;
  readonly answer: Promise<Answer>;
}

/** Fingerprint of a request: equal for the same method, target and body. */
export function fingerprintOf(method: string, target: string, body: Uint8Array): string {
  return createHash('sha256').update(`${method} ${target}\n`).update(body).digest('base64');
}

/**
 * Remembers the answers of calls with an `Idempotency-Key`: at most 1 000 of them, for 24 hours, the oldest goes first.
 * Only what was done is remembered: a refused call has changed nothing and may be tried again with its key.
 */
export class IdempotencyStore {
  private readonly entries = new Map<string, Entry>();
  private readonly now: () => number;

  /** @param now epoch milliseconds. */
  constructor(now: () => number) {
    this.now = now;
  }

  /**
   * Runs the call, or answers as the first call with this key was answered, waiting for it when it still runs.
   * @param owner keys of different callers are different keys.
   */
  async once(owner: string, key: string, fingerprint: string, run: () => Promise<Answer>): Promise<Answer> {
    if (!KEY.test(key)) {
      const message = 'expected 1 to 255 visible ASCII characters';
      throw new Refusal(REFUSAL.invalid, `Idempotency-Key: ${message}`, {}, [{ path: 'Idempotency-Key', message }]);
    }
    this.forgetOld();
    const name = `${owner}\n${key}`;
    const known = this.entries.get(name);
    if (known !== undefined) {
      if (known.fingerprint !== fingerprint) throw new Refusal(REFUSAL.keyReused);
      const answer = await known.answer;
      return { ...answer, headers: { ...answer.headers, 'idempotency-replayed': 'true' } };
    }
    const entry: Entry = { fingerprint, at: this.now(), answer: run() };
    this.entries.set(name, entry);
    try {
      return await entry.answer;
    } catch (error) {
      if (this.entries.get(name) === entry) this.entries.delete(name);
      throw error;
    }
  }

  private forgetOld(): void {
    const horizon = this.now() - LIFETIME_MS;
    for (const [name, entry] of this.entries) {
      if (entry.at > horizon && this.entries.size < MAX_KEYS) return;
      this.entries.delete(name);
    }
  }
}
