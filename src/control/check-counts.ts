/** What came of a question to a Prometheus server: a value within its bounds or outside them, no value, another answer or none, none in time. */
const RESULTS = ['pass', 'fail', 'no-data', 'error', 'timeout'] as const;
export type CheckResult = (typeof RESULTS)[number];

/** What canaries of one upstream have asked a Prometheus server since the start. */
export class CheckCounts {
  private readonly counts = new Map<CheckResult, number>();

  count(result: CheckResult): void {
    this.counts.set(result, (this.counts.get(result) ?? 0) + 1);
  }

  /** By result; null = nothing is to be asked, nor was. */
  measure(isAsked: boolean): Record<CheckResult, number> | null {
    if (!isAsked && this.counts.size === 0) return null;
    return Object.fromEntries(RESULTS.map((result) => [result, this.counts.get(result) ?? 0])) as Record<CheckResult, number>;
  }
}
