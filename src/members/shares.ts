/**
 * How many of the members of a version may take work.
 *
 * The nearest whole number to `weight` percent of `members`, at least one while there is weight and a member: a canary of
 * 5 % among three workers is one worker. A larger weight never means fewer, nor does one more member.
 * @param weight percent, 0–100
 */
export function runningOf(weight: number, members: number): number {
  return weight === 0 || members === 0 ? 0 : Math.min(members, Math.max(1, Math.round((weight * members) / 100)));
}

const BY_NAME = new Intl.Collator('en', { numeric: true });

/**
 * Which of them: those that run already go first, then by name (`v2-2` before `v2-10`), so that a larger weight, or another member,
 * never stops one that runs.
 */
export function pickRunning<T extends { readonly id: string; readonly running: boolean }>(members: readonly T[], weight: number): Set<T> {
  const order = members.toSorted((a, b) => Number(b.running) - Number(a.running) || BY_NAME.compare(a.id, b.id) || (a.id < b.id ? -1 : 1));
  return new Set(order.slice(0, runningOf(weight, members.length)));
}
