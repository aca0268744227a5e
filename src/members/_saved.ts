import { z } from 'zod';
import type { Books, Entry } from './_books.ts';

const Whole = z.number().int().min(0);
const Tally = z.object({ completed: Whole, failed: Whole, aborted: Whole, killed: Whole });

/** What is on disk about the members of an upstream. */
export const SavedSchema = z.object({
  /** The last that was published. */
  generation: Whole,
  /** Milliseconds: the longest that anybody was told. */
  ttl: z.number().min(0),
  versions: z.record(z.string(), z.object({ gone: Tally, peak: Whole, firstAt: z.number().min(0), lastAt: z.number().min(0) })),
  members: z.array(
    z.object({ id: z.string(), instance: z.string(), version: z.string(), spent: z.boolean(), joinedAt: z.number().min(0), inHand: Whole, tally: Tally }),
  ),
});

export type Saved = z.output<typeof SavedSchema>;

/** @param ttl the longest that anybody was told. @param restored versions that have not been taken up again yet. */
export function savedOf(
  generation: number,
  ttl: number,
  restored: ReadonlyMap<string, Saved['versions'][string]>,
  books: readonly Books[],
  entries: readonly Entry[],
): Saved {
  const open = books.map(({ id, gone, peak, firstAt, lastAt }) => [id, { gone: { ...gone }, peak, firstAt, lastAt }] as const);
  const members = entries.map(({ id, instance, version, spent, joinedAt, inHand, tally }) => ({
    id,
    instance,
    version,
    spent,
    joinedAt,
    inHand,
    tally: { ...tally },
  }));
  return { generation, ttl, versions: Object.fromEntries([...restored, ...open]), members };
}
