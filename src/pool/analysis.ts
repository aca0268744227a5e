/** A query to a Prometheus server; the first value of its answer has to lie within the bounds. */
export interface PrometheusCheck {
  readonly url: string;
  /** `{{upstream}}`, `{{version}}` and `{{stable}}` are filled in. */
  readonly query: string;
  readonly min: number | null;
  readonly max: number | null;
  readonly interval: number;
  readonly timeout: number;
}

/** Whether a value lies where it has to. */
export function isWithin({ min, max }: PrometheusCheck, value: number): boolean {
  return (min === null || value >= min) && (max === null || value <= max);
}

/** How the steps of a canary are judged: the new version against those that had the traffic before, in the same time. */
export interface AnalysisPolicy {
  /** Whether a step that cannot be judged is held longer, and then paused for a person; if not, it is over when its hold is. */
  readonly required: boolean;
  /** Requests that each side has to have answered before anything is judged. */
  readonly minRequests: number;
  /** Chance that a canary which is no worse is failed all the same, over all its steps and looks. */
  readonly falseAlarms: number;
  /** A quantile of the new version may be so many times that of the others. */
  readonly latencyFactor: number;
  /** Milliseconds that a quantile has to be worse by in any case. */
  readonly latencySlack: number;
  /** Latencies of the first milliseconds of a step are not judged; at most a quarter of its hold. */
  readonly warmup: number;
  /** Largest share of failed requests, 0–1; null = no limit. */
  readonly errorRateMax: number | null;
  /** Largest 99th percentile in milliseconds; null = no limit. */
  readonly p99MsMax: number | null;
  /** A step that cannot be judged is held for so many times its hold in all. */
  readonly extend: number;
  readonly prometheus: PrometheusCheck | null;
}

/** What holds for a canary unless its operator says otherwise. */
export const DEFAULT_ANALYSIS: AnalysisPolicy = {
  required: false,
  minRequests: 50,
  falseAlarms: 0.01,
  latencyFactor: 1.5,
  latencySlack: 10,
  warmup: 5_000,
  errorRateMax: null,
  p99MsMax: null,
  extend: 3,
  prometheus: null,
};
