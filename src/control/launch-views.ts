import type { LaunchSpec } from '../config/launch.ts';
import { maskedCommand } from '../config/masked-command.ts';
import { endText } from '../launch/driver.ts';
import type { Launches, ProcessFacts } from '../launch/launches.ts';
import type { DeployView, Explanation, LaunchView, ProcessView } from './operations.ts';

const MASKED = '***';

export function processView({ since, ...facts }: ProcessFacts): ProcessView {
  return { ...facts, since: since === null ? null : new Date(since).toISOString() };
}

/** How a version is launched, without the values of its environment and other secrets. */
export function launchView({ driver, replicas, command, cwd, env, image }: LaunchSpec): LaunchView {
  return { driver, replicas, command: maskedCommand(command), cwd, image, env: Object.fromEntries(Object.keys(env).map((name) => [name, MASKED])) };
}

/** That a deploy has not come to its swap yet. @param id the version that is asked about; null = all */
export function startFacts(deploy: DeployView | null, id: string | null): Explanation['facts'] {
  if (deploy === null || (id !== null && id !== deploy.version)) return [];
  const { version, requestedBy, processes } = deploy;
  const up = processes.filter(({ state }) => state === 'running').length;
  return [{ fact: `a deploy of ${version}, asked for by ${requestedBy}, is starting its processes: ${up} of ${processes.length} up`, blocks: 'admitted' }];
}

/** What is not well with processes that were launched, one sentence each. */
export function launchFacts(launches: Launches, upstream: string, versions: readonly string[]): Explanation['facts'] {
  const stopping = launches.stopping(upstream);
  return versions.flatMap((version) =>
    launches.processes(upstream, version).flatMap(({ replica, state, restarts, lastEnd, problem }): Explanation['facts'] => {
      const name = `process ${replica} of ${version}`;
      const why = problem ?? (lastEnd === null ? null : `it ${endText(lastEnd)}`);
      if (stopping.includes(version)) return [{ fact: `${name} is being stopped${why === null ? '' : `: ${why}`}`, blocks: 'nothing' }];
      if (state === 'looping') return [{ fact: `${name} ends again and again (${restarts} restarts): ${why ?? 'nobody knows why'}`, blocks: 'nothing' }];
      if (state === 'waiting') return [{ fact: `${name} is about to be started again: ${why ?? 'it does not run'}`, blocks: 'nothing' }];
      return [];
    }),
  );
}
