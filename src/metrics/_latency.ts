import type { Traffic } from '../ledger/control.ts';
import { BIN_BOUNDS } from '../ledger/layout.ts';
import type { Bins } from './_histogram.ts';

/** Each octave of the ledger's bins from 256 µs to 8.4 s, as positions in BIN_BOUNDS. */
const EDGES = BIN_BOUNDS.map((_, bin) => bin).filter((bin) => bin % 2 === 0 && bin >= 2);

export const BUCKET_BOUNDS: readonly number[] = EDGES.map((bin) => BIN_BOUNDS[bin]);

/** The latencies that the ledger has counted, by BUCKET_BOUNDS. */
export function latencyOf({ bins, latencySum }: Traffic): Bins {
  let from = 0;
  const upTo = (end: number): number => {
    let sum = 0;
    while (from < end) sum += bins[from++];
    return sum;
  };
  return { bins: [...EDGES.map((edge) => upTo(edge + 1)), upTo(bins.length)], sum: latencySum };
}
