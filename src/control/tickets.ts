import { randomBytes } from 'node:crypto';
import { SESSION_SECONDS } from '../listen/tls-contexts.ts';

const KEY_BYTES = 48;
const HOUR_MS = 3_600_000;

/** How long a key of session tickets is of use; milliseconds. */
export interface TicketLife {
  /** New tickets are encrypted with it for so long. */
  readonly every: number;
  /** Then tickets that were are still taken for so long; shorter than `every`. */
  readonly overlap: number;
}

/** No session is resumed that is older than the overlap: of the change of a key, no client notices anything. */
export const TICKET_LIFE: TicketLife = { every: 12 * HOUR_MS, overlap: SESSION_SECONDS * 1000 };

/** The keys that session tickets are encrypted with (RFC 5077 §4), the same in all data threads. They are in memory only, and change. */
export class TicketKeys {
  /** The first is for new tickets; those of all are taken. */
  keys: readonly Uint8Array[] = [randomBytes(KEY_BYTES)];
  /** How often they have changed. */
  changes = 0;
  private readonly life: TicketLife;
  private readonly publish: () => Promise<void>;
  private readonly failed: (error: Error) => void;
  private interval: NodeJS.Timeout | undefined;
  private overlap: NodeJS.Timeout | undefined;

  /** @param publish resolves when all threads use `keys`. @param failed told of a change by time that came to nothing. */
  constructor(life: TicketLife, publish: () => Promise<void>, failed: (error: Error) => void) {
    this.life = life;
    this.publish = publish;
    this.failed = failed;
  }

  start(): void {
    this.interval = setInterval(() => void this.rotate().catch(this.failed), this.life.every).unref();
  }

  close(): void {
    clearInterval(this.interval);
    clearTimeout(this.overlap);
  }

  /** Every thread takes tickets of the new key before any gives some out; those of the old one are taken for a while. */
  async rotate(): Promise<void> {
    clearTimeout(this.overlap);
    const [old] = this.keys;
    const next = randomBytes(KEY_BYTES);
    this.keys = [old, next];
    await this.publish();
    this.keys = [next, old];
    this.changes++;
    await this.publish();
    this.overlap = setTimeout(() => void this.forget().catch(this.failed), this.life.overlap).unref();
  }

  private async forget(): Promise<void> {
    this.keys = this.keys.slice(0, 1);
    await this.publish();
  }
}
