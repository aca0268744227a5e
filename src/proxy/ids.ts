import { randomFillSync } from 'node:crypto';

/** A draw of the system's random bytes costs a microsecond, whatever its size. */
const POOL_BYTES = 16_000;
const ID_BYTES = 40;

/** Ids for X-Request-Id and traceparent (W3C Trace Context): random, drawn from the system in batches. */
export class Ids {
  readonly pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  private at = POOL_BYTES;

  /** Offset in `pool` of 40 bytes that nobody had before: 16 for the request id, 24 for the trace. Good until the tick ends. */
  next(): number {
    if (this.at + ID_BYTES > POOL_BYTES) {
      randomFillSync(this.pool);
      this.at = 0;
    }
    const from = this.at;
    this.at += ID_BYTES;
    return from;
  }
}
