import type { IdleSample } from './idle.ts';
import type { Sample } from './measure.ts';
import type { Scenario } from './scenarios.ts';
import { NOT_INSTALLED } from './subjects/subject.ts';

/** Those whose figures the others are set against. */
const PEERS = ['nginx', 'haproxy', 'http-proxy'] as const;

interface Common {
  readonly scenario: string;
  readonly subject: string;
  readonly rounds: number;
  /** The figure to compare (`cpuPerRequest` in µs, or `bytesPerConnection`) as a multiple of the named subject's; null when that did not run. */
  readonly against: Readonly<Record<string, number | null>>;
}

/** What came of one subject in one scenario: medians over the rounds. */
export interface Row extends Sample, Common {
  /** Lowest and highest CPU per request of the rounds. */
  readonly cpuRange: readonly [number, number];
}

export interface IdleRow extends IdleSample, Common {}

/** A subject that has no figures in a scenario, and why. `expected`: not installed, or the scenario is not for it. */
export interface Absent {
  readonly scenario: string;
  readonly subject: string;
  readonly error: string;
  readonly expected: boolean;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function against(scenario: Scenario, subject: string, figures: ReadonlyMap<string, number>): Record<string, number | null> {
  const names = [...PEERS, ...(scenario.against === undefined ? [] : [scenario.against])];
  const own = figures.get(subject) ?? 0;
  return Object.fromEntries(
    names.map((name) => {
      const theirs = figures.get(name);
      return [name, theirs === undefined || theirs === 0 ? null : own / theirs];
    }),
  );
}

function mediansOf<T>(samples: ReadonlyMap<string, readonly T[]>, figure: (one: T) => number): Map<string, number> {
  return new Map([...samples].filter(([, rounds]) => rounds.length > 0).map(([subject, rounds]) => [subject, median(rounds.map(figure))]));
}

/** The rows of one scenario. */
export function rowsOf(scenario: Scenario, samples: ReadonlyMap<string, readonly Sample[]>): Row[] {
  const costs = mediansOf(samples, (round) => round.cpuPerRequest);
  return [...costs].map(([subject, cpuPerRequest]) => {
    const rounds = samples.get(subject) ?? [];
    const of = (figure: (round: Sample) => number): number => median(rounds.map(figure));
    const all = rounds.map((round) => round.cpuPerRequest);
    const cutovers = rounds.flatMap((round) => round.p99Disturbed ?? []);
    return {
      scenario: scenario.name,
      subject,
      rounds: rounds.length,
      cpuPerRequest,
      cpuRange: [Math.min(...all), Math.max(...all)] as const,
      requestsPerSecond: of((round) => round.requestsPerSecond),
      p50: of((round) => round.p50),
      p99: of((round) => round.p99),
      p999: of((round) => round.p999),
      rss: of((round) => round.rss),
      loadCore: of((round) => round.loadCore),
      p99Disturbed: cutovers.length === 0 ? null : median(cutovers),
      failed: rounds.reduce((sum, round) => sum + round.failed, 0),
      against: against(scenario, subject, costs),
    };
  });
}

export function idleRowsOf(scenario: Scenario, samples: ReadonlyMap<string, readonly IdleSample[]>): IdleRow[] {
  const bytes = mediansOf(samples, (round) => round.bytesPerConnection);
  return [...bytes].map(([subject, bytesPerConnection]) => {
    const rounds = samples.get(subject) ?? [];
    const rss = median(rounds.map((round) => round.rss));
    return { scenario: scenario.name, subject, rounds: rounds.length, bytesPerConnection, rss, against: against(scenario, subject, bytes) };
  });
}

/** Columns as wide as their widest cell; the first is set left, the others right. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ')).join('\n');
}

const times = (ratio: number | null): string => (ratio === null ? '-' : ratio.toFixed(2));
const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
/** Not all loads tell each latency. */
const millis = (micros: number): string => (Number.isNaN(micros) ? '-' : (micros / 1000).toFixed(2));

/** Names that any row is set against. */
function columnsOf(rows: readonly Common[]): string[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.against)))];
  return names.filter((name) => rows.some((row) => row.against[name] !== null));
}

/** Above this, load and backend had no more to give. */
const SATURATED = 0.95;

/** What to know when reading a scenario's figures. */
function notes(scenario: Scenario, rows: readonly Row[], absent: readonly Absent[]): string[] {
  const full = rows.filter((row) => row.loadCore > SATURATED).map((row) => row.subject);
  const cutovers = rows.filter((row) => row.p99Disturbed !== null);
  return [
    ...(scenario.only === undefined ? [] : [`only ${scenario.only.subjects.join('; ')}: ${scenario.only.why}`]),
    ...(scenario.except === undefined ? [] : [`not ${scenario.except.subjects.join(', ')}: ${scenario.except.why}`]),
    ...(full.length === 0 ? [] : [`requests/s and latencies are those of the load and the backend, whose core was full, for: ${full.join('; ')}`]),
    ...cutovers.map((row) => `${row.subject}: p99 of the answers while it happened ${millis(row.p99Disturbed ?? 0)} ms, of all ${millis(row.p99)} ms`),
    ...absent.filter(({ expected, error }) => !expected || error.endsWith(NOT_INSTALLED)).map(({ subject, error }) => `${subject}: ${error}`),
  ];
}

/** The table of one scenario, cheapest first. */
export function table(scenario: Scenario, rows: readonly Row[], absent: readonly Absent[]): string {
  const columns = columnsOf(rows);
  const unit = scenario.kind === 'tunnel' ? 'msg' : 'req';
  const head = ['', `CPU µs/${unit}`, 'range', `${unit}/s`, 'p50 ms', 'p99 ms', 'p99.9 ms', 'RSS MB', 'load core', ...columns.map((name) => `× ${name}`)];
  const body = [...rows]
    .sort((a, b) => a.cpuPerRequest - b.cpuPerRequest)
    .map((row) =>
      [
        row.subject,
        row.cpuPerRequest.toFixed(1),
        `${row.cpuRange[0].toFixed(1)}–${row.cpuRange[1].toFixed(1)}`,
        Math.round(row.requestsPerSecond).toString(),
        millis(row.p50),
        millis(row.p99),
        millis(row.p999),
        megabytes(row.rss),
        `${(row.loadCore * 100).toFixed(0)} %`,
      ].concat(columns.map((name) => times(row.against[name]))),
    );
  return [`${scenario.name}: ${scenario.standsFor}`, aligned([head, ...body]), ...notes(scenario, rows, absent)].join('\n');
}

export function idleTable(scenario: Scenario, rows: readonly IdleRow[], absent: readonly Absent[]): string {
  const columns = columnsOf(rows);
  const head = ['', 'KB/connection', 'RSS MB', ...columns.map((name) => `× ${name}`)];
  const body = [...rows]
    .sort((a, b) => a.bytesPerConnection - b.bytesPerConnection)
    .map((row) => [row.subject, (row.bytesPerConnection / 1024).toFixed(1), megabytes(row.rss)].concat(columns.map((name) => times(row.against[name]))));
  const title = `${scenario.name}: ${scenario.standsFor} (${scenario.connections} of them)`;
  return [title, aligned([head, ...body]), ...notes(scenario, [], absent)].join('\n');
}
