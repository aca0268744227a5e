import type { Balance } from '../pool/policy.ts';
import { maglevTable } from './maglev.ts';

/** What a pick reads of the ledger. */
export interface Gauges {
  available(slot: number): boolean;
  /** In flight over all threads. */
  inFlight(slot: number): number;
  /** Effective weight in thousandths of the nominal one; below 1000 while a backend starts slowly. */
  weight(slot: number): number;
  /** Open connections over all threads. */
  openSockets(slot: number): number;
}

/** How much a backend may be given. */
export interface RoomLimits {
  /** Requests in flight; null = no limit. */
  readonly connections: number | null;
  /** Open connections; null = no limit. */
  readonly sockets: number | null;
}

/** Candidates of one version, compiled once a table; index = position in the version's backends. */
export class Rotation {
  readonly slots: Int32Array;
  readonly weights: Float64Array;
  /** Running sums of the weights. */
  readonly sums: Float64Array;
  readonly balance: Balance;
  /** There is a limit to what a backend may be given. */
  readonly limited: boolean;
  /** Most requests in flight on a backend, and most open connections to it; Infinity = no limit. */
  readonly limit: number;
  readonly sockets: number;
  /** For each candidate the connections of this thread that are idle: a request needs no new one then. */
  readonly spare: readonly ArrayLike<unknown>[];
  readonly maglev: Uint16Array | null;
  /** Round robin: current credit of each candidate. */
  readonly credit: Float64Array;

  constructor(
    backends: readonly { readonly slot: number; readonly address: string; readonly weight: number }[],
    balance: Balance,
    { connections, sockets }: RoomLimits,
    spare: readonly ArrayLike<unknown>[] = [],
  ) {
    this.slots = Int32Array.from(backends, (backend) => backend.slot);
    this.weights = Float64Array.from(backends, (backend) => backend.weight);
    let sum = 0;
    this.sums = this.weights.map((weight) => (sum += weight));
    this.balance = balance;
    this.limited = connections !== null || sockets !== null;
    this.limit = connections ?? Infinity;
    this.sockets = sockets ?? Infinity;
    this.spare = spare;
    this.credit = new Float64Array(backends.length);
    this.maglev = balance === 'maglev' ? maglevTable(backends) : null;
  }
}
