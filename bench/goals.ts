import { aligned } from './report.ts';
import type { IdleRow, Row } from './report.ts';

/** A ratio that a figure of ours is to keep: at most `least`, better `stretch`. */
interface Goal {
  readonly scenario: string;
  readonly figure: 'CPU' | 'p99' | 'p99 in a swap';
  readonly ours: string;
  readonly peer: string;
  readonly least: number;
  readonly stretch: number;
}

const cpu = (scenario: string, peer: string, least: number, stretch = least): Goal => ({ scenario, figure: 'CPU', ours: 'switchyard', peer, least, stretch });

const KEPT = ['small', 'browser'].flatMap((scenario) => [
  cpu(scenario, 'nginx', 1.25, 1),
  cpu(scenario, 'http-proxy', 1 / 5),
  cpu(scenario, 'undici', 1 / 2.5),
  cpu(scenario, 'fast-proxy', 1 / 2.5),
]);

const GOALS: readonly Goal[] = [
  ...KEPT,
  ...['100kb', '10mb', 'upload-30kb', 'upload-10mb'].map((scenario) => cpu(scenario, 'haproxy', 1.25, 1)),
  cpu('connect', 'nginx', 2, 1.5),
  cpu('connect', 'caddy', 1),
  cpu('tls', 'nginx', 1.25, 1),
  // Handshakes a second that a core can give: at least 0.8 of nginx's.
  ...['tls-handshake', 'tls-resumed'].map((scenario) => cpu(scenario, 'nginx', 1 / 0.8, 1)),
  ...['h2', 'h2-h2c'].map((scenario) => cpu(scenario, 'nginx', 2, 1)),
  { scenario: '1000-connections', figure: 'p99', ours: 'switchyard', peer: 'nginx', least: 1.5, stretch: 1 },
  { scenario: 'routes', figure: 'CPU', ours: 'switchyard, 10000 routes', peer: 'switchyard, 1 route', least: 1.05, stretch: 1 },
  { scenario: 'swap', figure: 'CPU', ours: 'switchyard, swapping', peer: 'switchyard', least: 1.05, stretch: 1 },
  { scenario: 'swap', figure: 'p99 in a swap', ours: 'switchyard, swapping', peer: 'switchyard', least: 1.05, stretch: 1 },
];

const IDLE_LEAST = 8;
const IDLE_STRETCH = 4;

function figureOf(row: Row, figure: Goal['figure']): number | null {
  if (figure === 'CPU') return row.cpuPerRequest;
  return figure === 'p99' ? row.p99 / 1000 : (row.p99Disturbed ?? NaN) / 1000;
}

function verdict(value: number, least: number, stretch: number): string {
  if (value <= stretch) return 'stretch';
  return value <= least ? 'yes' : 'no';
}

function line(goal: Goal, rows: readonly Row[]): string[][] {
  const find = (subject: string): Row | undefined => rows.find((row) => row.scenario === goal.scenario && row.subject === subject);
  const [own, theirs] = [find(goal.ours), find(goal.peer)];
  if (own === undefined || theirs === undefined) return [];
  const value = figureOf(own, goal.figure);
  // In a swap ours is set against the undisturbed 99th percentile.
  const peer = figureOf(theirs, goal.figure === 'p99 in a swap' ? 'p99' : goal.figure);
  if (value === null || peer === null || Number.isNaN(value)) return [];
  const ratio = value / peer;
  const unit = goal.figure === 'CPU' ? 'µs' : 'ms';
  const texts = [goal.figure, `${value.toFixed(2)} ${unit}`, `${goal.peer} ${peer.toFixed(2)} ${unit}`, ratio.toFixed(2)];
  return [[goal.scenario, ...texts, `≤ ${goal.least.toFixed(2)}`, `≤ ${goal.stretch.toFixed(2)}`, verdict(ratio, goal.least, goal.stretch)]];
}

function idleLine(rows: readonly IdleRow[]): string[][] {
  const own = rows.find((row) => row.subject === 'switchyard');
  if (own === undefined) return [];
  const kilobytes = own.bytesPerConnection / 1024;
  const beside = rows
    .filter((row) => row.subject === 'nginx' || row.subject === 'haproxy')
    .map((row) => `${row.subject} ${(row.bytesPerConnection / 1024).toFixed(1)} KB`);
  const goals = [`≤ ${IDLE_LEAST} KB`, `≤ ${IDLE_STRETCH} KB`, verdict(kilobytes, IDLE_LEAST, IDLE_STRETCH)];
  return [['idle', 'memory', `${kilobytes.toFixed(1)} KB`, beside.join(', ') || '-', '-', ...goals]];
}

/** Ours beside what it is to keep to. */
export function goalsTable(rows: readonly Row[], idleRows: readonly IdleRow[]): string {
  const body = [...GOALS.flatMap((goal) => line(goal, rows)), ...idleLine(idleRows)];
  if (body.length === 0) return 'goals: none of them was measured';
  return `goals\n${aligned([['', 'figure', 'ours', 'beside', 'ratio', 'at least', 'stretch', 'reached'], ...body])}`;
}
