import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config, SeedVersion } from '../config/config.ts';
import { DockerDriver } from '../launch/containers.ts';
import { ProgramDriver } from '../launch/program.ts';
import { LaunchError } from '../launch/launch.ts';
import type { Launch } from '../launch/launch.ts';
import { Launches } from '../launch/launches.ts';
import { ProcessDriver } from '../launch/process.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import type { SwitchyardEvent, VersionInput } from '../swap/ports.ts';
import type { Fleet, Served } from './fleet.ts';

/** Before the processes of a seed that could not be started are started again. */
const SEED_AGAIN_MS = 5_000;

/** Lines of each process that did not get well, of how many processes, and characters of a line, in the evidence of a swap. */
const WORDS = 10;
const MOST_TOLD = 10;
const MOST_WORDS = 300;

export interface LaunchingParts {
  readonly config: Config;
  readonly emit: (event: SwitchyardEvent) => void;
  readonly fleet: () => Fleet;
  readonly tell: (level: 'info' | 'warn' | 'error', message: string) => void;
}

/** What is launched, with the drivers that there are. */
export function launchesOf({ config, emit, fleet, tell }: LaunchingParts): Launches {
  return new Launches({
    stateDir: config.stateDir,
    drivers: { process: new ProcessDriver(process.env, (message) => tell('warn', message)), docker: new DockerDriver(), exec: new ProgramDriver(process.env) },
    ports: config.launch.ports,
    reserved: [config.admin.port, ...config.listeners.map(({ port }) => port)],
    adminUrl: adminUrlOf(config.admin),
    emit,
    stopped: async (upstream, version, facts) => fleet().served.get(upstream)?.driver.note(version, 'stopped', facts),
    warn: (message) => tell('warn', message),
  });
}

function adminUrlOf({ host, port }: Config['admin']): string | null {
  if (port === 0) return null;
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}

/** Workers that report by themselves need no port: they are known by their names. */
export function isPortless({ worker }: Pick<UpstreamPolicy, 'worker'>): boolean {
  return worker !== null && worker.poll === null;
}

export function backendsOf(addresses: readonly string[]): VersionInput['backends'] {
  return addresses.map((address) => ({ address, weight: 1 }));
}

/** The last lines of each process of a version, by its address, as the evidence of a swap keeps them. */
export function lastWords(launches: Launches, upstream: string, version: string): Map<string, string[]> {
  const cut = (line: string): string => (line.length > MOST_WORDS ? `${line.slice(0, MOST_WORDS)}…` : line);
  return new Map([...launches.lastWords(upstream, version, WORDS)].slice(0, MOST_TOLD).map(([address, lines]) => [address, lines.map(cut)]));
}

function hasBegun({ driver: { state } }: Served): boolean {
  return state.swap !== null || state.split.length > 0;
}

/** Now, or in the history. */
function isThere({ driver: { state } }: Served, version: string): boolean {
  return state.versions.some(({ id }) => id === version) || state.history.some((past) => past.version.id === version);
}

interface SeedEars {
  readonly tell: LaunchingParts['tell'];
  /** Told of each try that has failed. */
  readonly failed: () => void;
}

/**
 * Starts the processes of a seed version, again and again until they listen, and has it registered then. Ends when the upstream has gone,
 * or the proxy ends.
 */
export async function launchSeed(launches: Launches, served: Served, seed: SeedVersion, stop: AbortSignal, { tell, failed }: SeedEars): Promise<void> {
  const { name, live } = served.config;
  const { launch: spec } = seed;
  const by = 'config';
  // What a deploy has made live meanwhile goes before what was to be live first, and a deploy of this very version before its seed.
  while (spec !== null && !stop.aborted && !(seed.id === live ? hasBegun(served) : isThere(served, seed.id))) {
    let launch: Launch | null = null;
    try {
      launch = await launches.prepare({ upstream: name, version: seed.id, spec, by, portless: isPortless(served.config.policy) });
      await launch.start(performance.now() + spec.startTimeout);
      const input = { id: seed.id, backends: backendsOf(launch.addresses) };
      if (seed.id === live) await served.driver.seed(input, randomUUID(), { by });
      else await served.driver.register(input, { by });
      launch.claimed = true;
      launches.follow(
        name,
        served.driver.state.versions.map(({ id }) => id),
      );
      return;
    } catch (error) {
      if (launch !== null) await launches.end(launch);
      if (stop.aborted) return;
      failed();
      const said = error instanceof LaunchError ? error.processes.flatMap(({ output }) => output).join('\n') : '';
      tell(
        'error',
        `${seed.id} of ${name} could not be launched, it is tried again: ${error instanceof Error ? error.message : String(error)}\n${said}`.trim(),
      );
      await sleep(SEED_AGAIN_MS, undefined, { signal: stop }).catch(() => undefined);
    }
  }
}
