import { createHistogram } from 'node:perf_hooks';
import type { LoadResult } from '../load.ts';

/**
 * Counts answers and their latencies. The first of each connection are left out, with the time until then: opening
 * connections is no part of a request on a kept one.
 */
export class Tally {
  failed = 0;
  private requests = 0;
  private readonly latency = createHistogram();
  private began = performance.now();
  private lastAt = this.began;
  private readonly trace: number[] = [];
  private readonly traced: boolean;
  private left: number;
  private readonly onBegun: () => void;

  /** @param leftOut answers that are not counted. @param onBegun counting begins now; called at once when none is left out. */
  constructor(traced: boolean, leftOut: number, onBegun: () => void) {
    this.traced = traced;
    this.left = leftOut;
    this.onBegun = onBegun;
    if (leftOut === 0) onBegun();
  }

  /** Milliseconds since counting began; 0 before. */
  get elapsed(): number {
    return this.left > 0 ? 0 : performance.now() - this.began;
  }

  add(good: boolean, micros: number): void {
    if (!good) this.failed++;
    if (this.left > 0) return this.leaveOut();
    this.requests++;
    this.lastAt = performance.now();
    const whole = Math.max(1, Math.round(micros));
    this.latency.record(whole);
    if (this.traced) this.trace.push(Math.round(performance.timeOrigin + this.lastAt), whole);
  }

  private leaveOut(): void {
    if (--this.left > 0) return;
    this.began = performance.now();
    this.lastAt = this.began;
    this.onBegun();
  }

  /** Its seconds last up to the last answer: autocannon's own end is later. */
  result(): LoadResult {
    const { requests, failed, latency, trace } = this;
    const at = (percent: number): number => latency.percentile(percent);
    return { requests, failed, seconds: (this.lastAt - this.began) / 1000, p50: at(50), p99: at(99), p999: at(99.9), trace };
  }
}
