import type { VersionView } from '../control/operations.ts';
import { upstreamPath } from './_paths.ts';
import { painter } from './_terminal.ts';
import { versionLines } from './_upstream.ts';
import { EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

/** `switchyard versions`: the versions of an upstream with its history. */
export const versionsVerb: Verb = {
  name: 'versions',
  args: [{ name: 'UPSTREAM', required: true }],
  flags: {},
  summary: 'lists the versions of an upstream, with its history',
  details: 'Newest first: those that exist, then the last 10 that were released or rejected, with what they had served.',
  examples: ['switchyard versions web', "switchyard versions web --json | jq -r '.[].id'"],
  see: ['receipt', 'status'],
  run: async ({ args, api, io, print }) => {
    const { body } = await api.call<VersionView[]>('GET', upstreamPath(args[0], 'versions'));
    const text = body.length === 0 ? 'no versions' : versionLines(body, painter(io.stdout, io.env), Date.now());
    print(body, text);
    return EXIT.done;
  },
};
