import { loadConfig } from '../config/load.ts';
import { tlsWarnings } from '../config/warnings.ts';
import { DEFAULT_CONFIG, refusalToCli } from './run.ts';
import { EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

export const checkVerb: Verb = {
  name: 'check',
  args: [],
  flags: { config: { type: 'string', value: 'FILE', help: `the configuration (default ${DEFAULT_CONFIG})` } },
  summary: 'validates a configuration',
  examples: ['switchyard check --config edge.json'],
  details: 'Reads it as run would, files that it names included, and tells the first faults with place, value and what was expected. Nothing is started.',
  exits: [0, 2],
  see: ['run'],
  local: true,
  async run(call) {
    const file = call.text('config') ?? DEFAULT_CONFIG;
    try {
      const { upstreams, listeners } = await loadConfig(file);
      const routes = [...upstreams.values()].reduce((sum, { policy }) => sum + policy.routes.length, 0);
      for (const upstream of upstreams.values()) for (const warning of tlsWarnings(upstream, Date.now())) call.io.stderr.write(`warning: ${warning}\n`);
      call.io.stdout.write(`${file} is valid: ${count(listeners.length, 'listener')}, ${count(upstreams.size, 'upstream')}, ${count(routes, 'route')}\n`);
      return EXIT.done;
    } catch (error) {
      throw refusalToCli(error);
    }
  },
};

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
