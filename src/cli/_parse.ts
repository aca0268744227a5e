import { parseArgs } from 'node:util';
import { parseDuration } from '../config/duration.ts';
import { Client } from './_client.ts';
import { CliError, EXIT } from './verb.ts';
import type { Call, Flag, Io, Verb } from './verb.ts';

const DEFAULT_ADMIN = 'http://127.0.0.1:9900';

export const COMMON_FLAGS: Readonly<Record<string, Flag>> = {
  admin: { type: 'string', value: 'URL', help: `admin API (or SWITCHYARD_ADMIN_URL; default ${DEFAULT_ADMIN})` },
  token: { type: 'string', value: 'TOKEN', help: 'its token (or SWITCHYARD_ADMIN_TOKEN)' },
  json: { type: 'boolean', help: 'print JSON' },
};

/** Flags that everybody knows by a letter. */
const SHORT: Readonly<Record<string, string>> = { '-h': 'help', '-f': 'follow' };

const HELP_FLAG: Flag = { type: 'boolean', help: 'show this help' };

/** The flags of a verb itself, and --help. */
export function ownFlagsOf(verb: Verb): Readonly<Record<string, Flag>> {
  return { ...verb.flags, help: HELP_FLAG };
}

/** All flags that a verb understands. */
export function flagsOf(verb: Verb): Readonly<Record<string, Flag>> {
  return { ...ownFlagsOf(verb), ...(verb.local === true ? {} : COMMON_FLAGS) };
}

/** How a verb is written: `switchyard swap UPSTREAM --to ID [flags]`. */
export function usageOf(verb: Verb): string {
  const args = verb.args.map(({ name, required }) => (required ? name : `[${name}]`));
  const flags = Object.entries(verb.flags);
  const required = flags.filter(([, flag]) => flag.required === true).map(([name, { value }]) => `--${name} ${value ?? 'VALUE'}`);
  const rest = verb.rest === undefined ? [] : [`[-- ${verb.rest}…]`];
  return ['switchyard', verb.name, ...args, ...required, ...(flags.length > required.length ? ['[flags]'] : []), ...rest].join(' ');
}

/** Letters to insert, delete, replace or exchange to get from one word to the other. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length];
}

/** The known word that was probably meant, or null. */
export function nearest(word: string, known: readonly string[]): string | null {
  const [best] = known.map((name) => ({ name, far: distance(word.slice(0, 40), name) })).sort((a, b) => a.far - b.far);
  if (best === undefined) return null;
  return best.far <= Math.max(1, Math.floor(best.name.length / 3)) ? best.name : null;
}

function usageError(verb: Verb, message: string, hint?: string): CliError {
  return new CliError(EXIT.usage, message, hint ?? `see: switchyard help ${verb.name}`);
}

type Values = Record<string, string | boolean | (string | boolean)[] | undefined>;

function parse(verb: Verb, whole: readonly string[]): { values: Values; args: string[]; rest: string[] } {
  const end = verb.rest === undefined ? -1 : whole.indexOf('--');
  const [argv, rest] = end === -1 ? [whole, []] : [whole.slice(0, end), whole.slice(end + 1)];
  const flags = flagsOf(verb);
  const options = Object.fromEntries(Object.entries(flags).map(([name, { type, multiple }]) => [name, { type, multiple: multiple === true }]));
  const { tokens } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: false, tokens: true });
  const values: Values = {};
  const args: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') args.push(token.value);
    if (token.kind !== 'option') continue;
    const short = SHORT[token.rawName];
    const name = short ?? token.name;
    const flag = token.rawName.startsWith('--') || short !== undefined ? flags[name] : undefined;
    if (flag === undefined) throw unknownFlag(verb, token.rawName, Object.keys(flags));
    if (flag.type === 'boolean' && token.value !== undefined) throw usageError(verb, `--${name} takes no value`);
    // `--to --json`: a value that looks like a flag is a forgotten value.
    const missing = token.value === undefined || token.value === '' || (!token.inlineValue && token.value.startsWith('-'));
    if (flag.type === 'string' && missing) throw usageError(verb, `--${name} needs a value: --${name} ${flag.value ?? 'VALUE'}`);
    if (flag.multiple !== true && values[name] !== undefined) throw usageError(verb, `--${name} is given twice`);
    const value = token.value ?? true;
    values[name] = flag.multiple === true ? [...((values[name] as string[] | undefined) ?? []), value] : value;
  }
  return { values, args, rest };
}

function unknownFlag(verb: Verb, raw: string, known: readonly string[]): CliError {
  const meant = nearest(raw.replace(/^-+/, ''), known);
  return usageError(verb, `${verb.name} has no flag ${raw}${meant === null ? '' : `; did you mean --${meant}?`}`);
}

function adminUrl(verb: Verb, text: string): URL {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw usageError(verb, `the admin address is ${JSON.stringify(text)}; expected a URL such as ${DEFAULT_ADMIN}`);
  }
  return url;
}

export type Parsed = { readonly help: true } | { readonly help: false; readonly call: Call; close(): Promise<void> };

/** Reads the command line of a verb. Throws a CliError for one that does not fit. */
export function parseCall(verb: Verb, argv: readonly string[], io: Io): Parsed {
  const { values, args, rest } = parse(verb, argv);
  if (values.help === true) return { help: true };
  const least = verb.args.filter(({ required }) => required).length;
  if (args.length < least) throw usageError(verb, `${verb.name} needs ${verb.args[args.length].name}`, `usage: ${usageOf(verb)}`);
  if (args.length > verb.args.length)
    throw usageError(verb, `${verb.name} does not know what to do with "${args[verb.args.length]}"`, `usage: ${usageOf(verb)}`);
  const text = (flag: string): string | undefined => (typeof values[flag] === 'string' ? values[flag] : undefined);
  const { env } = io;
  const json = values.json === true;
  let client: Client | null = null;
  const api = (): Client => {
    const url = adminUrl(verb, text('admin') ?? (env.SWITCHYARD_ADMIN_URL || DEFAULT_ADMIN));
    return (client ??= new Client(url, text('token') ?? (env.SWITCHYARD_ADMIN_TOKEN || undefined), env.USER || env.USERNAME || undefined));
  };
  const call: Call = {
    args,
    rest,
    io,
    json,
    print: (answer, said) => void io.stdout.write(`${json ? JSON.stringify(answer, null, 2) : [said].flat().join('\n')}\n`),
    text,
    texts: (flag) => (Array.isArray(values[flag]) ? values[flag].map(String) : []),
    has: (flag) => values[flag] !== undefined,
    duration: (flag) => {
      const given = text(flag);
      const ms = given === undefined ? undefined : parseDuration(given);
      if (ms === null) throw usageError(verb, `--${flag} is ${JSON.stringify(given)}; expected a duration such as 500ms, 30s, 5m or 1h`);
      return ms;
    },
    get api() {
      return api();
    },
  };
  return { help: false, call, close: async () => client?.close() };
}
