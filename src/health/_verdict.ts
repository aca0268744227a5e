import type { Health } from '../pool/phase.ts';

/** What is believed of a backend, and on how many passes (positive) or failures (negative) in a row. */
export interface Standing {
  readonly health: Health;
  readonly run: number;
}

export interface Rules {
  readonly rise: number;
  readonly fall: number;
  /** The backend was admitted: a 404 is its wish to be drained. */
  readonly mayStop: boolean;
}

const SOFT_STOP = 404;

/** What is believed after one more probe. */
export function nextStanding({ health, run }: Standing, result: { readonly ok: boolean; readonly status: number | null }, rules: Rules): Standing {
  if (result.ok) {
    const passes = Math.max(run, 0) + 1;
    return { health: passes >= rules.rise ? 'healthy' : health, run: passes };
  }
  const failures = Math.min(run, 0) - 1;
  return { health: afterFailure(health, -failures, result.status, rules), run: failures };
}

function afterFailure(health: Health, failures: number, status: number | null, { fall, mayStop }: Rules): Health {
  if (mayStop && status === SOFT_STOP) return 'stopping';
  return health === 'unknown' || failures >= fall ? 'unhealthy' : health;
}
