import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/parse.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';

/** What belongs to the machine that the proxy runs on, and is not for the API to say. */
const OF_THE_MACHINE = ['admin', 'stateDir', 'pull'];

const listener = z.object({
  host: z.string().default('0.0.0.0'),
  port: z.int(),
  proxyProtocol: z.unknown().default(false),
  http2: z.unknown().default(false),
  tls: z.unknown().default(false),
});
const machine = z.object({ listeners: z.array(listener).optional(), dataThreads: z.union([z.literal('auto'), z.int()]).optional() });

/**
 * Reads a configuration as it is brought to the admin API: the shape of the file, but for what belongs to the machine. Listeners and
 * threads cannot change while the proxy runs; they are only compared.
 * @throws Refusal `invalid`
 */
export function documentOf(raw: unknown): { config: Config; restart: (running: Config) => string[] } {
  const given = (raw ?? {}) as Record<string, unknown>;
  const foreign = OF_THE_MACHINE.filter((field) => given[field] !== undefined);
  const issues = foreign.map((path) => ({ path, message: 'is said by the file on the machine of the proxy, not here' }));
  if (issues.length > 0) throw new Refusal(REFUSAL.invalid, `${issues[0].path}: ${issues[0].message}`, {}, issues);
  const { listeners, dataThreads, ...rest } = given;
  const config = parseConfig(rest, { cores: 1 });
  const of = machine.safeParse({ listeners, dataThreads });
  if (!of.success) {
    const faults = of.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
    throw new Refusal(REFUSAL.invalid, `${faults[0].path}: ${faults[0].message}`, {}, faults);
  }
  return { config, restart: (running) => restartOf(of.data, running) };
}

function restartOf({ listeners, dataThreads }: z.output<typeof machine>, running: Config): string[] {
  const brief = running.listeners.map(({ host, port, proxyProtocol, http2, tls }) => ({ host, port, proxyProtocol, http2, tls: tls !== null }));
  const wanted = listeners?.map((one) => ({ ...one, tls: one.tls !== false && one.tls !== null }));
  return [
    ...(wanted === undefined || isDeepStrictEqual(wanted, brief) ? [] : ['listeners']),
    ...(dataThreads === undefined || dataThreads === 'auto' || dataThreads === running.dataThreads ? [] : ['dataThreads']),
  ];
}
