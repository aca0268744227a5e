import type { Config } from '../config/config.ts';
import { DockerDriver } from '../launch/containers.ts';
import { ProgramDriver } from '../launch/program.ts';
import { Launches } from '../launch/launches.ts';
import { ProcessDriver } from '../launch/process.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import type { SwitchyardEvent, VersionInput } from '../swap/ports.ts';
import type { Fleet } from './fleet.ts';

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
