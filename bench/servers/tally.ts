import { createHistogram } from 'node:perf_hooks';
import type { LoadResult } from '../load.ts';

/** Counts answers and their latencies. */
export class Tally {
  failed = 0;
  private requests = 0;
  private readonly latency = createHistogram();
  private readonly began = performance.now();
  private lastAt = this.began;
  private readonly trace: number[] = [];
  private readonly traced: boolean;

  constructor(traced: boolean) {
    this.traced = traced;
  }

  /** Milliseconds since the load began. */
  get elapsed(): number {
    return performance.now() - this.began;
  }

  add(good: boolean, micros: number): void {
    this.requests++;
    if (!good) this.failed++;
    this.lastAt = performance.now();
    const whole = Math.max(1, Math.round(micros));
    this.latency.record(whole);
    if (this.traced) this.trace.push(Math.round(performance.timeOrigin + this.lastAt), whole);
  }

  /** Its seconds last up to the last answer: autocannon's own end is later. */
  result(): LoadResult {
    const { requests, failed, latency, trace } = this;
    const at = (percent: number): number => latency.percentile(percent);
    return { requests, failed, seconds: (this.lastAt - this.began) / 1000, p50: at(50), p99: at(99), p999: at(99.9), trace };
  }
}
