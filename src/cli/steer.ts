import type { SwapView } from '../control/operations.ts';
import { upstreamPath } from './_paths.ts';
import { stepLine, swapTitle } from './_steps.ts';
import { painter } from './_terminal.ts';
import { EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

function steering(name: 'promote' | 'pause' | 'resume' | 'abort', summary: string, details: string): Verb {
  return {
    name,
    summary,
    details,
    examples: [`switchyard ${name} web`],
    see: ['swap', 'status'],
    args: [{ name: 'UPSTREAM', required: true }],
    flags: {},
    run: async ({ args, api, io, print }) => {
      const { body: swap } = await api.call<SwapView>('POST', upstreamPath(args[0], 'swap', name), { body: {} });
      const paint = painter(io.stdout, io.env);
      const last = swap.steps.at(-1);
      const state = `  ${swap.state} at ${swap.weight} %${swap.paused ? ', paused' : ''}`;
      print(swap, [`${swapTitle(swap, paint)}${state}`, ...(last === undefined ? [] : [stepLine(last, swap, paint)])]);
      return EXIT.done;
    },
  };
}

/** The verbs that steer the running swap. */
export const promoteVerb = steering(
  'promote',
  'takes the next canary step of the running swap now',
  'Ends the hold of the present step, or moves on where a step is held until promoted. After the last step all traffic is on the new version.',
);
export const pauseVerb = steering(
  'pause',
  'freezes the running swap at its present weight',
  'No further step is taken until resume. The new version goes on being probed, and the swap still goes back by itself when none of its backends is healthy.',
);
export const resumeVerb = steering('resume', 'lets a paused swap go on', 'The hold of the present step begins anew.');
export const abortVerb = steering(
  'abort',
  'ends the running swap, or the deploy that is starting, and gives the traffic back',
  'The split is as it was before the swap, and the new version is drained and rejected. Of a deploy that is still starting processes, those are stopped. After the last step a swap cannot be aborted: use rollback.',
);
