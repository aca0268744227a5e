import type { Split } from '../pool/split.ts';

/**
 * The split with `incoming` at `weight` percent (1–100) and first, the others sharing the rest in
 * proportion to `before`.
 *
 * The rest is given out percent by percent to the version furthest below its due (Webster's method),
 * so a version never gains by a smaller rest. Each of the others keeps at least 1 while the rest is
 * at least as many percents as they are.
 */
export function sharesFor(before: Split, incoming: string, weight: number): Split {
  const others = before.filter(({ version }) => version !== incoming);
  const rest = others.length === 0 ? 0 : 100 - weight;
  const given = others.map(() => 0);
  for (let left = rest; left > 0; left--) {
    let next = 0;
    for (let i = 1; i < others.length; i++) if (claim(others[i].weight, given[i]) > claim(others[next].weight, given[next])) next = i;
    given[next]++;
  }
  const shares = others.map(({ version }, i) => ({ version, weight: given[i] })).filter((share) => share.weight > 0);
  return [{ version: incoming, weight: 100 - rest }, ...shares];
}

function claim(weight: number, given: number): number {
  return given === 0 ? Number.POSITIVE_INFINITY : weight / (2 * given + 1);
}
