import type { MemberView, VersionView } from '../control/operations.ts';
import type { Paint } from './_terminal.ts';
import { ago, plural, table } from './_text.ts';

/** Up to so many members are shown one by one. */
const SHOWN = 20;
/** Of more than that those that stand out, and what all of them come to. */
const STANDING_OUT = 10;
const NOT_HEARD_MS = 10_000;

type Row = readonly string[];

function rowOf(member: MemberView, paint: Paint, now: number): Row {
  const { name, order, generation, state, ready, leases, counts, lastReportAt } = member;
  const colour = order === 'run' ? 'green' : order === 'stop' ? 'red' : 'yellow';
  const standing = state === 'alive' ? (ready ? paint('green', 'ready') : paint('yellow', 'not ready')) : paint('yellow', state);
  const { started, upstreamFailed, killed } = counts;
  const figures = [generation, leases, started, upstreamFailed, killed].map(String);
  return [name, standing, paint(colour, order), ...figures, ago(lastReportAt, now)];
}

/** What somebody who looks would like to hear of: not ready, silent, told to stop, or behind the others. */
function standsOut({ state, ready, order, generation, lastReportAt }: MemberView, newest: number, now: number): boolean {
  return state !== 'alive' || !ready || order === 'stop' || generation < newest || now - Date.parse(lastReportAt) > NOT_HEARD_MS;
}

function parts(counted: readonly (readonly [number, string])[]): string {
  return counted
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count} ${what}`)
    .join(', ');
}

/** `250 members: 248 ready, 2 silent; 250 run; 31 leases in hand`. */
function summaryOf(members: readonly MemberView[]): string {
  const count = (is: (member: MemberView) => boolean): number => members.filter(is).length;
  const standing = parts([
    [count(({ state, ready }) => state === 'alive' && ready), 'ready'],
    [count(({ state, ready }) => state === 'alive' && !ready), 'not ready'],
    [count(({ state }) => state === 'silent'), 'silent'],
    [count(({ state }) => state === 'superseded'), 'superseded'],
  ]);
  const orders = parts((['run', 'quiesce', 'stop'] as const).map((order) => [count((member) => member.order === order), order] as const));
  const inHand = members.reduce((sum, { leases }) => sum + leases, 0);
  return `${plural(members.length, 'member')}: ${standing}; ${orders}; ${plural(inHand, 'lease')} in hand`;
}

/** The members of a version; of hundreds those that stand out, and a summary. */
export function memberLines(version: VersionView, paint: Paint, now: number): string[] {
  const { members } = version;
  const there = new Set(members.map(({ name }) => name));
  const missing = version.backends
    .filter(({ address, health }) => !there.has(address) && health !== 'healthy')
    .map(({ address, lastProbe }): Row => [address, paint('red', lastProbe?.error ?? 'has not reported')]);
  const head = [`MEMBER OF ${version.id}`, 'STATE', 'ORDER', ' FOLLOWS', ' IN HAND', ' LEASES', ' FAILED', ' KILLED', ' HEARD'];
  if (members.length + missing.length <= SHOWN) return table(head, [...members.map((member) => rowOf(member, paint, now)), ...missing]);
  const newest = members.reduce((most, { generation }) => Math.max(most, generation), 0);
  const odd = members.filter((member) => standsOut(member, newest, now));
  const rows = [...odd.map((member) => rowOf(member, paint, now)), ...missing];
  const more = rows.length - STANDING_OUT;
  const absent = missing.length === 0 ? '' : `; ${missing.length} declared and not there`;
  return [
    ...table(head, rows.slice(0, STANDING_OUT)),
    ...(more > 0 ? [`  ${more} more that stand out`] : []),
    `  ${members.length === 0 ? 'no members' : summaryOf(members)}${absent}; all of them: switchyard status UPSTREAM --json`,
  ];
}
