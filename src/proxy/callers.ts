import { CONNECT, UNCOUNTED } from '../ledger/clients.ts';
import type { ClientTable } from '../ledger/clients.ts';
import { EDGE } from '../ledger/layout.ts';
import type { ThreadLedger } from '../ledger/thread.ts';
import type { RatePolicy } from '../pool/policy.ts';

/** Scope of the rate that counts the requests of all upstreams together. */
export const ANY_UPSTREAM = 0;
/** Scope of the floods of HTTP/2 that a client has been ended for. */
const FLOODS = -1;
/** Each is forgotten after so long, one after the other; and no more of them are remembered. */
const FLOOD = { requests: 1, per: 60_000, burst: 2 } as const;
/** In place of a row: the connection is not counted. */
export const NO_ROW = -1;
/** The same: it is a proxy's, and what comes on it is of many clients. */
export const MANY_CLIENTS = -2;

/**
 * What clients may do by their address, over all data threads: connections at a time, and requests in a time. Who
 * cannot be counted, because the table has no room, is let through, and that is counted.
 */
export class Callers {
  /** Seconds until the client that was refused last may come again; at least 1. Good for the tick of the refusal. */
  retryAfter = 1;
  private readonly table: ClientTable;
  private readonly ledger: ThreadLedger;
  /** From this thread's clock, which begins with it, to the machine's, which all threads share. */
  private readonly offset = Number(process.hrtime.bigint()) - performance.now() * 1e6;

  constructor(table: ClientTable, ledger: ThreadLedger) {
    this.table = table;
    this.ledger = ledger;
  }

  /** Counts a connection; `most` is how many its client may have. @returns its row, for `disconnect`, or NO_ROW; null when it is one too many. */
  connect(address: string, most: number): number | null {
    const row = this.table.connect(address, most, this.now());
    if (row === CONNECT.refused) return null;
    if (row !== CONNECT.uncounted) return row;
    this.ledger.count(EDGE.uncounted, 1);
    return NO_ROW;
  }

  disconnect(row: number): void {
    if (row >= 0) this.table.disconnect(row);
  }

  /** Takes a token of the client's bucket; each scope has buckets of its own. @returns whether there was one. */
  admit(address: string, scope: number, rate: RatePolicy): boolean {
    const wait = this.table.take(address, scope, rate, this.now());
    if (wait === UNCOUNTED) this.ledger.count(EDGE.uncounted, 1);
    if (wait <= 0) return true;
    this.retryAfter = Math.ceil(wait / 1e9);
    return false;
  }

  /** A connection of the client was ended as a flood. */
  flooded(address: string): void {
    this.table.take(address, FLOODS, FLOOD, this.now());
  }

  /** How many of its connections were, not long ago: 0 to 2. */
  floodsOf(address: string): number {
    return Math.ceil(this.table.untilFull(address, FLOODS, this.now()) / (FLOOD.per * 1e6));
  }

  private now(): number {
    return Math.round(performance.now() * 1e6 + this.offset);
  }
}
