import type { Phase } from './phase.ts';

/** One origin address inside a version. Its health belongs to (version, backend), never to the address. */
export interface Backend {
  /** `host:port`, unique inside its version. */
  readonly address: string;
  /** 1–1000, relative to the other backends of the version. */
  readonly weight: number;
  /** Row in the ledger; unique among all versions that are not final. */
  readonly slot: number;
}

/** One immutable set of backends, with the id that the deployer gave it. Plain data: it is journaled as it is. */
export interface Version {
  readonly id: string;
  readonly phase: Phase;
  /** Row of the version as a whole in the ledger (peak in flight). */
  readonly slot: number;
  readonly backends: readonly Backend[];
  /** Epoch milliseconds. */
  readonly createdAt: number;
  /** When admission passed; null before. */
  readonly admittedAt: number | null;
  /** Backends that were healthy when admission passed. */
  readonly admittedHealthy: number;
  /** Set while draining and drained; null otherwise. */
  readonly drain: Drain | null;
}

/** How a version is being let go. Times are epoch milliseconds. */
export interface Drain {
  readonly since: number;
  /** Generation that left the version without weight; null until it is published. */
  readonly generation: number | null;
  /** When requests, and when streams and tunnels, are cut. */
  readonly requestsUntil: number;
  readonly tunnelsUntil: number;
  /** When nothing was in flight any more; null before. */
  readonly doneAt: number | null;
  /** A drained version is kept for a rollback until then. */
  readonly keepUntil: number | null;
  /** Final phase to go to. */
  readonly then: 'released' | 'rejected';
}
