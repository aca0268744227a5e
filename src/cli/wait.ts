import type { VersionView } from '../control/operations.ts';
import { formatDuration } from '../config/duration.ts';
import { upstreamPath } from './_paths.ts';
import { plural, seconds } from './_text.ts';
import { wordsFor } from './_words.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

const GOALS = ['admitted', 'live', 'drained', 'released', 'admitting', 'standby', 'draining', 'rejected'];
const DEFAULT_TIMEOUT_MS = 600_000;
/** One long poll, in milliseconds; there are as many as the timeout needs. */
const POLL_MS = 30_000;

function whyNot(view: VersionView): string {
  return view.reason === null ? '' : `: ${view.reason}`;
}

async function run(call: Call): Promise<number> {
  const {
    args: [upstream, id],
    api,
    io,
    json,
  } = call;
  const goal = call.text('for');
  if (goal === undefined || !GOALS.includes(goal)) {
    throw new CliError(
      EXIT.usage,
      `${goal === undefined ? 'wait needs --for PHASE' : `--for is ${JSON.stringify(goal)}`}; expected one of ${GOALS.join(', ')}`,
    );
  }
  const timeoutMs = call.duration('timeout') ?? DEFAULT_TIMEOUT_MS;
  const deadline = performance.now() + timeoutMs;
  const stop = new AbortController();
  const off = io.onInterrupt(() => stop.abort());
  try {
    for (;;) {
      const left = Math.max(0, Math.ceil(deadline - performance.now()));
      const query = { wait: goal, timeout: formatDuration(Math.min(POLL_MS, left)) };
      const { status, body } = await api.call<VersionView>('GET', upstreamPath(upstream, 'versions', id), { query, signal: stop.signal, patience: POLL_MS });
      const final = body.phase === 'released' || body.phase === 'rejected';
      if (status === 200 || final || performance.now() >= deadline) {
        if (json) io.stdout.write(`${JSON.stringify(body, null, 2)}\n`);
        if (status === 200) return tell(call, body);
        if (final) throw new CliError(EXIT.failed, `${id} of ${upstream} is ${body.phase} and can never be ${goal}${whyNot(body)}`);
        const words = wordsFor(body.kind);
        throw new CliError(
          EXIT.unfinished,
          `${id} of ${upstream} is ${body.phase}, not ${goal}, after ${seconds(timeoutMs)}; ${plural(body.inFlight, words.request)} ${words.inFlight}`,
          `see why with: switchyard explain ${upstream} ${id}`,
        );
      }
    }
  } catch (error) {
    if (stop.signal.aborted) throw new CliError(EXIT.unfinished, `interrupted while waiting for ${id} of ${upstream} to be ${goal}`);
    throw error;
  } finally {
    off();
  }
}

function tell({ args: [upstream], io, json }: Call, view: VersionView): number {
  if (!json) io.stdout.write(`${upstream}  ${view.id} is ${view.phase}\n`);
  return EXIT.done;
}

/** `switchyard wait`: until a version has got somewhere. */
export const waitVerb: Verb = {
  name: 'wait',
  args: [
    { name: 'UPSTREAM', required: true },
    { name: 'ID', required: true },
  ],
  summary: 'waits until a version is admitted, live, drained or released',
  flags: {
    for: { type: 'string', value: 'PHASE', required: true, values: GOALS, help: 'the phase to wait for' },
    timeout: { type: 'string', value: 'D', help: 'how long to wait (default 10m)' },
  },
  details:
    'Ends with 0 once the version has reached the phase or is past it, with 1 when it never can, with 4 when the time is up. Live means all of the traffic: the first step of a canary is not yet it.',
  examples: ['switchyard wait web v1 --for released --timeout 10m && docker rm -f web-v1'],
  exits: [0, 1, 2, 4, 6],
  see: ['swap', 'explain'],
  run,
};
