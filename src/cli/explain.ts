import type { Explanation } from '../control/operations.ts';
import { upstreamPath } from './_paths.ts';
import { painter } from './_terminal.ts';
import { table } from './_text.ts';
import { EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

/** `switchyard explain`: why something is not (yet) so. */
export const explainVerb: Verb = {
  name: 'explain',
  args: [
    { name: 'UPSTREAM', required: true },
    { name: 'ID', required: false },
  ],
  flags: {},
  summary: 'tells why a version is not admitted, not live or not released',
  details:
    'Answers the question why nothing seems to happen: which backend is not healthy yet and what its probe saw, what is still in flight and until when, who holds the swap, which limit is reached. Facts that block something come with what they block.',
  examples: ['switchyard explain web', 'switchyard explain web v2'],
  see: ['status', 'events'],
  run: async ({ args, api, io, print }) => {
    const { body } = await api.call<Explanation>('GET', upstreamPath(args[0], 'explain'), { query: { version: args[1] } });
    const paint = painter(io.stdout, io.env);
    const rows = body.facts.map(({ fact, blocks }) => [blocks === 'nothing' ? '-' : paint('yellow', blocks), fact]);
    print(body, [paint('bold', body.summary), ...(rows.length === 0 ? [] : table(['BLOCKS', 'FACT'], rows))]);
    return EXIT.done;
  },
};
