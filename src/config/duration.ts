const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const SHAPE = /^(\d{1,12}(?:\.\d{1,3})?)(ms|s|m|h)$/;

/** The longest duration that is accepted, in milliseconds: what a timer of the runtime can hold (about 24.8 days). */
export const MAX_DURATION = 2 ** 31 - 1;

/**
 * Reads a duration: `200ms`, `30s`, `5m`, `1h`, `1.5s`, or a number of milliseconds.
 * @returns whole milliseconds, or null when the text has another shape or the duration is negative or over MAX_DURATION.
 */
export function parseDuration(input: string | number): number | null {
  const ms = typeof input === 'number' ? input : fromText(input);
  return ms >= 0 && ms <= MAX_DURATION ? Math.round(ms) : null;
}

function fromText(text: string): number {
  const match = SHAPE.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * UNITS[match[2]];
}

/**
 * Writes milliseconds in the largest unit that is exact: `30s`, `1.5s`, `5m`, `90s`, `250ms`.
 * What is returned for a duration that parseDuration accepts is read back as the same number.
 */
export function formatDuration(ms: number): string {
  const whole = Math.round(ms);
  if (whole === 0) return '0s';
  if (whole % UNITS.h === 0) return `${whole / UNITS.h}h`;
  if (whole % UNITS.m === 0) return `${whole / UNITS.m}m`;
  return whole >= UNITS.s ? `${whole / UNITS.s}s` : `${whole}ms`;
}
