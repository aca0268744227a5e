import { GATE_POINTS, GATE_WAIT_BOUNDS } from '../pool/gates.ts';
import type { GatePoint, GatePolicy } from '../pool/gates.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import type { SwitchyardEvent } from '../swap/ports.ts';

/** What came of a question: a decision, or nothing that is one. */
export type GateWord = 'pass' | 'wait' | 'stop' | 'failed';

interface Row {
  asked: number;
  readonly answers: Record<GateWord, number>;
  timeouts: number;
  /** Waits that have ended, by how long they were: up to each of GATE_WAIT_BOUNDS, and the longer ones. */
  readonly bins: number[];
  seconds: number;
}

function emptyRow(): Row {
  return {
    asked: 0,
    answers: { pass: 0, wait: 0, stop: 0, failed: 0 },
    timeouts: 0,
    bins: Array.from({ length: GATE_WAIT_BOUNDS.length + 1 }, () => 0),
    seconds: 0,
  };
}

/** What the gates of one upstream have been asked and have said since the start, by the point at which they stand. */
export class GateCounts {
  private readonly rows = new Map<GatePoint, Row>();

  private row(at: GatePoint): Row {
    const row = this.rows.get(at) ?? emptyRow();
    this.rows.set(at, row);
    return row;
  }

  asked(at: GatePoint): void {
    this.row(at).asked++;
  }

  answered(at: GatePoint, word: GateWord): void {
    this.row(at).answers[word]++;
  }

  /** Takes note of an event of type `gate` that ends a wait. */
  told({ type, data }: SwitchyardEvent): void {
    const at = GATE_POINTS.find((point) => point === data.before);
    if (type !== 'gate' || at === undefined || data.decision === 'wait') return;
    const row = this.row(at);
    const seconds = Number(data.waitedMs) / 1_000;
    const bin = GATE_WAIT_BOUNDS.findIndex((bound) => seconds <= bound);
    row.bins[bin === -1 ? GATE_WAIT_BOUNDS.length : bin]++;
    row.seconds += seconds;
    if (data.timedOut === true) row.timeouts++;
  }

  /** Of the points that have gates, or have had them. */
  measure(gates: readonly GatePolicy[], state: UpstreamState) {
    const points = GATE_POINTS.filter((at) => this.rows.has(at) || gates.some((gate) => gate.at === at));
    const waiting = waitsOf(state);
    return points.map((before) => {
      const { asked, answers, timeouts, bins, seconds } = this.rows.get(before) ?? emptyRow();
      return { before, asked, answers: { ...answers }, timeouts, bins: [...bins], seconds, waiting: waiting.filter((at) => at === before).length };
    });
  }
}

/** Where the upstream waits now, a gate each. */
function waitsOf({ swap, versions }: UpstreamState): GatePoint[] {
  const gates = [swap?.gates ?? null, ...versions.map(({ drain }) => drain?.gates ?? null)];
  return gates.flatMap((each) => (each?.waiting == null ? [] : [each.waiting.at]));
}
