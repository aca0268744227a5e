import { stripVTControlCharacters } from 'node:util';

/** `1 backend`, `2 backends`. */
export function plural(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Milliseconds as seconds for people: `0.2 s`, `12.0 s`, `3 min 5 s`. */
export function seconds(ms: number): string {
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  const whole = Math.round(ms / 1_000);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** How long ago, in one unit: `5s`, `12m`, `3h`, `4d`. */
export function ago(iso: string, now: number): string {
  const passed = Math.max(0, Math.floor((now - Date.parse(iso)) / 1_000));
  if (passed < 60) return `${passed}s`;
  if (passed < 3_600) return `${Math.floor(passed / 60)}m`;
  return passed < 86_400 ? `${Math.floor(passed / 3_600)}h` : `${Math.floor(passed / 86_400)}d`;
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Pads to a width that colours do not count for. */
export function pad(text: string, to: number, side: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, to - width(text)));
  return side === 'left' ? text + space : space + text;
}

/** Lines of aligned columns, two spaces apart; a column whose head begins with a space is flush right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], indent = '  '): string[] {
  const titles = head.map((title) => title.trim());
  const widths = titles.map((title, column) => Math.max(title.length, ...rows.map((row) => width(row[column] ?? ''))));
  const line = (cells: readonly string[]): string =>
    indent +
    cells
      .map((cell, column) => pad(cell, widths[column], head[column].startsWith(' ') ? 'right' : 'left'))
      .join('  ')
      .trimEnd();
  return [line(titles), ...rows.map(line)];
}
