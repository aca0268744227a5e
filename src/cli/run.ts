import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { parseAddress } from '../pool/address.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

export const DEFAULT_CONFIG = 'proxy.config.ts';

export const runVerb: Verb = {
  name: 'run',
  args: [],
  flags: {
    config: { type: 'string', value: 'FILE', help: `the configuration (default ${DEFAULT_CONFIG})` },
    'config-from': { type: 'string', value: 'URL|FOLDER|FILE', help: 'takes the configuration from there and follows it' },
    'config-sha256': { type: 'string', value: 'HEX', help: 'the only digest that a document from a URL may have' },
    port: { type: 'string', value: 'N', help: 'port of the first listener' },
    admin: { type: 'string', value: 'HOST:PORT', help: 'address of the admin API' },
    threads: { type: 'string', value: 'N', help: 'number of data threads' },
    'state-dir': { type: 'string', value: 'DIR', help: 'folder of the journal' },
  },
  summary: 'runs the proxy',
  details:
    'Reads the configuration, takes up what it knew before (a proxy that was killed goes on with the last committed split and finishes or takes back the swap that was running), and serves. SIGTERM and SIGINT drain and end it with 0; SIGHUP, or an edit of the file, reloads the configuration, and one that is not valid changes nothing. A URL is asked with the bearer token in SWITCHYARD_CONFIG_TOKEN; with SWITCHYARD_CONFIG_HMAC_KEY what it answers must be signed.',
  exits: [0, 1, 2],
  see: ['check', 'status'],
  examples: ['switchyard run', 'switchyard run --config edge.json --threads 4'],
  local: true,
  async run(call) {
    const overrides = {
      port: numberOf(call, 'port', 0, 65_535),
      admin: adminOf(call),
      threads: numberOf(call, 'threads', 1, 256),
      stateDir: call.text('state-dir'),
    };
    const { serve } = await import('../app.ts');
    try {
      return await serve({ pull: pullOf(call), configFile: call.text('config') ?? DEFAULT_CONFIG, overrides, stdout: call.io.stdout, stderr: call.io.stderr });
    } catch (error) {
      throw refusalToCli(error);
    }
  },
};

/** A Refusal of the configuration as the command line tells it: one line, then each fault on its own. */
export function refusalToCli(error: unknown): unknown {
  if (!(error instanceof Refusal)) return error;
  const more = error.errors.length > 1 ? error.errors.map(({ path, message }) => `${path}: ${message}`).join('\n  ') : null;
  return new CliError(error.fault === REFUSAL.invalid ? EXIT.usage : EXIT.failed, error.message, more);
}

function pullOf(call: Call): { from?: string; token?: string; hmacKey?: string; sha256?: string } | undefined {
  const from = call.text('config-from');
  const sha256 = call.text('config-sha256');
  if (from !== undefined && call.has('config')) throw new CliError(EXIT.usage, '--config and --config-from are given; expected one of them');
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256))
    throw new CliError(EXIT.usage, `--config-sha256 is ${JSON.stringify(sha256)}; expected 64 hex digits`);
  const { env } = call.io;
  if (from === undefined) return undefined;
  return { from, sha256, token: env.SWITCHYARD_CONFIG_TOKEN || undefined, hmacKey: env.SWITCHYARD_CONFIG_HMAC_KEY || undefined };
}

function numberOf(call: Call, flag: string, least: number, most: number): number | undefined {
  const text = call.text(flag);
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    throw new CliError(EXIT.usage, `--${flag} is ${JSON.stringify(text)}; expected a whole number from ${least} to ${most}`);
  return value;
}

function adminOf(call: Call): { host: string; port: number } | undefined {
  const text = call.text('admin');
  if (text === undefined) return undefined;
  const address = parseAddress(text);
  if (address === null) throw new CliError(EXIT.usage, `--admin is ${JSON.stringify(text)}; expected HOST:PORT`);
  return address;
}
