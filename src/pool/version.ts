import type { Gates } from './gates.ts';
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

/** The members of a worker upstream, by name or by number (`v2-1`, `v2-2`, …), as the backends of their version. */
export function membersAsBackends(version: string, members: number | readonly string[]): { address: string; weight: number }[] {
  const names = typeof members === 'number' ? Array.from({ length: members }, (_, i) => `${version}-${i + 1}`) : members;
  return names.map((address) => ({ address, weight: 1 }));
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
  /** Addresses of the backends that have passed admission: the only ones the data plane may use. */
  readonly trusted: readonly string[];
  /** Deadline of the admission (or of the fresh round) that is going on; null = none, or no deadline. */
  readonly admitBy: number | null;
  /** Set while draining and drained; null otherwise. */
  readonly drain: Drain | null;
}

/** How a version is being let go. Times are epoch milliseconds. */
export interface Drain {
  readonly since: number;
  /** Until then sessions of before may still begin requests on it (pool/reach.ts), and nothing is proven yet; null = nothing begins on it any more. */
  readonly openUntil: number | null;
  /** Generation in which nothing could begin on the version any more; null until it is published. */
  readonly generation: number | null;
  /** When requests, and when streams and tunnels, are cut. */
  readonly requestsUntil: number;
  readonly tunnelsUntil: number;
  /** Whether what was left of each kind has been cut. */
  readonly requestsCut: boolean;
  readonly tunnelsCut: boolean;
  /** Generation acked by each data thread, all of them at least `generation`; null before the last ack. */
  readonly acks: Readonly<Record<string, number>> | null;
  /** Milliseconds to keep the version for a rollback once it is drained. */
  readonly keep: number;
  /** When nothing was in flight any more; null before. */
  readonly doneAt: number | null;
  /** A drained version is kept for a rollback until then. */
  readonly keepUntil: number | null;
  /** Gates before its release; null = there are none. */
  readonly gates: Gates | null;
  /** Final phase to go to. */
  readonly then: 'released' | 'rejected';
}
