import { BINS, binOf } from '../../src/ledger/layout.ts';
import type { Sample } from '../../src/pool/upstream.ts';

export function emptySample(): Sample {
  return { started: 0, requests: 0, errors: 0, bins: Array.from({ length: BINS }, () => 0) };
}

/** What has been counted of each row: more of it comes only when a test says so. */
export class SampleBook {
  private readonly rows = new Map<number, Sample>();

  of(slot: number): Sample {
    return this.rows.get(slot) ?? emptySample();
  }

  /** Requests that were answered after `ms`, `errors` of them with a 5xx. */
  answered(slot: number, requests: number, errors = 0, ms = 5): void {
    const before = this.of(slot);
    const bins = before.bins.map((count, bin) => count + (bin === binOf(ms * 1_000) ? requests : 0));
    this.rows.set(slot, { started: before.started + requests, requests: before.requests + requests, errors: before.errors + errors, bins });
  }

  /** Requests that nothing has answered yet. */
  unanswered(slot: number, requests: number): void {
    const before = this.of(slot);
    this.rows.set(slot, { ...before, started: before.started + requests });
  }

  clear(): void {
    this.rows.clear();
  }
}
