import { AGREED, ask } from './ask.ts';
import { newCertificate } from './certificate.ts';
import type { Pair } from './certificate.ts';
import { idle } from './idle.ts';
import type { IdleSample } from './idle.ts';
import type { Load } from './load.ts';
import { sample, start } from './measure.ts';
import type { Running, Sample } from './measure.ts';
import type { Processes } from './processes.ts';
import type { Absent } from './report.ts';
import type { Scenario } from './scenarios.ts';
import { backend, byNginx, echo } from './subjects/backend.ts';
import { NOT_INSTALLED } from './subjects/subject.ts';
import type { Subject } from './subjects/subject.ts';

export interface Pace {
  readonly rounds: number;
  readonly seconds: number;
  /** Length of a warm-up; there are up to MOST_WARM_UPS, until there were so many requests or what the scenario wants more. 0 = one. */
  readonly warmUp: number;
  readonly warmRequests: number;
}

const MOST_WARM_UPS = 6;

export type Samples<T> = Map<string, T[]>;

/** A scenario's subjects: started when they are needed, each in a process of its own. */
export class Stage {
  private readonly processes: Processes;
  private readonly dir: string;
  private readonly running = new Map<string, Promise<Running>>();
  private certificate: Promise<Pair> | null = null;

  constructor(processes: Processes, dir: string) {
    this.processes = processes;
    this.dir = dir;
  }

  /** The subject in front of the scenario's backend; a plain one stays for the scenarios that follow. */
  get(subject: Subject, scenario: Scenario): Promise<Running> {
    return this.once(keyOf(subject, scenario), async () => {
      const { place } = await this.backend(scenario);
      const { behind, speaks } = scenario;
      const tls = speaks === 'http' ? null : await (this.certificate ??= newCertificate(this.dir));
      // Every subject answers /small; a variant with routes only what its scenario asks for.
      const path = scenario.kind === 'tunnel' || scenario.only === undefined ? '/small' : scenario.path;
      const h2c = behind === 'h2c';
      const backendPort = h2c ? place.sparePort : place.port;
      return start(this.processes, subject, { backendPort, parent: this.dir, core: 'subject', path, tls, h2c });
    });
  }

  backend(scenario: Scenario): Promise<Running> {
    const subject = scenario.kind === 'tunnel' ? echo : backend;
    if (scenario.behind === 'h2c' && subject !== byNginx) throw new Error('its backend, nginx, is not installed');
    return this.once(subject.name, () => start(this.processes, subject, { backendPort: 0, parent: this.dir, core: 'load', path: '/small' }));
  }

  private once(key: string, begin: () => Promise<Running>): Promise<Running> {
    const known = this.running.get(key) ?? begin();
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
      if (subject.name === subject.base && scenario.kind !== 'tunnel' && scenario.behind === 'http') continue;
      const key = keyOf(subject, scenario);
      const running = await this.running.get(key)?.catch(() => null);
      this.running.delete(key);
      if (running) await this.processes.stop(running.child);
    }
  }
}

/** A subject serves all scenarios of one kind. */
function keyOf(subject: Subject, { kind, speaks, behind }: Scenario): string {
  return [subject.name, kind === 'tunnel', speaks === 'http', behind].join();
}

async function answersAsExpected(running: Running, scenario: Scenario): Promise<void> {
  if (scenario.kind !== 'requests') return;
  const { status, bytes, agreed } = await ask(running.place.port, scenario);
  if (status !== 200 || bytes !== scenario.answerBytes) throw new Error(`answered ${status} with ${bytes} bytes`);
  const expected = scenario.speaks === 'http' ? '' : `${AGREED}, ${scenario.speaks === 'h2' ? 'h2' : 'http/1.1'}`;
  if (agreed !== expected) throw new Error(`has agreed on ${agreed} instead of ${expected}`);
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
        const enough = pace.warmRequests === 0 ? 0 : Math.max(pace.warmRequests, scenario.warmRequests ?? 0);
        for (let made = 0, i = 0; i === 0 || (made < enough && i < MOST_WARM_UPS); i++)
          made += (await sample(running, behind, scenario, load, pace.warmUp)).requestsPerSecond * pace.warmUp;
        return;
      }
      const one = running;
      const taken = await valid(() => sample(one, behind, scenario, load, Math.max(pace.seconds, scenario.leastSeconds ?? 0)));
      samples.get(subject.name)?.push(taken);
    } catch (error) {
      samples.delete(subject.name);
      const { message: reason } = error as Error;
      const message = reason.endsWith(NOT_INSTALLED) ? reason : `${reason} ${running?.complaint().slice(-200) ?? ''}`.trim();
      absent.set(subject.name, { scenario: scenario.name, subject: subject.name, error: message, expected: message.endsWith(NOT_INSTALLED) });
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
        absent.set(subject.name, { scenario: scenario.name, subject: subject.name, error: message, expected: message.endsWith(NOT_INSTALLED) });
      }
    }
  }
  return [samples, [...absent.values()]];
}
