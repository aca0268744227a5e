import type { Sample } from './measure.ts';
import type { Scenario } from './scenarios.ts';

/** What came of one subject in one scenario: medians over the rounds, or why there are none. */
export interface Row extends Sample {
  readonly scenario: string;
  readonly subject: string;
  readonly rounds: number;
  /** Lowest and highest CPU per request of the rounds. */
  readonly cpuRange: readonly [number, number];
  /** How many times as much CPU per request these take; null when they did not run. */
  readonly timesCheaperThan: { readonly 'http-proxy': number | null; readonly nginx: number | null };
}

export interface Absent {
  readonly scenario: string;
  readonly subject: string;
  readonly error: string;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The rows of one scenario. */
export function rowsOf(scenario: Scenario, samples: ReadonlyMap<string, readonly Sample[]>): Row[] {
  const cpuOf = (subject: string): number | null => {
    const rounds = samples.get(subject);
    return rounds === undefined || rounds.length === 0 ? null : median(rounds.map((round) => round.cpuPerRequest));
  };
  const [httpProxy, nginx] = [cpuOf('http-proxy'), cpuOf('nginx')];
  return [...samples].flatMap(([subject, rounds]) => {
    const cpu = cpuOf(subject);
    if (cpu === null) return [];
    const costs = rounds.map((round) => round.cpuPerRequest);
    return {
      scenario: scenario.name,
      subject,
      rounds: rounds.length,
      cpuPerRequest: cpu,
      cpuRange: [Math.min(...costs), Math.max(...costs)] as const,
      requestsPerSecond: median(rounds.map((round) => round.requestsPerSecond)),
      p50: median(rounds.map((round) => round.p50)),
      p99: median(rounds.map((round) => round.p99)),
      rss: median(rounds.map((round) => round.rss)),
      failed: rounds.reduce((sum, round) => sum + round.failed, 0),
      timesCheaperThan: { 'http-proxy': httpProxy === null ? null : httpProxy / cpu, nginx: nginx === null ? null : nginx / cpu },
    };
  });
}

/** Columns as wide as their widest cell; the first is set left, the others right. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ')).join('\n');
}

const times = (ratio: number | null): string => (ratio === null ? '-' : `${ratio.toFixed(2)}×`);

/** The table of one scenario, cheapest first. */
export function table(scenario: Scenario, rows: readonly Row[], absent: readonly Absent[]): string {
  const head = ['', 'CPU µs/req', 'range', 'req/s', 'p50 ms', 'p99 ms', 'RSS MB', 'failed', 'vs http-proxy', 'vs nginx'];
  const body = [...rows]
    .sort((a, b) => a.cpuPerRequest - b.cpuPerRequest)
    .map((row) => [
      row.subject,
      row.cpuPerRequest.toFixed(1),
      `${row.cpuRange[0].toFixed(1)}–${row.cpuRange[1].toFixed(1)}`,
      Math.round(row.requestsPerSecond).toString(),
      (row.p50 / 1000).toFixed(2),
      (row.p99 / 1000).toFixed(2),
      (row.rss / 2 ** 20).toFixed(0),
      String(row.failed),
      times(row.timesCheaperThan['http-proxy']),
      times(row.timesCheaperThan.nginx),
    ]);
  const missing = absent.map(({ subject, error }) => `${subject}: ${error}`);
  return [`${scenario.name}: ${scenario.standsFor}`, aligned([head, ...body]), ...missing].join('\n');
}
