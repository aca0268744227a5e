import { CLIENTS_HEAD, ROW, ROW_WORDS, clientsLayout, setsFor } from './clients.ts';
import type { ClientsLayout } from './clients.ts';

/** The control plane's side of the client table: it makes it, counts its rows, and buries threads. */
export class ClientTableControl {
  readonly buffer: SharedArrayBuffer;
  private readonly i32: Int32Array;
  private readonly i64: BigInt64Array;
  private readonly layout: ClientsLayout;
  private readonly sets: number;

  /** @param rows rounded up to a power of two. @param key two secret words, new at each start. */
  constructor(rows: number, threads: number, key: readonly [number, number]) {
    this.sets = setsFor(rows);
    this.layout = clientsLayout(this.sets, threads);
    this.buffer = new SharedArrayBuffer(this.layout.bytes);
    this.i32 = new Int32Array(this.buffer);
    this.i64 = new BigInt64Array(this.buffer);
    this.i32[CLIENTS_HEAD.sets] = this.sets;
    this.i32[CLIENTS_HEAD.threads] = threads;
    this.i32.set(key, CLIENTS_HEAD.key);
  }

  /** Rows that say something now: their client has a connection, or its bucket is not full. */
  inUse(now: number): number {
    const { table, rows } = this.layout;
    const at = BigInt(Math.ceil(now));
    let count = 0;
    for (let row = table; row < table + rows * ROW_WORDS; row += ROW_WORDS) {
      if (this.i32[row + ROW.tag] !== 0 && (this.i32[row + ROW.connections] > 0 || this.i64[row / 2 + 1] > at)) count++;
    }
    return count;
  }

  /** Takes back what a dead thread had counted and locked. Only after the thread has ended. */
  closeThread(thread: number): void {
    const { i32 } = this;
    const { table, rows, locks, own } = this.layout;
    for (let row = 0; row < rows; row++) {
      const mine = own + thread * rows + row;
      const connections = table + row * ROW_WORDS + ROW.connections;
      if (i32[mine] !== 0) Atomics.sub(i32, connections, i32[mine]);
      i32[mine] = 0;
      Atomics.compareExchange(i32, connections, -1 - thread, 0);
    }
    for (let set = 0; set < this.sets; set++) Atomics.compareExchange(i32, locks + set, 1 + thread, 0);
  }
}
