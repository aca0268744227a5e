import { flagsOf, parseCall } from './_parse.ts';
import type { UpstreamView, VersionView } from '../control/operations.ts';
import { upstreamPath } from './_paths.ts';
import type { Flag, Io, Verb } from './verb.ts';

/** A shell waits for it at each press of a key. */
const MOST_MS = 1_000;
/** Tells the scripts of the shells to offer names of files. */
export const FILES = ':files';

/**
 * What may stand at the end of a command line, one candidate each; `:files` = names of files.
 * Whatever goes wrong, nothing is offered: a completion has no place for errors.
 * @param words the words before the one that is being written. @param word as far as it is written.
 */
export async function candidates(words: readonly string[], word: string, verbs: readonly Verb[], io: Io): Promise<string[]> {
  const [name, ...rest] = words;
  const found = name === undefined ? verbs.map((verb) => verb.name) : await after(rest, word, verbs.find((verb) => verb.name === name) ?? null, verbs, io);
  return found.filter((candidate) => candidate === FILES || candidate.startsWith(word));
}

async function after(rest: readonly string[], word: string, verb: Verb | null, verbs: readonly Verb[], io: Io): Promise<string[]> {
  if (verb === null) return [];
  const flags = flagsOf(verb);
  const [flagBefore] = rest.slice(-1).map((text) => flags[text.replace(/^--/, '')]);
  if (rest.at(-1)?.startsWith('--') === true && flagBefore?.type === 'string') return valuesOf(flagBefore, rest.slice(0, -1), verb, io);
  if (word.startsWith('-')) {
    const free = Object.entries(flags).filter(([flag, { multiple }]) => multiple === true || !rest.includes(`--${flag}`));
    return free.map(([flag]) => `--${flag}`);
  }
  const args = positionals(rest, flags);
  const argument = verb.args.at(args.length);
  if (argument === undefined) return [];
  if (argument.values !== undefined) return [...argument.values];
  if (argument.name === 'VERB') return verbs.map(({ name }) => name);
  if (argument.name === 'UPSTREAM') return upstreams(rest, verb, io);
  return argument.name.startsWith('ID') ? versions(rest, verb, io) : [];
}

function positionals(words: readonly string[], flags: Readonly<Record<string, Flag>>): string[] {
  return words.filter((text, at) => {
    const before = words.at(at - 1);
    const isValue = at > 0 && before?.startsWith('--') === true && flags[before.slice(2)]?.type === 'string';
    return !text.startsWith('-') && !isValue;
  });
}

async function valuesOf(flag: Flag, words: readonly string[], verb: Verb, io: Io): Promise<string[]> {
  if (flag.values !== undefined) return [...flag.values];
  if (flag.value === 'FILE' || flag.value === 'DIR') return [FILES];
  return flag.value === 'ID' ? versions(words, verb, io) : [];
}

async function upstreams(words: readonly string[], verb: Verb, io: Io): Promise<string[]> {
  return (await ask<UpstreamView[]>('/v1/upstreams', words, verb, io))?.map(({ name }) => name) ?? [];
}

async function versions(words: readonly string[], verb: Verb, io: Io): Promise<string[]> {
  const [upstream] = positionals(words, flagsOf(verb));
  if (upstream === undefined) return [];
  return (await ask<VersionView[]>(upstreamPath(upstream, 'versions'), words, verb, io))?.map(({ id }) => id) ?? [];
}

/** Asks the admin API that the unfinished command line names. */
async function ask<T>(path: string, words: readonly string[], verb: Verb, io: Io): Promise<T | null> {
  const named = words.flatMap((text, at) =>
    text === '--admin' || text === '--token' ? words.slice(at, at + 2) : /^--(admin|token)=/.test(text) ? [text] : [],
  );
  try {
    const parsed = parseCall({ ...verb, args: [], flags: {}, local: false }, named, io);
    if (parsed.help) return null;
    try {
      return (await parsed.call.api.call<T>('GET', path, { signal: AbortSignal.timeout(MOST_MS) })).body;
    } finally {
      await parsed.close();
    }
  } catch {
    return null;
  }
}
