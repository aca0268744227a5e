import type { UndoView } from '../control/config-views.ts';
import type { HistoryEntry } from '../history/history.ts';
import { changeLines } from './_changes.ts';
import { painter } from './_terminal.ts';
import { pad, plural, table } from './_text.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Verb } from './verb.ts';

const FACT_WIDTH = 11;

function idOf(text: string | undefined, what: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,12}$/.test(text))
    throw new CliError(EXIT.usage, `${what} is ${JSON.stringify(text)}; expected the number of a change`, 'see them with: switchyard history');
  return Number(text);
}

function listText(entries: readonly HistoryEntry[], call: Call): string {
  if (entries.length === 0) return 'nothing was changed yet';
  const rows = entries.map(({ id, at, by, kind, upstream, summary, changes }) => [
    String(id),
    `${at.slice(0, 10)} ${at.slice(11, 19)}`,
    kind,
    upstream ?? '-',
    by,
    changes.length === 0 ? summary : `${summary} (${plural(changes.length, 'field')})`,
  ]);
  return (
    table([' ID', 'AT (UTC)', 'KIND', 'UPSTREAM', 'BY', 'WHAT'], rows).join('\n') +
    `\n${painter(call.io.stdout, call.io.env)('dim', '  one of them: switchyard history --show ID')}`
  );
}

/** Of a deploy: what was started, and how. */
const FACTS = ['driver', 'image', 'command', 'cwd', 'replicas', 'processes', 'env', 'swap'];

function entryText({ id, at, by, via, kind, summary, changes, facts }: HistoryEntry, call: Call): string {
  const paint = painter(call.io.stdout, call.io.env);
  const told = kind === 'deploy' ? FACTS.filter((name) => facts[name] != null).map((name) => `  ${pad(name, FACT_WIDTH)}${factText(facts[name])}`) : [];
  return [paint('bold', `${id}  ${summary}`), `  ${kind}, by ${by} (${via}) at ${at}`, ...told, ...changeLines(changes, paint)].join('\n');
}

function factText(value: unknown): string {
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** `switchyard history`: who changed what, and when. */
export const historyVerb: Verb = {
  name: 'history',
  args: [{ name: 'UPSTREAM', required: false }],
  flags: {
    limit: { type: 'string', value: 'N', help: 'at most so many; 20 unless told' },
    show: { type: 'string', value: 'ID', help: 'one change, field by field' },
  },
  summary: 'shows who changed what, and when',
  details:
    'Newest first: configurations, deploys and swaps that have ended, splits and holds by hand, drains, reloads of certificates. With --show each field with its old and new value; secrets are masked. The last 1000 changes are kept.',
  examples: ['switchyard history web', 'switchyard history --show 12'],
  run: async (call) => {
    const { api } = call;
    const id = idOf(call.text('show'), '--show');
    if (id !== undefined) {
      const { body } = await api.call<HistoryEntry>('GET', `/v1/history/${id}`);
      call.print(body, entryText(body, call));
      return EXIT.done;
    }
    const query = { upstream: call.args.at(0), limit: call.text('limit') ?? '20' };
    const { body } = await api.call<HistoryEntry[]>('GET', '/v1/history', { query });
    call.print(body, listText(body, call));
    return EXIT.done;
  },
};

/** `switchyard undo`: brings back what was. */
export const undoVerb: Verb = {
  name: 'undo',
  args: [],
  flags: {
    to: { type: 'string', value: 'ID', help: 'what was after this change; the configuration before the last unless told' },
    of: { type: 'string', value: 'ID', help: 'what was live before this swap or deploy' },
  },
  summary: 'brings back the configuration of before, or by a rollback what was live',
  details:
    'It is a new change: nothing of the history is rewritten. Versions and split belong to deploys, and stay when a configuration is brought back. What was live before a deploy comes back by a rollback, for as long as that version is kept (--rollback-keep); when it is gone, the answer says so.',
  examples: ['switchyard undo', 'switchyard undo --to 12', 'switchyard undo --of 14'],
  exits: [0, 1, 2, 5, 6],
  run: async (call) => {
    const { api, io } = call;
    const [toId, of] = [idOf(call.text('to'), '--to'), idOf(call.text('of'), '--of')];
    if (toId !== undefined && of !== undefined) throw new CliError(EXIT.usage, '--to and --of are given; expected one of them');
    const { body } = await api.call<UndoView>('POST', '/v1/undo', { body: { to: toId, of } });
    const { kind, to, entry, swap } = body;
    const said = {
      config:
        entry === null
          ? `the configuration is as it was after change ${to} already`
          : `the configuration is as it was after change ${to}: revision ${entry.id}`,
      rollback: `a rollback of ${swap?.upstream ?? ''} to ${swap?.to ?? ''} was started; watch it with: switchyard status ${swap?.upstream ?? ''} --watch`,
      split: `the split is as it was after change ${to}`,
    }[kind];
    const lines = entry === null ? [said] : [said, ...changeLines(entry.changes, painter(io.stdout, io.env))];
    call.print(body, lines);
    return EXIT.done;
  },
};
