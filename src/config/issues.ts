import type { z } from 'zod';
import type { Issue } from '../errors/catalogue.ts';

const SHOWN = 60;
const MOST_ISSUES = 50;
/** Whether what is at this place is never shown. */
export function isSecretPlace(path: string): boolean {
  return SECRET.test(path) || KEY.test(path);
}

const SECRET =
  /(?:^|\.)token(?:$|\.)|\.headers\.request\.(?:set|add)\.[^.]*(?:auth|cookie|key|secret|token)[^.]*$|(?:^|\.)tls\.key$|(?:^|\.)secret$|(?:^|\.)launch\.env\.|(?:^|\.)launch\.options\.(?:.*\.)?[^.]*(?:auth|key|password|secret|token)[^.]*$|^webhooks[.[].*\.url$|(?:^|\.)gates\[\d+\]\.url$|(?:^|\.)prometheus\.url$/i;
const KEY = /(?:^|\.)tls\.certificates[.[].*\.key$|(?:^|\.)hmacKey$/;

/** A path as the operator writes it: `upstreams.web.versions.v1.backends[1].weight`; '' for the whole. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : `${text === '' ? '' : '.'}${String(part)}`;
  return text;
}

/** A value as a message shows it: short, and on one line. */
export function showValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return `'${clip(value.replaceAll(/[\u0000-\u001f\u007f]/g, '?'))}'`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  return clip(`${value as number | boolean | null}`);
}

function clip(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

/**
 * What zod found, in words: each names the place, what was expected and the value.
 * @param under path of the value that was parsed, inside the whole that the operator knows
 * @param error must come from a parse with `reportInput`
 */
export function explainIssues(error: z.ZodError, under: readonly PropertyKey[] = []): Issue[] {
  return error.issues.flatMap((issue) => explain(issue, under)).slice(0, MOST_ISSUES);
}

function explain(issue: z.core.$ZodIssue, under: readonly PropertyKey[]): Issue[] {
  const path = [...under, ...issue.path];
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: pathText([...path, key]), message: 'is not a known field' }));
  if (issue.code === 'invalid_key') {
    return [{ path: pathText(path), message: `expected ${issue.issues[0]?.message ?? 'another name'}, got ${showValue(issue.path.at(-1))}` }];
  }
  const inside = issue.code === 'invalid_union' ? issue.errors.find((branch) => branch.every(isInside)) : undefined;
  if (inside !== undefined) return inside.flatMap((each) => explain(each, path));
  const place = pathText(path);
  if (issue.code === 'invalid_union' && issue.discriminator !== undefined)
    return [{ path: place, message: `expected ${issue.message}, got ${showValue((issue.input as Record<string, unknown>)[issue.discriminator])}` }];
  const value = isSecretPlace(place) && issue.input !== undefined ? 'a value that is not shown' : showValue(issue.input);
  return [{ path: place, message: `expected ${expectation(issue)}, got ${value}` }];
}

/** The value is of the right kind for this branch of a union; something in it is wrong. */
function isInside(issue: z.core.$ZodIssue): boolean {
  return issue.path.length > 0 || issue.code === 'unrecognized_keys';
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return TYPES[issue.expected] ?? `a ${issue.expected}`;
  if (issue.code === 'invalid_value') return issue.values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(' or ');
  if (issue.code === 'too_small') return `at least ${issue.minimum} of them`;
  if (issue.code === 'too_big') return `at most ${issue.maximum} of them`;
  return issue.message;
}

const TYPES: Readonly<Record<string, string>> = {
  object: 'an object',
  record: 'an object',
  array: 'a list',
  string: 'a text',
  boolean: 'true or false',
  number: 'a number',
};
