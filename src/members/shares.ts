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

const LONGEST = 63;

/** `v2-2` before `v2-10`, by a plain comparison. */
function sortKey(id: string): string {
  return id.replaceAll(/\d+/g, (digits) => digits.padStart(LONGEST, '0'));
}

/**
 * Which of them: those that run already go first, then by name (`v2-2` before `v2-10`), so that a larger weight, or another member,
 * never stops one that runs.
 */
export function pickRunning<T extends { readonly id: string; readonly running: boolean }>(members: readonly T[], weight: number): Set<T> {
  const count = runningOf(weight, members.length);
  if (count === 0 || count === members.length) return new Set(count === 0 ? [] : members);
  const order = members
    .map((member) => ({ member, key: `${member.running ? 0 : 1}${sortKey(member.id)}` }))
    .toSorted((a, b) => (a.key === b.key ? (a.member.id < b.member.id ? -1 : 1) : a.key < b.key ? -1 : 1));
  return new Set(order.slice(0, count).map(({ member }) => member));
}
