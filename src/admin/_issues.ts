import type { z } from 'zod';
import type { Issue } from '../errors/catalogue.ts';

const MAX_ISSUES = 20;
const MAX_SHOWN = 60;

/** A value as it is shown in a message: JSON, cut to a readable length. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** `strategy.canary[0].weight`; `root` names the whole input. */
function place(path: readonly PropertyKey[], root: string): string {
  let text = '';
  for (const key of path) text += typeof key === 'number' ? `[${key}]` : text === '' ? String(key) : `.${String(key)}`;
  return text === '' ? root : text;
}

const NOUN: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
};

function bound(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const [limit, word] = issue.code === 'too_small' ? [issue.minimum, 'at least'] : [issue.maximum, 'at most'];
  const unit = issue.origin === 'string' ? ' characters' : issue.origin === 'array' ? ' entries' : '';
  return `expected ${word} ${limit}${unit}`;
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return `expected ${NOUN[issue.expected] ?? issue.expected}`;
  if (issue.code === 'too_small' || issue.code === 'too_big') return bound(issue);
  if (issue.code === 'invalid_value') return `expected one of ${issue.values.map(String).join(', ')}`;
  return issue.message;
}

/**
 * What zod found, in plain words: the place, what was expected and the value that was given.
 * @param error of a parse with `reportInput: true`.
 * @param root name of the input as a whole, for issues without a path.
 */
export function plainIssues(error: z.ZodError, root: string): Issue[] {
  const found: Issue[] = [];
  for (const issue of error.issues) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) found.push({ path: place([...issue.path, key], root), message: 'unknown field' });
    } else {
      // Schemas say in their own words what they expect; zod's default texts are replaced.
      const text = issue.message.startsWith('expected ') ? issue.message : expectation(issue);
      found.push({ path: place(issue.path, root), message: `${text}, got ${shown(issue.input)}` });
    }
  }
  return found.slice(0, MAX_ISSUES);
}
