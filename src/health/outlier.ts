import type { OutlierPolicy } from '../pool/policy.ts';

/** A backend as outlier detection sees it. */
export interface Suspect {
  /** Stands for (upstream, version, backend). */
  readonly key: string;
  /** Failures in a row, as the ledger has them; a run is not ended by an ejection, only by a success. */
  readonly failures: number;
  /** Whether it would get traffic were it not ejected. */
  readonly usable: boolean;
}

/** What is remembered of a backend. Times are milliseconds of any one clock. */
export interface EjectionRecord {
  /** End of the ejection; null = not ejected. */
  readonly until: number | null;
  /** How often it was ejected lately; the next ejection lasts base × (times + 1). */
  readonly times: number;
  /** When `times` is lowered next. */
  readonly decayAt: number;
  /** Failures that an earlier ejection has paid for. */
  readonly paid: number;
}

const BLANK: EjectionRecord = { until: null, times: 0, decayAt: 0, paid: 0 };

/**
 * Decides about the backends of one version. Pure.
 * @returns the new records by key, for these backends only
 */
export function judgeOutliers(
  suspects: readonly Suspect[],
  records: ReadonlyMap<string, EjectionRecord>,
  policy: OutlierPolicy,
  now: number,
): Map<string, EjectionRecord> {
  const next = new Map(suspects.map((suspect) => [suspect.key, settle(suspect, records.get(suspect.key) ?? BLANK, policy, now)]));
  if (policy.failures === 0) return next;
  const isEjected = ({ key }: Suspect): boolean => next.get(key)?.until != null;
  const worst = suspects.filter((suspect) => !isEjected(suspect)).toSorted((a, b) => streak(b, next) - streak(a, next));
  let room = mostEjected(suspects.length, policy.maxEjected) - suspects.filter(isEjected).length;
  for (const suspect of worst) {
    if (room <= 0 || streak(suspect, next) < policy.failures) break;
    const others = suspects.some((other) => other !== suspect && other.usable && !isEjected(other));
    if (!others) break;
    next.set(suspect.key, eject(next.get(suspect.key) ?? BLANK, policy, now));
    room--;
  }
  return next;
}

function mostEjected(backends: number, percent: number): number {
  return percent === 0 || backends < 2 ? 0 : Math.max(1, Math.floor((backends * percent) / 100));
}

function streak({ key, failures }: Suspect, records: ReadonlyMap<string, EjectionRecord>): number {
  return failures - (records.get(key)?.paid ?? 0);
}

/** Ends an ejection whose time has come, forgets a failure run that has ended, and lets `times` decay. */
function settle({ failures }: Suspect, record: EjectionRecord, policy: OutlierPolicy, now: number): EjectionRecord {
  if (record.until !== null && now < record.until && policy.failures > 0) return record;
  if (record.until !== null) return { ...record, until: null, decayAt: now + policy.base, paid: failures };
  const paid = Math.min(record.paid, failures);
  if (record.times === 0 || now < record.decayAt) return { ...record, paid };
  return { until: null, times: record.times - 1, decayAt: now + policy.base, paid };
}

function eject(record: EjectionRecord, { base, max }: OutlierPolicy, now: number): EjectionRecord {
  const times = record.times + 1;
  return { ...record, times, until: now + Math.min(base * times, max) };
}

/** The backends of one version. */
export interface SuspectGroup {
  readonly policy: OutlierPolicy;
  readonly suspects: readonly Suspect[];
}

export interface OutlierParts {
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Calls `run` once after `ms`; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** All versions that get traffic. */
  readonly groups: () => Iterable<SuspectGroup>;
  /** Told when a backend is ejected (`until` = when it ends) or comes back (null). */
  readonly changed: (key: string, until: number | null) => void;
}

/** A backend that fails at once fails hundreds of requests a second. */
const PERIOD = 200;

/** Looks at the failures of all backends five times a second. Forgets backends that are in no group any more. */
export class OutlierWatch {
  private records = new Map<string, EjectionRecord>();
  private cancel: () => void;
  private readonly parts: OutlierParts;

  constructor(parts: OutlierParts) {
    this.parts = parts;
    this.cancel = parts.after(PERIOD, () => this.look());
  }

  isEjected(key: string): boolean {
    return this.records.get(key)?.until != null;
  }

  close(): void {
    this.cancel();
  }

  private look(): void {
    this.cancel = this.parts.after(PERIOD, () => this.look());
    const now = this.parts.now();
    const before = this.records;
    const after = new Map<string, EjectionRecord>();
    for (const { policy, suspects } of this.parts.groups()) {
      for (const [key, record] of judgeOutliers(suspects, before, policy, now)) after.set(key, record);
    }
    this.records = after;
    for (const [key, { until }] of after) if (until !== (before.get(key)?.until ?? null)) this.parts.changed(key, until);
  }
}
