import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from '../config/duration.ts';
import type { OutputView } from '../control/operations.ts';
import { Unreachable } from './_client.ts';
import { upstreamPath } from './_paths.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

const WAIT_MS = 10_000;
/** How long the admin API may be away while output is followed: a restart of the proxy takes less. */
const AWAY_MS = 60_000;
const AWAY_PAUSE_MS = 250;

function print(call: Call, body: OutputView, many: boolean): void {
  if (call.json) {
    call.io.stdout.write(call.has('follow') ? `${JSON.stringify(body)}\n` : `${JSON.stringify(body, null, 2)}\n`);
    return;
  }
  for (const { replica, lines, missed } of body.replicas) {
    const begin = many ? `${replica} | ` : '';
    if (missed > 0) call.io.stderr.write(`${begin}${missed} bytes in between are not kept any more\n`);
    call.io.stdout.write(lines.map((line) => `${begin}${line}\n`).join(''));
  }
}

/** Whether two cursors are of two launches of a version. */
function isOther(a: string, b: string): boolean {
  const launchOf = (cursor: string): string => cursor.slice(0, cursor.lastIndexOf('/') + 1);
  return launchOf(a) !== '' && launchOf(b) !== '' && launchOf(a) !== launchOf(b);
}

/** Prints what comes, also over a restart of the proxy, until Ctrl-C or the end of the processes. */
async function follow(call: Call, path: string, first: OutputView): Promise<void> {
  const stop = new AbortController();
  const off = call.io.onInterrupt(() => stop.abort());
  let { cursor, running } = first;
  let many = first.replicas.length > 1;
  let away: number | null = null;
  try {
    for (let quiet = false; running || !quiet;) {
      try {
        const query = { replica: call.text('replica'), after: cursor, wait: formatDuration(WAIT_MS) };
        const { body } = await call.api.call<OutputView>('GET', path, { query, signal: stop.signal, patience: WAIT_MS });
        away = null;
        if (isOther(cursor, body.cursor) && !call.json) call.io.stderr.write('it was launched anew; from here on what its new processes print\n');
        ({ cursor, running } = body);
        quiet = body.replicas.every(({ lines }) => lines.length === 0);
        many ||= body.replicas.length > 1;
        if (!quiet) print(call, body, many);
      } catch (error) {
        if (stop.signal.aborted) return;
        if (!(error instanceof Unreachable)) throw error;
        away ??= performance.now();
        if (performance.now() - away > AWAY_MS) throw error;
        await sleep(AWAY_PAUSE_MS, undefined, { signal: stop.signal }).catch(() => undefined);
      }
      if (stop.signal.aborted) return;
    }
    if (!call.json) call.io.stderr.write('its processes have ended\n');
  } finally {
    off();
  }
}

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
    follow: { type: 'boolean', help: '(or -f) goes on with what comes, until Ctrl-C or the end of the processes' },
  },
  summary: 'shows what the processes of a version have printed last',
  details:
    'Also of a version that is gone, as long as it is in the history. With several processes each line begins with the number of its own. With --follow it goes on also when the proxy is started again meanwhile; with --json each answer is a line.',
  examples: ['switchyard logs web v42', 'switchyard logs web v42 -f', 'switchyard logs web v42 --replica 2 --lines 500'],
  see: ['deploy', 'explain'],
  run: async (call) => {
    const [upstream, id] = call.args;
    const path = `${upstreamPath(upstream, 'versions', id)}/logs`;
    const query = { replica: call.text('replica'), lines: call.text('lines') };
    const { body } = await call.api.call<OutputView>('GET', path, { query });
    if (call.has('follow') && body.replicas.length === 0) throw new CliError(EXIT.failed, `${id} has no output`);
    print(call, body, body.replicas.length > 1);
    if (call.has('follow')) await follow(call, path, body);
    return EXIT.done;
  },
};
