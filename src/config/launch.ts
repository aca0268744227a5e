/** How the processes of a version are started and ended: the shape of `launch`, its defaults, and what fits together. */
import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import type { Issue } from '../errors/catalogue.ts';
import { duration, isLoopback, whole } from './_fields.ts';
import { pathText, showValue } from './issues.ts';

const SECOND = 1000;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,199}$/;
const MOST_ENV_BYTES = 32 * 1024;

function text(expected: string, valid: (text: string) => boolean) {
  return z.custom<string>((value) => typeof value === 'string' && valid(value) && !value.includes('\0'), { error: expected });
}

const path = text('the path of a folder', (value) => value !== '' && value.length <= 4096);

const envName = text(
  'a name of letters, digits and underscores that Switchyard does not set itself (PORT, SWITCHYARD_…)',
  (value) => ENV_NAME.test(value) && value !== 'PORT' && (value === 'SWITCHYARD_TOKEN' || !value.startsWith('SWITCHYARD_')),
);

/** `launch` as it is written, every field optional: an upstream's are the defaults of its versions. */
export const launchFields = z.strictObject({
  driver: z.enum(['process', 'docker', 'exec']).optional(),
  replicas: whole(1, 100).optional(),
  command: z
    .array(text('a text', (value) => value.length <= 128 * 1024))
    .min(1)
    .max(1000)
    .optional(),
  cwd: path.optional(),
  env: z
    .record(
      envName,
      text('a text of at most 32 KiB', (value) => value.length <= MOST_ENV_BYTES),
    )
    .optional(),
  startTimeout: duration(10).optional(),
  stopTimeout: duration(0).optional(),
  attempts: whole(1, 100).optional(),
  image: text("the name of an image, such as 'web:v42'", (value) => /^[!-~]{1,512}$/.test(value)).optional(),
  port: whole(1, 65_535).optional(),
  network: text('the name of a network', (value) => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/.test(value)).optional(),
  pull: z.enum(['missing', 'always', 'never']).optional(),
  socket: text('the path of a socket', (value) => isAbsolute(value) && value.length <= 107).optional(),
  options: z.record(z.string(), z.unknown()).optional(),
});

export type LaunchFields = z.output<typeof launchFields>;
export type LaunchDriver = 'process' | 'docker' | 'exec';

/** How the processes of one version are started, with all defaults filled in. Durations are milliseconds. Kept with the version on disk. */
export interface LaunchSpec {
  readonly driver: LaunchDriver;
  readonly replicas: number;
  /** Program and arguments; of `docker`, instead of the image's own (empty = that), of `exec`, what starts, stops and is asked. */
  readonly command: readonly string[];
  /** Absolute; null (docker) = the image's own. */
  readonly cwd: string | null;
  /** Secrets may be in it: shown masked, never logged. */
  readonly env: Readonly<Record<string, string>>;
  /** Until it listens. */
  readonly startTimeout: number;
  /** Between SIGTERM and SIGKILL. */
  readonly stopTimeout: number;
  /** Starts that may fail before the version does. */
  readonly attempts: number;
  readonly image: string | null;
  /** Where the program in a container listens. */
  readonly port: number;
  /** Network of a container whose own address is the backend; null = its port is published on loopback. */
  readonly network: string | null;
  readonly pull: 'missing' | 'always' | 'never';
  readonly socket: string;
  /** Handed on to an `exec` driver. */
  readonly options: Readonly<Record<string, unknown>>;
}

const OF_CONTAINERS = ['image', 'port', 'network', 'pull', 'socket'] as const;
const COMMON = ['replicas', 'env', 'startTimeout', 'stopTimeout', 'attempts'] as const;

/** The fields of a deploy over those of its upstream; of another driver's only what all drivers have. `env` is joined by name. */
function over(fields: LaunchFields, defaults: LaunchFields | null): LaunchFields {
  if (defaults === null) return fields;
  const driver = fields.driver ?? defaults.driver ?? 'process';
  const kept = (defaults.driver ?? 'process') === driver ? defaults : Object.fromEntries(COMMON.map((name) => [name, defaults[name]]));
  return { ...kept, ...fields, driver, env: { ...defaults.env, ...fields.env } };
}

/** What an upstream of the configuration says, with its folders made absolute. */
export function anchored(fields: LaunchFields, folder: string | null): LaunchFields {
  const { cwd, driver = 'process' } = fields;
  if (driver === 'docker' || folder === null) return fields;
  return { ...fields, cwd: resolve(folder, cwd ?? '.') };
}

/**
 * Fills in the defaults, an upstream's first, and finds what does not fit together.
 * @returns issues when there are any; their paths begin with `under`
 */
export function resolveLaunch(fields: LaunchFields, defaults: LaunchFields | null, under: readonly PropertyKey[]): LaunchSpec | Issue[] {
  const all = over(fields, defaults);
  const driver = all.driver ?? 'process';
  const issues: Issue[] = [];
  const complain = (field: string, message: string): void => void issues.push({ path: pathText([...under, field]), message });
  if (driver === 'docker' && all.image === undefined) complain('image', "expected the name of an image, because driver is 'docker', got nothing");
  if (driver !== 'docker' && all.command === undefined) complain('command', `expected a program and its arguments, because driver is '${driver}', got nothing`);
  if (all.command?.[0] === '') complain('command[0]', "expected the name of a program, got ''");
  for (const field of OF_CONTAINERS) {
    if (driver !== 'docker' && all[field] !== undefined) complain(field, `expected nothing, because driver is '${driver}', got ${showValue(all[field])}`);
  }
  if (driver !== 'exec' && all.options !== undefined) complain('options', `expected nothing, because driver is '${driver}', got an object`);
  if (all.cwd !== undefined && !isAbsolute(all.cwd)) complain('cwd', `expected an absolute path, got ${showValue(all.cwd)}`);
  if (issues.length > 0) return issues;
  return {
    driver,
    replicas: all.replicas ?? 1,
    command: all.command ?? [],
    cwd: all.cwd ?? (driver === 'docker' ? null : process.cwd()),
    env: all.env ?? {},
    startTimeout: all.startTimeout ?? 30 * SECOND,
    stopTimeout: all.stopTimeout ?? 10 * SECOND,
    attempts: all.attempts ?? 3,
    image: all.image ?? null,
    port: all.port ?? 8080,
    network: all.network ?? null,
    pull: all.pull ?? 'missing',
    socket: all.socket ?? '/var/run/docker.sock',
    options: all.options ?? {},
  };
}

/** Why those who reach the admin API may not start programs by it; null = they may. */
export function mayLaunch({ host, deploy }: { readonly host: string; readonly deploy: boolean | null }): string | null {
  if (deploy === false) return 'Programs may not be started over this admin API: admin.deploy is false.';
  if (deploy === true || isLoopback(host)) return null;
  return `Programs may be started over this admin API only when admin.deploy is true, because ${host} can be reached from other machines.`;
}
