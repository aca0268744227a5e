import type { Duration } from './input.ts';

/** Somebody who is asked, by a signed POST, before a swap goes on, and answers `{decision: 'pass' | 'wait' | 'stop', reason}`. */
export interface GateInput {
  name: string;
  /** Before the new version is probed, before each step of the cutover (the last, to 100 %, is one), or before the old version is released. */
  at: 'admission' | 'step' | 'release';
  url: string;
  /** Key of the signature, 8 to 256 characters; `whsec_` and base64, or any text. */
  secret: string;
  /** How long it may take to say pass (5m), and what comes of that time without one: `stop` (default) or `pass`. */
  timeout?: Duration;
  onTimeout?: 'stop' | 'pass';
  /** Between two questions; default 5s. */
  interval?: Duration;
}

/** How the new version of a canary is judged against the others. A share is a number from 0 to 1, or `'1%'`. */
export interface AnalysisInput {
  /** A step that cannot be judged is held longer, then paused for a person; default true. */
  required?: boolean;
  /** Answered requests of each side that a judgement needs; default 50. */
  minRequests?: number;
  /** Chance that a canary that is no worse is failed; default 0.01. */
  falseAlarms?: number | string;
  /** A quantile may be so many times that of the others (1.5), but is no failure while it is worse by less than `latencySlack` (10ms). */
  latencyFactor?: number;
  latencySlack?: Duration;
  /** Latencies of the first moments of a step do not count: 5s, at most a quarter of its hold. */
  warmup?: Duration;
  /** Largest share of failed requests; default: no limit. */
  errorRateMax?: number | string | null;
  /** Largest 99th percentile of latency; default: no limit. */
  p99MsMax?: Duration | null;
  /** A step that cannot be judged is held for at most so many times its hold; default 3. */
  extend?: number;
  /** A further check: the first value of the answer to `query` has to lie within `min` and `max`. */
  prometheus?: { url: string; query: string; min?: number | null; max?: number | null; interval?: Duration; timeout?: Duration } | null;
}
