import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { UpstreamState } from '../pool/upstream.ts';

/**
 * A change that was made with one revision in mind is not made to another.
 * @param ifMatch undefined = whatever it is
 * @throws Refusal that says who has changed it
 */
export function refuseStale({ name, revision, changedBy }: UpstreamState, ifMatch: number | undefined): void {
  if (ifMatch === undefined || ifMatch === revision) return;
  throw new Refusal(REFUSAL.stale, `Upstream ${name} is at revision ${revision}, changed by ${changedBy}; not at ${ifMatch}.`, { revision, changedBy });
}
