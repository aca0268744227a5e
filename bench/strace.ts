/**
 * Calls by name in a summary of `strace -c`, whose columns are: share, seconds, µs per call, calls, errors (when there were any), name.
 */
export function countsOf(summary: string): Map<string, number> {
  const rows = summary.split('\n').map((line) => line.trim().split(/\s+/));
  const counted = rows.filter((cells) => /^[\d.]+$/.test(cells[0]) && cells.length >= 5 && cells.at(-1) !== 'total');
  return new Map(counted.map((cells) => [cells.at(-1) ?? '', Number(cells[3])]));
}
