import type { Socket } from 'node:net';
import { PATIENCE, within } from './wait.ts';

export type Ending = 'open' | 'end' | 'reset';

/**
 * A socket whose bytes are collected and taken in portions, each with a deadline (`PATIENCE` unless told). `latin1` strings
 * stand for bytes one to one, in both directions.
 */
export class ByteStream {
  readonly socket: Socket;
  /** Every byte that ever arrived, taken or not. */
  total = 0;
  /** How the peer ended the connection; `open` until it did. */
  ending: Ending = 'open';
  /** While true, what arrives is counted in `total` and thrown away: for bodies too large to keep. */
  discard = false;
  #chunks: Buffer[] = [];
  #held = 0;
  #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.total += chunk.length;
      if (!this.discard) {
        this.#chunks.push(chunk);
        this.#held += chunk.length;
      }
      this.#wake();
    });
    socket.on('end', () => this.#ended('end'));
    socket.on('error', () => this.#ended('reset'));
    socket.on('close', (failed: boolean) => this.#ended(failed ? 'reset' : 'end'));
  }

  /** The bytes that arrived and were not taken yet. */
  get pending(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  /** Sends exactly these bytes. */
  write(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends these bytes one by one, each in a packet of its own as far as the kernel lets us. */
  async drip(bytes: string, everyMs = 0): Promise<void> {
    for (const byte of bytes) {
      this.write(byte);
      await new Promise<void>((resolve) => (everyMs > 0 ? setTimeout(resolve, everyMs) : setImmediate(resolve)));
    }
  }

  /** Takes exactly `count` bytes. */
  async take(count: number, deadline = PATIENCE): Promise<Buffer> {
    await this.until(() => this.#held >= count, `${count} bytes`, deadline);
    return this.#cut(count);
  }

  /** Takes everything up to and with `marker`. */
  async takeUntil(marker: string, deadline = PATIENCE): Promise<string> {
    await this.until(() => this.pending.includes(marker, 0, 'latin1'), JSON.stringify(marker), deadline);
    return this.#cut(this.pending.indexOf(marker, 0, 'latin1') + marker.length).toString('latin1');
  }

  /** Takes everything up to the end of the connection. A reset counts as an end: see `ending`. */
  async takeAll(deadline = PATIENCE): Promise<Buffer> {
    await this.closed(deadline);
    return this.#cut(this.pending.length);
  }

  /** Resolves when the peer has ended the connection, with how. */
  async closed(deadline = PATIENCE): Promise<Ending> {
    await this.until(() => this.ending !== 'open', 'the end of the connection', deadline, true);
    return this.ending;
  }

  /** Resolves once `met`; rejects at the deadline, and at the end of the connection unless `mayEnd`. */
  async until(met: () => boolean, what: string, deadline = PATIENCE, mayEnd = false): Promise<void> {
    let wake = (): void => {};
    const waited = new Promise<void>((resolve, reject) => {
      wake = () => {
        if (met()) resolve();
        else if (this.ending !== 'open' && !mayEnd) reject(new Error(`the connection ended (${this.ending}) before ${what}; ${this.#shown()}`));
      };
    });
    this.#waiting.add(wake);
    wake();
    try {
      await within(deadline, () => `${what}; ${this.#shown()}`, waited);
    } finally {
      this.#waiting.delete(wake);
    }
  }

  /** Half-closes: the peer sees the end of our bytes, and may still answer. */
  end(): void {
    this.socket.end();
  }

  /** Ends with a RST, as a crashed peer does. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #cut(count: number): Buffer {
    const all = this.pending;
    this.#chunks = count < all.length ? [all.subarray(count)] : [];
    this.#held = all.length - count;
    return all.subarray(0, count);
  }

  #ended(how: Ending): void {
    if (this.ending === 'open' || how === 'reset') this.ending = how;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #shown(): string {
    const held = this.pending;
    return `held back: ${held.length} bytes ${JSON.stringify(held.subarray(0, 300).toString('latin1'))}`;
  }
}
