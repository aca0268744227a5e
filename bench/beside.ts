import { machine } from './machine.ts';
import { start } from './measure.ts';
import type { Running, Sample } from './measure.ts';
import type { Processes } from './processes.ts';
import { aligned, median } from './report.ts';
import { SUBJECTS } from './subjects/all.ts';
import { backend } from './subjects/backend.ts';
import type { Subject } from './subjects/subject.ts';

/** Of the normal load, in µs. */
export interface Latencies {
  readonly p50: number;
  readonly p99: number;
}

/** What hostile clients have done to the others of a subject. */
export interface Beside {
  readonly subject: string;
  readonly without: Latencies;
  readonly with: Latencies;
}

/** How a subject is measured. */
export interface Trial<T> {
  /** @param found what there is to tell is added there. */
  of(subject: Subject, found: T[]): Promise<void>;
}

/** Throws, in a line, when one of those given is unknown. */
export function allKnown(what: string, given: readonly string[], known: readonly string[]): void {
  const unknown = given.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`there is no ${what} ${unknown}`);
}

/** The subjects of these names that are installed. Throws, in a line, when one is not among those that can be asked for. */
export function subjectsOf(given: readonly string[], known: readonly string[]): Subject[] {
  allKnown('subject', given, known);
  return SUBJECTS.filter(({ name, program }) => given.includes(name) && program !== null);
}

/** Medians over rounds. */
export function latenciesOf(rounds: readonly Sample[]): Latencies {
  return { p50: median(rounds.map(({ p50 }) => p50)), p99: median(rounds.map(({ p99 }) => p99)) };
}

export const LATENCIES = ['p50 ms', 'p99 ms', 'with: p50', 'p99', '× p99'];

/** Cells of a row, below those titles. */
export function latencyCells(one: Beside): string[] {
  const ms = [one.without.p50, one.without.p99, one.with.p50, one.with.p99].map((micros) => (micros / 1000).toFixed(2));
  return [...ms, (one.with.p99 / one.without.p99).toFixed(2)];
}

/**
 * Starts the backend, measures one subject after the other and prints the table. One that fails is told of and does not stop the rest.
 * @param about who the hostile clients are. @param table titles, then a row for each of the figures.
 * @returns the exit code.
 */
export async function measureBeside<T>(
  { about, subjects, processes, dir }: { about: string; subjects: readonly Subject[]; processes: Processes; dir: string },
  trialWith: (behind: Running) => Trial<T>,
  table: (all: readonly T[]) => string[][],
): Promise<number> {
  const { cpu, cores, kernel, node } = machine();
  console.log(`${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}: ${about}`);
  const trial = trialWith(await start(processes, backend, { backendPort: 0, parent: dir, core: 'load', path: '/small' }));
  const all: T[] = [];
  let complete = true;
  for (const subject of subjects) {
    try {
      await trial.of(subject, all);
    } catch (error) {
      complete = false;
      console.log(`${subject.name}: ${(error as Error).message}`);
    }
  }
  if (all.length > 0) console.log(`\n${aligned(table(all))}`);
  return complete ? 0 : 1;
}
