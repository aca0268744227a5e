/** What a test may make a backend do. `health`: what it answers on its probe path; `ok` is 200. */
export type HealthMode = 'ok' | 'fail' | 'gone' | 'silent';

/** What a version's backends in a process have seen, probes apart. Times are epoch milliseconds. */
export interface VersionRecord {
  readonly begun: number;
  readonly ended: number;
  /** Begun and neither ended nor abandoned by the other side. */
  readonly held: number;
  /** The least number of probes that any of these backends had passed when the first request came; null = there was none. */
  readonly passedAtFirst: number | null;
  readonly firstBeganAt: number;
  readonly lastBeganAt: number;
  readonly lastEndedAt: number;
  /** Begun, by port. */
  readonly byPort: Readonly<Record<number, number>>;
}

export type Answers = 'normal' | 'error' | 'reset' | 'slow';

export type Order =
  | { readonly type: 'listen'; readonly version: string; readonly ports: readonly number[]; readonly health: HealthMode }
  | { readonly type: 'health'; readonly version: string; readonly port: number | null; readonly health: HealthMode }
  /** Answers of application requests: their own, `500`, a reset, or their own 60 ms later. */
  | { readonly type: 'answers'; readonly version: string; readonly port: number | null; readonly answers: Answers }
  /** Answers all requests to `/hold` that wait. */
  | { readonly type: 'let-go'; readonly version: string }
  | { readonly type: 'record'; readonly version: string }
  | { readonly type: 'close'; readonly version: string; readonly port: number | null };

export interface OrderMessage {
  readonly id: number;
  readonly order: Order;
}

export interface Reply {
  readonly id: number;
  readonly value: unknown;
  readonly error: string | null;
}
