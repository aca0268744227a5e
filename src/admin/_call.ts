import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import type { Caller, Operations } from '../control/operations.ts';
import type { Issue } from '../errors/catalogue.ts';
import { Refusal, REFUSAL } from '../errors/catalogue.ts';
import type { Endpoint } from './_endpoint.ts';
import { plainIssues } from './_issues.ts';
import { invalid } from './_problem.ts';
import { parseBody } from './_body.ts';

export interface Target {
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Splits an origin-form or absolute-form request target. */
export function targetOf(request: IncomingMessage): Target {
  const text = (request.url ?? '/').replace(/^https?:\/\/[^/?#]*/i, '') || '/';
  const mark = text.indexOf('?');
  return mark === -1 ? { path: text, query: new URLSearchParams() } : { path: text.slice(0, mark), query: new URLSearchParams(text.slice(mark + 1)) };
}

export interface Inputs {
  readonly params: Record<string, string>;
  readonly query: unknown;
  readonly body: unknown;
}

/** Checks everything that a call brings along, and names all that is wrong with it at once. */
export function checkInputs(row: Endpoint, params: Record<string, string>, query: URLSearchParams, bytes: Buffer): Inputs {
  const issues: Issue[] = [];
  const check = (schema: z.ZodType, value: unknown, root: string): unknown => {
    const result = schema.safeParse(value, { reportInput: true });
    if (result.success) return result.data;
    issues.push(...plainIssues(result.error, root));
    return undefined;
  };
  const repeated = [...new Set(query.keys())].filter((key) => query.getAll(key).length > 1);
  for (const key of repeated) issues.push({ path: key, message: 'expected it once in the query, got it several times' });
  const checked = {
    params: check(row.params, params, 'path') as Record<string, string>,
    query: check(row.query, Object.fromEntries(query), 'query'),
    body: row.body === null ? undefined : check(row.body, parseBody(bytes, row.bodyOptional === true), 'body'),
  };
  if (row.body === null && bytes.length > 0) issues.push({ path: 'body', message: 'expected no body' });
  if (issues.length > 0) throw invalid(issues);
  return checked;
}

/**
 * Who calls and on what condition, which is of an upstream, or (undefined) of the configuration. `If-Match: *` asks that the upstream exists; of several tags the one that is current
 * counts, so that any match is a match.
 */
export function callerOf(request: IncomingMessage, by: string, upstream: string | undefined, operations: Operations): Caller {
  const field = request.headers['if-match']?.trim();
  if (field === undefined || field === '') return { by };
  const current = upstream === undefined ? operations.configuration().revision : operations.upstreams().find(({ name }) => name === upstream)?.revision;
  if (field === '*') {
    if (current === undefined) throw new Refusal(REFUSAL.stale, `There is no upstream ${upstream ?? ''} to match.`, { revision: null, changedBy: null });
    return { by };
  }
  const revisions = field.split(',').map((tag) => /^\s*"(\d{1,15})"\s*$/.exec(tag)?.[1]);
  if (revisions.includes(undefined)) {
    throw invalid([{ path: 'If-Match', message: `expected * or a revision such as "7" with its quotes, got ${field.slice(0, 60)}` }]);
  }
  const numbers = revisions.map(Number);
  return { by, ifMatch: current !== undefined && numbers.includes(current) ? current : numbers[0] };
}
