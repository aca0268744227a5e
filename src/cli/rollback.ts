import { randomUUID } from 'node:crypto';
import type { SwapView } from '../control/operations.ts';
import { followSwap } from './_follow.ts';
import { upstreamPath } from './_paths.ts';
import { DEFAULT_TIMEOUT_MS, goalOf } from './swap.ts';
import type { Verb } from './verb.ts';

/** `switchyard rollback`: a swap back to a version that is still kept. */
export const rollbackVerb: Verb = {
  name: 'rollback',
  args: [{ name: 'UPSTREAM', required: true }],
  summary: 'swaps back to the previous kept version',
  flags: {
    to: { type: 'string', value: 'ID', help: 'the kept version to go back to (default: the previous one)' },
    until: { type: 'string', value: 'GOAL', help: 'wait for admitted, live, drained or released (default: released, or drained when kept)' },
    timeout: { type: 'string', value: 'D', help: 'how long to wait (default 10m)' },
  },
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
