import type { Change } from '../config/plain.ts';
import type { ConfigPlan, PlannedChange } from '../control/config-views.ts';
import type { Paint } from './_terminal.ts';
import { ago } from './_text.ts';

const SHOWN = 60;

function valueText(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

function isWhole({ path }: Change): boolean {
  return /^upstreams\.[^.]+$/.test(path);
}

/** One line a field, under the upstream that it is of. */
export function changeLines(changes: readonly (Change & Partial<Pick<PlannedChange, 'changed'>>)[], paint: Paint, who: number | null = null): string[] {
  const width = Math.min(50, Math.max(0, ...changes.map(({ path }) => path.length)));
  return changes.map((change) => {
    const { path, from, to, changed = null } = change;
    const author = who === null || changed === null ? '' : paint('dim', `   (${changed.by}, ${ago(changed.at, who)} ago, change ${changed.id})`);
    if (from === undefined) return `  ${paint('green', '+')} ${path.padEnd(width)}  ${isWhole(change) ? 'a new upstream' : valueText(to)}${author}`;
    if (to === undefined) return `  ${paint('red', '-')} ${path.padEnd(width)}  ${isWhole(change) ? 'removed' : valueText(from)}${author}`;
    return `  ${paint('yellow', '~')} ${path.padEnd(width)}  ${valueText(from)} → ${valueText(to)}${author}`;
  });
}

/** What stands beside the changes of a plan. */
export function noteLines({ kept, restart, warnings }: ConfigPlan, paint: Paint): string[] {
  return [
    ...kept.map((name) => `  ${paint('dim', '=')} upstreams.${name} runs and is not in the file; it stays (--prune removes it)`),
    ...restart.map((field) => paint('yellow', `! ${field} differs and takes effect only at a restart of the proxy with a file that says so`)),
    ...warnings.map((warning) => paint('yellow', `! ${warning}`)),
  ];
}
