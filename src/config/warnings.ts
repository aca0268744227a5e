import type { UpstreamConfig } from './config.ts';

const DAY = 86_400_000;
const SOON_DAYS = 14;

/**
 * What is allowed but should be known: sentences for the operator.
 * @param now epoch milliseconds
 */
export function tlsWarnings({ name, policy: { tls } }: UpstreamConfig, now: number): string[] {
  if (tls === null) return [];
  const warnings = tls.verify
    ? []
    : [`Upstream ${name} does not verify its backends (tls.verify is false): anybody on the way can read and change what is sent.`];
  const held = [
    ['ca', tls.ca],
    ['cert', tls.identity?.certificate ?? null],
  ] as const;
  for (const [field, source] of held) {
    if (source === null) continue;
    const left = source.expires - now;
    const what = `Upstream ${name}: the certificate in tls.${field} (${source.file ?? 'inline'})`;
    if (left <= 0) warnings.push(`${what} has expired on ${day(source.expires)}.`);
    else if (left < SOON_DAYS * DAY) warnings.push(`${what} expires on ${day(source.expires)}.`);
  }
  return warnings;
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}
