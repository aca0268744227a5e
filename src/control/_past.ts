import type { LaunchSpec } from '../config/launch.ts';
import { maskedCommand } from '../config/masked-command.ts';
import type { History } from '../history/history.ts';
import { isFinished } from '../pool/upstream.ts';
import type { Swap } from '../pool/upstream.ts';

const MOST_COMMAND = 500;

/** What was launched by a deploy, for its first step and the history: of its environment the names alone. */
export function launchFactsOf({ driver, replicas, command, image, env, cwd }: LaunchSpec): Record<string, unknown> {
  return {
    driver,
    replicas,
    ...(image === null ? {} : { image }),
    ...(command.length === 0 ? {} : { command: shown(command) }),
    ...(cwd === null ? {} : { cwd }),
    ...(Object.keys(env).length === 0 ? {} : { env: Object.keys(env).toSorted() }),
  };
}

/** As one line, without secrets. */
function shown(command: readonly string[]): string {
  const line = maskedCommand(command)
    .map((word) => (/^[^\s'"\\]+$/.test(word) ? word : JSON.stringify(word)))
    .join(' ');
  return line.length > MOST_COMMAND ? `${line.slice(0, MOST_COMMAND)}…` : line;
}

/** Writes a swap that has ended into the history; of a deploy, it is the whole deploy. */
export function recordSwap(history: History, upstream: string, swap: Swap): void {
  const { id, kind, from, to, state, requestedBy, reason } = swap;
  const { version: _, addresses: __, ms: ___, ...launched } = swap.steps.find(({ name }) => name === 'started')?.evidence ?? {};
  const isDeploy = 'driver' in launched;
  const way = `${isDeploy ? 'deploy' : kind} ${from.at(0) ?? 'nothing'} → ${to}: ${state}`;
  history.record({
    by: requestedBy,
    via: 'api',
    kind: isDeploy ? 'deploy' : 'swap',
    upstream,
    summary: reason === null ? way : `${way} (${reason})`,
    changes: [],
    facts: { ...(isDeploy ? { deploy: id } : {}), swap: id, from: from.at(0) ?? null, to, outcome: state, ...(isDeploy ? launched : {}) },
  });
}

/** A swap that ended just before the proxy was killed. */
export function recordMissed(history: History, upstream: string, swap: Swap | null): void {
  if (swap === null || swap.kind === 'seed' || !isFinished(swap) || history.has('swap', swap.id)) return;
  recordSwap(history, upstream, swap);
}

/** A deploy that has not come to a swap. */
export interface FailedDeploy {
  readonly id: string;
  readonly upstream: string;
  readonly version: string;
  readonly by: string;
  readonly spec: LaunchSpec;
  /** What was live, and stays so; null = nothing. */
  readonly from: string | null;
  readonly outcome: 'failed' | 'aborted' | 'taken back';
  readonly reason: string;
}

export function recordFailed(history: History, { id, upstream, version, by, spec, from, outcome, reason }: FailedDeploy): void {
  const summary = `deploy ${from ?? 'nothing'} → ${version}: ${outcome} (${reason})`;
  const facts = { deploy: id, swap: null, from, to: version, outcome, ...launchFactsOf(spec) };
  history.record({ by, via: 'api', kind: 'deploy', upstream, summary, changes: [], facts });
}

/** A deploy that a crash of the proxy has cut short before its swap. */
export function recordTakenBack(history: History, launch: Omit<FailedDeploy, 'from' | 'outcome' | 'reason'>, from: string | null): void {
  const { id, upstream, version, by, spec } = launch;
  if (history.has('deploy', id)) return;
  const reason = 'the proxy ended while its processes were started';
  recordFailed(history, { id, upstream, version, by, spec, from, outcome: 'taken back', reason });
}
