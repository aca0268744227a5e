import type { UpstreamView } from '../control/operations.ts';
import { upstreamPath } from './_paths.ts';
import { plural } from './_text.ts';
import { EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

function holding(name: 'hold' | 'unhold', summary: string, details: string, told: (view: UpstreamView) => string): Verb {
  return {
    name,
    summary,
    details,
    examples: [`switchyard ${name} web`],
    see: [name === 'hold' ? 'unhold' : 'hold', 'status'],
    args: [{ name: 'UPSTREAM', required: true }],
    flags: {},
    run: async ({ args, api, print }) => {
      const { body } = await api.call<UpstreamView>('POST', upstreamPath(args[0], name), { body: {} });
      print(body, `${body.name}  ${told(body)}`);
      return EXIT.done;
    },
  };
}

/** The verbs that hold requests at the door and let them go on. */
export const holdVerb = holding(
  'hold',
  'holds requests at the door, in a bounded queue',
  'New requests wait, as many and as long as hold.queue and hold.timeout of the upstream allow (1000 and 30 s unless told); past that they are answered 503. What is in flight is not disturbed. For a database that is moved, say.',
  ({ name, waiting }) => `is held, ${plural(waiting, 'request')} waiting; let them go on with: switchyard unhold ${name}`,
);
export const unholdVerb = holding(
  'unhold',
  'lets held requests go on',
  'They go on with the split that is current now, in the order in which they came.',
  () => 'is not held',
);
