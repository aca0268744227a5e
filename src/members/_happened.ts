import { REFUSAL, Refusal } from '../errors/catalogue.ts';

/** What has happened to members since the proxy was started, and the refusals that it counts. */
export class Happened {
  /** Reports that were not taken, by why: no room, presumed dead before, too often. */
  readonly refused = { full: 0, expired: 0, rate: 0 };
  /** Members that were presumed dead, or were cut off with work in hand. */
  lost = 0;

  tooOften(id: string, most: number): Refusal {
    this.refused.rate++;
    return new Refusal(REFUSAL.reportRate, `${id} reports more than ${most} times a second.`, { member: id });
  }

  expired(id: string, instance: string): Refusal {
    this.refused.expired++;
    const detail = `Instance ${instance} of ${id} is not known any more; report as another instance, and count from 0.`;
    return new Refusal(REFUSAL.memberExpired, detail, { member: id });
  }

  full(most: number): Refusal {
    this.refused.full++;
    return new Refusal(REFUSAL.membersFull, `There are ${most} members already, as many as worker.maxMembers of this upstream allows.`, { members: most });
  }
}
