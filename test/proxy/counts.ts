import type { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';

export interface Counts {
  readonly started: number;
  readonly completed: number;
  readonly clientAborted: number;
  readonly upstreamFailed: number;
  readonly killed: number;
}

interface VersionState {
  readonly id: string;
  readonly phase: string;
  readonly inFlight: number;
  readonly counts: Counts;
  readonly backends: readonly {
    readonly address: string;
    readonly inFlight: number;
    readonly openSockets: number;
    readonly available: boolean;
    readonly requests: number;
  }[];
}

interface UpstreamState {
  readonly waiting: number;
  readonly split: Readonly<Record<string, number>>;
  readonly versions: readonly VersionState[];
}

/** An upstream as the admin API shows it. */
export async function upstreamState(proxy: Proxy, name = 'web'): Promise<UpstreamState> {
  return (await proxy.admin(`/v1/upstreams/${name}`)).json as UpstreamState;
}

/** A version of it, by default the first. */
export async function versionState(proxy: Proxy, name = 'web', id?: string): Promise<VersionState> {
  const { versions } = await upstreamState(proxy, name);
  const found = id === undefined ? versions.at(0) : versions.find((version) => version.id === id);
  if (found === undefined) throw new Error(`${name} has no version ${id ?? ''}`);
  return found;
}

/**
 * Resolves when requests meet what the admin API shows: a state is shown as soon as it is decided, and published after that. A command
 * waits for its turn behind the publishing; this one changes nothing of an upstream that is not held.
 */
export async function inForce(proxy: Proxy, name = 'web'): Promise<void> {
  const { status, text } = await proxy.admin(`/v1/upstreams/${name}/unhold`, { method: 'POST' });
  if (status !== 200) throw new Error(`unhold: ${text}`);
}

/** The counts of a version, once nothing is in flight on it. @throws when they do not add up. */
export async function settledCounts(proxy: Proxy, name = 'web', id?: string): Promise<Counts> {
  const idle = await eventually(`nothing in flight on ${name}`, async () => {
    const version = await versionState(proxy, name, id);
    return version.inFlight === 0 && version.backends.every(({ inFlight }) => inFlight === 0) ? version : null;
  });
  const { started, completed, clientAborted, upstreamFailed, killed } = idle.counts;
  if (started !== completed + clientAborted + upstreamFailed + killed) throw new Error(`the counts of ${name} do not add up: ${JSON.stringify(idle.counts)}`);
  return idle.counts;
}

/** How the counts of a version change while `run` runs, in all and in the end. */
export async function countedDuring(proxy: Proxy, run: () => Promise<unknown>, name = 'web', id?: string): Promise<Counts> {
  const before = await settledCounts(proxy, name, id);
  await run();
  const after = await settledCounts(proxy, name, id);
  return {
    started: after.started - before.started,
    completed: after.completed - before.completed,
    clientAborted: after.clientAborted - before.clientAborted,
    upstreamFailed: after.upstreamFailed - before.upstreamFailed,
    killed: after.killed - before.killed,
  };
}
