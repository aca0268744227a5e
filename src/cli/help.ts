import { COMMON_FLAGS, nearest, ownFlagsOf, usageOf } from './_parse.ts';
import { CliError, EXIT } from './verb.ts';
import type { Argument, Flag, Verb } from './verb.ts';

const INDENT = '  ';
const WIDTH = 110;

/** Breaks a text at spaces into lines of at most `width` characters; its own line ends stay. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const left = Math.max(...rows.map(([name]) => name.length));
  const room = WIDTH - INDENT.length - left - 2;
  return rows
    .flatMap(([name, text]) => wrapped(text, Math.max(40, room)).map((line, at) => `${INDENT}${(at === 0 ? name : '').padEnd(left)}  ${line}\n`))
    .join('');
}

function section(title: string, body: string): string {
  return body === '' ? '' : `\n${title}\n${body}`;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => (line === '' ? '\n' : `${INDENT}${line}\n`)).join('');
}

function flagName([name, { type, value, multiple }]: [string, Flag]): string {
  return `--${name}${type === 'string' ? ` ${value ?? 'VALUE'}` : ''}${multiple === true ? ' …' : ''}`;
}

function flagRows(flags: Readonly<Record<string, Flag>>): string {
  const rows = Object.entries(flags).map((flag) => {
    const { help, values, required } = flag[1];
    return [flagName(flag), `${help}${values === undefined ? '' : ` (${values.join(', ')})`}${required === true ? '; has to be given' : ''}`] as const;
  });
  return rows.length === 0 ? '' : columns(rows);
}

const ARGUMENTS: Readonly<Record<string, string>> = {
  UPSTREAM: 'the application, as the configuration names it (switchyard status lists them)',
  ID: 'a version of it, as the deployer named it (switchyard versions UPSTREAM lists them)',
  'ID|BACKEND': 'a version that is not live, or the HOST:PORT of one backend',
  VERB: 'one of the verbs that switchyard help lists',
};

function argumentRows(args: readonly Argument[]): string {
  const rows = args.flatMap(({ name, help = ARGUMENTS[name], values, required }) =>
    help === undefined ? [] : [[name, `${help}${values === undefined ? '' : `: ${values.join(', ')}`}${required ? '' : '; all of them unless told'}`] as const],
  );
  return rows.length === 0 ? '' : columns(rows);
}

const EXITS: Readonly<Record<number, string>> = {
  [EXIT.done]: 'done',
  [EXIT.failed]: 'failed, nothing moved',
  [EXIT.usage]: 'usage or invalid input',
  [EXIT.killed]: 'done, but requests were killed at the drain deadline',
  [EXIT.unfinished]: 'not reached within the timeout, still going on',
  [EXIT.conflict]: 'conflict: another swap, or the upstream has changed',
  [EXIT.unreachable]: 'the admin API cannot be reached',
};
const REMOTE_EXITS: readonly number[] = [EXIT.done, EXIT.failed, EXIT.usage, EXIT.conflict, EXIT.unreachable];
const LOCAL_EXITS: readonly number[] = [EXIT.done, EXIT.failed, EXIT.usage];

function exitRows(codes: readonly number[]): string {
  return columns(codes.map((code) => [String(code), EXITS[code]] as const));
}

const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ['SWITCHYARD_ADMIN_URL', 'the admin API, where --admin is not given'],
  ['SWITCHYARD_ADMIN_TOKEN', 'its token, where --token is not given'],
  ['NO_COLOR', 'no colours, also on a terminal'],
];

/** The help of one verb: what it does, each argument and flag, the environment, exit codes, examples. */
export function helpOf(verb: Verb): string {
  const remote = verb.local !== true;
  return [
    `switchyard ${verb.name}: ${verb.summary}\n\nUsage: ${usageOf(verb)}\n`,
    section('Description', verb.details === undefined ? '' : indented(wrapped(verb.details, WIDTH - INDENT.length))),
    section('Arguments', argumentRows(verb.args)),
    section('Flags', flagRows(ownFlagsOf(verb))),
    remote ? section('Flags of all verbs', flagRows(COMMON_FLAGS)) : '',
    remote ? section('Environment', columns(ENVIRONMENT)) : '',
    section('Exit codes', exitRows(verb.exits ?? (remote ? REMOTE_EXITS : LOCAL_EXITS))),
    section('Examples', indented(verb.examples ?? [])),
    section('See also', indented((verb.see ?? []).map((name) => `switchyard help ${name}`))),
  ].join('');
}

/** The help of the command as a whole. */
export function overview(verbs: readonly Verb[]): string {
  const rows = verbs.map(
    (verb) =>
      [
        usageOf(verb)
          .replace(/^switchyard /, '')
          .replace(/ \[flags\]$/, ''),
        verb.summary,
      ] as const,
  );
  return (
    `Switchyard: an edge load balancer whose first verb is swap.\n\nUsage: switchyard VERB [arguments] [flags]\n\nVerbs\n${columns(rows)}\n` +
    `Exit codes\n${exitRows(Object.values(EXIT))}\nEnvironment\n${columns(ENVIRONMENT)}\nDurations are written 500ms, 30s, 5m or 1h.\nsee: switchyard help VERB\n`
  );
}

/** Finds a verb by its name; an unknown one is refused with the nearest that exists. */
export function findVerb(name: string, verbs: readonly Verb[]): Verb {
  const found = verbs.find((verb) => verb.name === name);
  if (found !== undefined) return found;
  const meant = nearest(
    name,
    verbs.map((verb) => verb.name),
  );
  throw new CliError(EXIT.usage, `there is no verb "${name}"${meant === null ? '' : `; did you mean ${meant}?`}`, 'see: switchyard help');
}

/** The verb `help`, over the table of all verbs. */
export function helpVerb(verbs: () => readonly Verb[]): Verb {
  return {
    name: 'help',
    args: [{ name: 'VERB', required: false }],
    flags: {},
    summary: 'explains a verb',
    details: 'Without VERB: all of them, the exit codes and the environment.',
    examples: ['switchyard help', 'switchyard help deploy'],
    local: true,
    run: async ({ args, io }) => {
      io.stdout.write(args.length === 0 ? overview(verbs()) : helpOf(findVerb(args[0], verbs())));
      return EXIT.done;
    },
  };
}
