import { flagsOf, nearest, usageOf } from './_parse.ts';
import { CliError, EXIT } from './verb.ts';
import type { Flag, Verb } from './verb.ts';

const INDENT = '  ';

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${INDENT}${left.padEnd(width)}  ${right}\n`).join('');
}

function flagName([name, { type, value, multiple }]: [string, Flag]): string {
  return `--${name}${type === 'string' ? ` ${value ?? 'VALUE'}` : ''}${multiple === true ? ' …' : ''}`;
}

/** The help of one verb. */
export function helpOf(verb: Verb): string {
  const flags = Object.entries(flagsOf(verb)).map((flag) => [flagName(flag), flag[1].help] as const);
  const examples = verb.examples === undefined ? '' : `\nExamples\n${verb.examples.map((line) => `${INDENT}${line}\n`).join('')}`;
  const details = verb.details === undefined ? '' : `\n${verb.details}\n`;
  return `${verb.summary}\n\nUsage: ${usageOf(verb)}\n${details}\nFlags\n${columns(flags)}${examples}`;
}

const EXITS: readonly (readonly [string, string])[] = [
  ['0', 'done'],
  ['1', 'failed, nothing moved'],
  ['2', 'usage or invalid input'],
  ['3', 'done, but requests were killed at the drain deadline'],
  ['4', 'not reached within the timeout, still going on'],
  ['5', 'conflict: another swap, or the upstream has changed'],
  ['6', 'the admin API cannot be reached'],
];

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
    `Exit codes\n${columns(EXITS)}\nsee: switchyard help VERB\n`
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
    local: true,
    run: async ({ args, io }) => {
      io.stdout.write(args.length === 0 ? overview(verbs()) : helpOf(findVerb(args[0], verbs())));
      return EXIT.done;
    },
  };
}
