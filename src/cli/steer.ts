import type { SwapView } from '../control/operations.ts';
import { upstreamPath } from './_paths.ts';
import { stepLine, swapTitle } from './_steps.ts';
import { painter } from './_terminal.ts';
import { EXIT } from './verb.ts';
import type { Verb } from './verb.ts';

function steering(name: 'promote' | 'pause' | 'resume' | 'abort', summary: string): Verb {
  return {
    name,
    summary,
    args: [{ name: 'UPSTREAM', required: true }],
    flags: {},
    run: async ({ args, api, io, json }) => {
      const { body: swap } = await api.call<SwapView>('POST', upstreamPath(args[0], 'swap', name), { body: {} });
      const paint = painter(io.stdout, io.env);
      const last = swap.steps.at(-1);
      const state = `  ${swap.state} at ${swap.weight} %${swap.paused ? ', paused' : ''}`;
      const text = [`${swapTitle(swap, paint)}${state}`, ...(last === undefined ? [] : [stepLine(last, swap, paint)])].join('\n');
      io.stdout.write(json ? `${JSON.stringify(swap, null, 2)}\n` : `${text}\n`);
      return EXIT.done;
    },
  };
}

/** The verbs that steer the running swap. */
export const promoteVerb = steering('promote', 'takes the next canary step of the running swap now');
export const pauseVerb = steering('pause', 'freezes the running swap at its present weight');
export const resumeVerb = steering('resume', 'lets a paused swap go on');
export const abortVerb = steering('abort', 'ends the running swap and gives the traffic back');
