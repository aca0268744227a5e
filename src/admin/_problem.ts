import { Refusal, REFUSAL } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import type { Answer } from './_endpoint.ts';

export const PROBLEM_TYPE = 'application/problem+json';

const RETRY_SECONDS: Readonly<Record<string, string>> = {
  [REFUSAL.swapRunning.code]: '5',
  [REFUSAL.internal.code]: '5',
};

/** A refusal as an RFC 9457 problem document. The facts of the case can never hide its standard members. */
export function problemAnswer(refusal: Refusal, headers: Readonly<Record<string, string>> = {}): Answer {
  const { code, status, text } = refusal.fault;
  const errors = refusal.errors.length > 0 ? { errors: refusal.errors } : {};
  const document = {
    ...refusal.facts,
    type: `urn:switchyard:problem:${code}`,
    title: text,
    status,
    detail: refusal.message,
    code,
    ...errors,
  };
  const retry = RETRY_SECONDS[code];
  return {
    status,
    headers: { ...(retry === undefined ? {} : { 'retry-after': retry }), ...headers },
    text: { type: PROBLEM_TYPE, body: JSON.stringify(document) },
  };
}

/** A refusal of a whole input: one sentence for people, every place for tools. */
export function invalid(errors: readonly { path: string; message: string }[], fault: Fault = REFUSAL.invalid): Refusal {
  const detail = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
  return new Refusal(fault, detail, {}, errors);
}
