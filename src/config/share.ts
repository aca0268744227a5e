/** Reads a share of something: a number from 0 to 1, or percent as `'1%'`; null = neither. */
export function parseShare(value: unknown): number | null {
  const percent = typeof value === 'string' ? /^(\d{1,3}(?:\.\d{1,6})?)\s*%$/.exec(value.trim()) : null;
  const share = percent !== null ? Number(percent[1]) / 100 : typeof value === 'string' && /^[01](?:\.\d{1,9})?$/.test(value) ? Number(value) : value;
  return typeof share === 'number' && share >= 0 && share <= 1 ? share : null;
}
