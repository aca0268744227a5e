import type { Receipt } from '../pool/upstream.ts';
import { upstreamPath } from './_paths.ts';
import { receiptLines } from './_receipt.ts';
import { wordsFor } from './_words.ts';
import { painter } from './_terminal.ts';
import { EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

/** `switchyard receipt`: the proof that a version may be destroyed. */
export const receiptVerb: Verb = {
  name: 'receipt',
  args: [
    { name: 'UPSTREAM', required: true },
    { name: 'ID', required: true },
  ],
  flags: {},
  summary: 'shows the proof of release of a version',
  details:
    'There is one once a version is released: no data thread can route to it, and nothing of it is in flight. It tells how many requests were started and how each ended (started = completed + aborted by the client + failed + killed), when the first and last one came, and which generation each thread had acknowledged. The last 10 versions of an upstream are remembered.',
  examples: ['switchyard receipt web v1', 'switchyard receipt web v1 --json > web-v1.receipt.json'],
  see: ['swap', 'versions'],
  run: async ({ args, api, io, print }) => {
    const { body } = await api.call<Receipt>('GET', upstreamPath(args[0], 'versions', args[1], 'receipt'));
    const paint = painter(io.stdout, io.env);
    const words = wordsFor(body.kind);
    const requests =
      body.firstRequestAt === null
        ? `  no ${words.request} was ever ${body.kind === 'worker' ? 'taken by' : 'sent to'} it`
        : `  first ${words.request} ${body.firstRequestAt}, last ${body.lastRequestAt ?? '-'}`;
    const admitted = `  admitted with ${body.admitted.healthy} of ${body.admitted.of} ${words.backend}s ${words.healthy}; counted since ${body.countedSince}`;
    print(body, [...receiptLines(body, paint), requests, admitted]);
    return EXIT.done;
  },
};
