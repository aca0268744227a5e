import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;
const ID_BYTES = 40;

/** Ids for X-Request-Id and traceparent (W3C Trace Context): random, drawn from the system in batches. */
export class Ids {
  private readonly pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  private at = POOL_BYTES;

  /** 80 hex digits: 32 for the request id, 48 for the trace. */
  next(): string {
    if (this.at + ID_BYTES > POOL_BYTES) {
      randomFillSync(this.pool);
      this.at = 0;
    }
    const from = this.at;
    this.at += ID_BYTES;
    return this.pool.toString('hex', from, this.at);
  }
}
