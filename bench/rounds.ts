import { idle } from './idle.ts';
import type { IdleSample } from './idle.ts';
import type { Load } from './load.ts';
import { ask, sample, start } from './measure.ts';
import type { Running, Sample } from './measure.ts';
import type { Processes } from './processes.ts';
import type { Absent } from './report.ts';
import type { Scenario } from './scenarios.ts';
import { backend, echo } from './subjects/backend.ts';
import type { Subject } from './subjects/subject.ts';

export interface Pace {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUp: number;
}

export type Samples<T> = Map<string, T[]>;

/** A scenario's subjects: started when they are needed, each in a process of its own. */
export class Stage {
  private readonly processes: Processes;
  private readonly dir: string;
  private readonly running = new Map<string, Promise<Running>>();

  constructor(processes: Processes, dir: string) {
    this.processes = processes;
    this.dir = dir;
  }

  /** The subject in front of the scenario's backend; a plain one stays for the scenarios that follow. */
  get(subject: Subject, scenario: Scenario): Promise<Running> {
    return this.on(subject, scenario, 'subject', () => this.backend(scenario).then(({ place }) => place.port));
  }

  backend(scenario: Scenario): Promise<Running> {
    return this.on(scenario.kind === 'tunnel' ? echo : backend, scenario, 'load', () => Promise.resolve(0));
  }

  private on(subject: Subject, scenario: Scenario, core: 'subject' | 'load', backendPort: () => Promise<number>): Promise<Running> {
    const tunnel = scenario.kind === 'tunnel';
    const key = `${subject.name} ${tunnel}`;
    // Every subject answers /small; a variant with routes only what its scenario asks for.
    const path = tunnel || scenario.only === undefined || core === 'load' ? '/small' : scenario.path;
    const known = this.running.get(key) ?? backendPort().then((port) => start(this.processes, subject, port, this.dir, core, path));
    this.running.set(key, known);
    return known;
  }

  /** Ends all of them. */
  async end(): Promise<void> {
    const all = await Promise.allSettled(this.running.values());
    this.running.clear();
    await Promise.all(all.flatMap((one) => (one.status === 'fulfilled' ? [this.processes.stop(one.value.child)] : [])));
  }

  /** Ends what only this scenario needs, so that it disturbs no other. */
  async clear(subjects: readonly Subject[], scenario: Scenario): Promise<void> {
    for (const subject of subjects) {
      if (subject.name === subject.base && scenario.kind !== 'tunnel') continue;
      const key = `${subject.name} ${scenario.kind === 'tunnel'}`;
      const running = await this.running.get(key)?.catch(() => null);
      this.running.delete(key);
      if (running) await this.processes.stop(running.child);
    }
  }
}

async function answersAsExpected(running: Running, scenario: Scenario): Promise<void> {
  if (scenario.kind !== 'requests') return;
  const answer = await ask(running.place.port, scenario);
  if (answer.status !== 200 || answer.bytes !== scenario.answerBytes) throw new Error(`answered ${answer.status} with ${answer.bytes} bytes`);
}

/** Errors make a round invalid: it is repeated once. */
async function valid(once: () => Promise<Sample>): Promise<Sample> {
  const first = await once();
  if (first.failed === 0) return first;
  const again = await once();
  if (again.failed > 0) throw new Error(`not valid: ${again.failed} requests of a round have failed, and ${first.failed} the time before`);
  return again;
}

/**
 * A warm-up of each subject, then the rounds in turns; each round begins with another subject. One that
 * fails drops out of this scenario.
 */
export async function measure(stage: Stage, scenario: Scenario, subjects: readonly Subject[], load: Load, pace: Pace): Promise<[Samples<Sample>, Absent[]]> {
  const samples: Samples<Sample> = new Map(subjects.map(({ name }) => [name, []]));
  const absent = new Map<string, Absent>();
  const attempt = async (subject: Subject, round: number): Promise<void> => {
    let running: Running | null = null;
    try {
      running = await stage.get(subject, scenario);
      const behind = await stage.backend(scenario);
      if (round === 0) {
        await answersAsExpected(running, scenario);
        await sample(running, behind, scenario, load, pace.warmUp);
        return;
      }
      const one = running;
      const taken = await valid(() => sample(one, behind, scenario, load, Math.max(pace.seconds, scenario.leastSeconds ?? 0)));
      samples.get(subject.name)?.push(taken);
    } catch (error) {
      samples.delete(subject.name);
      const message = `${(error as Error).message} ${running?.complaint().slice(-200) ?? ''}`.trim();
      absent.set(subject.name, { scenario: scenario.name, subject: subject.name, error: message, expected: message === 'not installed' });
    }
  };
  for (let round = 0; round <= pace.rounds; round++) {
    for (let i = 0; i < subjects.length; i++) {
      const subject = subjects[(i + round) % subjects.length];
      if (!absent.has(subject.name)) await attempt(subject, round);
    }
  }
  await stage.clear(subjects, scenario);
  return [samples, [...absent.values()]];
}

const IDLE_ROUNDS = 3;

/** Idle connections: each subject is started anew for each round. */
export async function measureIdle(
  processes: Processes,
  dir: string,
  stage: Stage,
  scenario: Scenario,
  subjects: readonly Subject[],
  load: Load,
  pace: Pace,
): Promise<[Samples<IdleSample>, Absent[]]> {
  const samples: Samples<IdleSample> = new Map(subjects.map(({ name }) => [name, []]));
  const absent = new Map<string, Absent>();
  const behind = await stage.backend(scenario);
  for (let round = 0; round < Math.min(IDLE_ROUNDS, pace.rounds); round++) {
    for (const subject of subjects) {
      if (absent.has(subject.name)) continue;
      try {
        const taken = await idle(processes, subject, behind, dir, scenario, load, pace.seconds);
        samples.get(subject.name)?.push(taken);
      } catch (error) {
        samples.delete(subject.name);
        const { message } = error as Error;
        absent.set(subject.name, { scenario: scenario.name, subject: subject.name, error: message, expected: message === 'not installed' });
      }
    }
  }
  return [samples, [...absent.values()]];
}
