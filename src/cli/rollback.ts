import { randomUUID } from 'node:crypto';
import type { SwapView } from '../control/operations.ts';
import { followSwap } from './_follow.ts';
import { upstreamPath } from './_paths.ts';
import { DEFAULT_TIMEOUT_MS, GOALS, goalOf } from './swap.ts';
import type { Verb } from './verb.ts';

/** `switchyard rollback`: a swap back to a version that is still kept. */
export const rollbackVerb: Verb = {
  name: 'rollback',
  args: [{ name: 'UPSTREAM', required: true }],
  summary: 'swaps back to the previous kept version',
  details:
    'A version is kept after it has drained when the swap was told --rollback-keep, or the upstream has rollback.keep; one that still drains can be taken back, too. It has passed admission before, so that one fresh round of probes is enough. A rollback is a swap: it is shown, drained and receipted like one.',
  flags: {
    to: { type: 'string', value: 'ID', help: 'the kept version to go back to (default: the previous one)' },
    until: {
      type: 'string',
      value: 'GOAL',
      values: GOALS,
      help: 'what to wait for; the rollback goes on to its end all the same (default: released, or drained when the version before is kept)',
    },
    timeout: { type: 'string', value: 'D', help: 'how long to wait (default 10m)' },
  },
  examples: ['switchyard rollback web', 'switchyard rollback web --to v1 --until live'],
  exits: [0, 1, 2, 3, 4, 5, 6],
  see: ['swap', 'versions'],
  run: async (call) => {
    const watch = { until: goalOf(call), timeoutMs: call.duration('timeout') ?? DEFAULT_TIMEOUT_MS, promoted: false };
    const to = call.text('to');
    const { body } = await call.api.call<SwapView>('POST', upstreamPath(call.args[0], 'rollback'), {
      body: to === undefined ? {} : { to },
      idempotencyKey: randomUUID(),
    });
    return followSwap(call, body, watch);
  },
};
