import type { Health } from '../pool/phase.ts';

/** Evidence of one probe. */
export interface Probe {
  /** Epoch milliseconds, when the probe began. */
  readonly at: number;
  readonly ok: boolean;
  /** HTTP status; null for TCP probes and when there was no answer. */
  readonly status: number | null;
  readonly ms: number;
  /** What was wrong, in a few words; null when ok. */
  readonly error: string | null;
}

export interface BackendHealth {
  readonly health: Health;
  /** Passes (positive) or failures (negative) in a row. */
  readonly run: number;
  /** Newest last, at most 5. */
  readonly probes: readonly Probe[];
}

/**
 * How a backend is probed. `admitting`: at once, then every admitInterval. `fresh`: a quick round for a backend that was
 * admitted before; one pass is enough. `steady`: every interval, jittered.
 */
export type ProbeMode = 'admitting' | 'fresh' | 'steady';
