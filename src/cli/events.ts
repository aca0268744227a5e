import type { LoggedEvent } from '../control/operations.ts';
import { painter } from './_terminal.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

function eventLine(event: LoggedEvent, call: Call): string {
  const paint = painter(call.io.stdout, call.io.env);
  const facts = Object.entries(event.data)
    .filter(([, value]) => typeof value !== 'object' || value === null)
    .map(([key, value]) => `${key}=${String(value)}`);
  return [event.at, paint('bold', event.type.padEnd(12)), [event.upstream ?? '-', event.version ?? ''].join(' ').trim(), ...facts].join('  ');
}

async function run(call: Call): Promise<number> {
  const { args, api, io, json } = call;
  const stop = new AbortController();
  const off = io.onInterrupt(() => stop.abort());
  try {
    for await (const { type, data } of api.events({ upstream: args[0] }, stop.signal)) {
      if (json) io.stdout.write(`${data}\n`);
      else if (type !== 'reset') io.stdout.write(`${eventLine(JSON.parse(data) as LoggedEvent, call)}\n`);
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    off();
  }
  if (stop.signal.aborted) return EXIT.done;
  throw new CliError(EXIT.unreachable, 'the admin API has ended the stream of events', 'the proxy was stopped or restarted');
}

/** `switchyard events`: what happens, as it happens. */
export const eventsVerb: Verb = {
  name: 'events',
  args: [{ name: 'UPSTREAM', required: false }],
  flags: {},
  summary: 'prints events as they happen, until Ctrl-C; with --json as JSON lines',
  details:
    'Swaps and their steps, health of backends, configuration, certificates: a line for each, or with --json the whole event. Begins with what happens from now on.',
  examples: ['switchyard events web', 'switchyard events --json | jq -c .type'],
  see: ['status'],
  run,
};
