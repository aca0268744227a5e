import type { OutputView } from '../control/operations.ts';
import { upstreamPath } from './_paths.ts';
import { EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

/** `switchyard logs`: what the processes of a version have printed last. */
export const logsVerb: Verb = {
  name: 'logs',
  args: [
    { name: 'UPSTREAM', required: true },
    { name: 'ID', required: true },
  ],
  flags: {
    replica: { type: 'string', value: 'N', help: 'only of this process; the first is 1' },
    lines: { type: 'string', value: 'N', help: 'how many lines of each (default 100)' },
  },
  summary: 'shows what the processes of a version have printed last',
  details: 'Also of a version that is gone, as long as it is in the history. With several processes each line begins with the number of its own.',
  examples: ['switchyard logs web v42', 'switchyard logs web v42 --replica 2 --lines 500'],
  see: ['deploy', 'explain'],
  run: async (call) => {
    const { api, io, json } = call;
    const [upstream, id] = call.args;
    const query = { replica: call.text('replica'), lines: call.text('lines') };
    const { body } = await api.call<OutputView>('GET', `${upstreamPath(upstream, 'versions', id)}/logs`, { query });
    const many = body.replicas.length > 1;
    const lines = body.replicas.flatMap((one) => one.lines.map((line) => `${many ? `${one.replica} | ` : ''}${line}\n`));
    io.stdout.write(json ? `${JSON.stringify(body, null, 2)}\n` : lines.join(''));
    return EXIT.done;
  },
};
