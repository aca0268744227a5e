import { z } from 'zod';

/** What a member is told: take work; take no more and finish what is in hand; give back what is in hand, and end. */
export type Order = 'run' | 'quiesce' | 'stop';

/** Leases that one member may name. */
const MOST_LEASES = 1_000;
const MOST_COUNT = 1_000_000;
/** Of the leases that a member names, these are remembered, for people to look at. */
const SHOWN_LEASES = 10;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const NAMED = 'expected 1 to 63 letters, digits, dots, dashes and underscores that begin with a letter or digit';
const WHOLE = 'expected a whole number of at least 0';
const Name = z.string({ error: NAMED }).regex(NAME, { error: NAMED });
const Whole = z.int({ error: WHOLE }).min(0, { error: WHOLE });
const COUNT = `expected a whole number from 0 to ${MOST_COUNT}, or a list of at most ${MOST_LEASES} names`;
const LeaseName = z.string({ error: 'expected a text' }).max(200, { error: 'expected at most 200 characters' });

export const MemberName = Name.meta({ description: 'Name of a member, unique in its upstream', examples: ['v2-1'] });

/** What a member says of itself: the body of a report, and the answer to a poll. */
export const ReportBody = z
  .strictObject({
    version: Name.meta({ description: 'The version that it is of' }),
    instance: Name.optional().meta({ description: 'Names the life of the process: another one each time it starts. Without it, `done` may not be given' }),
    seq: Whole.optional().meta({ description: 'Rises with each report of an instance: an older one that comes later changes nothing' }),
    busy: z.boolean({ error: 'expected true or false' }).default(false).meta({ description: 'Has work in hand, at least one lease' }),
    leases: z
      .union([z.int().min(0).max(MOST_COUNT), z.array(LeaseName).max(MOST_LEASES)], { error: COUNT })
      .default(0)
      .meta({ description: 'Jobs that it has in hand: how many, or their names' }),
    ready: z.boolean({ error: 'expected true or false' }).default(true).meta({ description: 'Whether it could take work' }),
    done: z
      .strictObject({ completed: Whole, failed: Whole.default(0), aborted: Whole.default(0) })
      .optional()
      .meta({ description: 'Leases that it has given back since its instance began. Without it, what vanishes from `leases` counts as completed' }),
    generation: Whole.default(0).meta({ description: 'Of the last order that it has heard and follows; 0 = it has heard none' }),
    order: z.enum(['run', 'quiesce', 'stop'], { error: 'expected run, quiesce or stop' }).optional().meta({ description: 'That order' }),
  })
  .superRefine(({ done, instance }, context) => {
    if (done !== undefined && instance === undefined)
      context.addIssue({ code: 'custom', path: ['instance'], message: 'expected a name, because done counts from where it began', input: instance });
  });

export interface Done {
  readonly completed: number;
  readonly failed: number;
  /** Given back undone. */
  readonly aborted: number;
}

export interface Report {
  readonly version: string;
  readonly instance: string;
  readonly seq: number | null;
  readonly inHand: number;
  /** Some of the leases by name. */
  readonly names: readonly string[];
  readonly ready: boolean;
  readonly done: Done | null;
  readonly generation: number;
  readonly order: Order | null;
}

/** A report in the words of the register. */
export function reportOf(body: z.output<typeof ReportBody>): Report {
  const { version, instance, seq, busy, leases, ready, done, generation, order } = body;
  const count = typeof leases === 'number' ? leases : leases.length;
  return {
    version,
    // Who does not name its life is another one with each version: a process does not change its version.
    instance: instance ?? `of-${version}`.slice(0, 63),
    seq: seq ?? null,
    inHand: Math.max(count, busy ? 1 : 0),
    names: typeof leases === 'number' ? [] : leases.slice(0, SHOWN_LEASES),
    ready,
    done: done ?? null,
    generation,
    order: order ?? null,
  };
}

/** What a member is answered. Durations in milliseconds. */
export interface OrderView {
  order: Order;
  generation: number;
  /** Report again within so long. */
  reportWithin: number;
  /** From when the report was sent: after so long without another answer take no more work. */
  expiresIn: number;
}
