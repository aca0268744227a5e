import { request } from 'undici';
import { credentialsOf } from '../http/credentials.ts';
import { signedFields } from '../http/signature.ts';
import { isWithin } from '../pool/analysis.ts';
import type { PrometheusCheck } from '../pool/analysis.ts';
import type { GatePolicy } from '../pool/gates.ts';
import type { Checked } from '../pool/upstream.ts';
import type { CheckCounts } from './check-counts.ts';
import type { GateCounts } from './gate-counts.ts';
import type { GateAnswer, GateQuestion, MeasuredNames } from '../swap/ports.ts';

/** One question to a gate may take so long. */
const ASK_MS = 10_000;
const MOST_BYTES = 65_536;
const MOST_REASON = 500;

interface Answered {
  readonly status: number;
  readonly json: unknown;
}

async function call(url: string, options: { method: 'GET' | 'POST'; headers?: Record<string, string>; body?: string }, signal: AbortSignal): Promise<Answered> {
  const headers = { ...credentialsOf(new URL(url)), ...options.headers };
  const { statusCode, body } = await request(url, { ...options, headers, signal });
  let text = '';
  for await (const chunk of body) {
    text += (chunk as Buffer).toString('utf8');
    if (text.length > MOST_BYTES) throw new Error(`its answer is longer than ${MOST_BYTES} bytes`);
  }
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    if (statusCode === 200) throw new Error('its answer is not JSON');
  }
  return { status: statusCode, json };
}

/** The reason that a person can act on: undici hides it one level down. */
function problemOf(error: unknown, ms: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer in ${ms / 1_000} s`;
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && error.message === '' ? code : error.message;
}

/**
 * Asks a gate by a signed POST. Anything but a 200 with a decision is a wait: it is asked again until its time is over.
 * @param count counts the question and what comes of it; one that is broken off, since nobody waits for it any more, has no answer
 */
export async function askGate(
  { name, url, secret, at }: GatePolicy,
  question: GateQuestion,
  stop: AbortSignal,
  now: number,
  count: GateCounts,
): Promise<GateAnswer> {
  const failed = (why: string): GateAnswer => {
    if (!stop.aborted) count.answered(at, 'failed');
    return { decision: 'wait', reason: `${name} ${why}` };
  };
  count.asked(at);
  const body = JSON.stringify({ type: 'gate', ...question });
  const timestamp = Math.floor(now / 1_000);
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'switchyard',
    'idempotency-key': question.id,
    ...signedFields({ id: question.id, timestamp, body }, secret),
  };
  try {
    const { status, json } = await call(url, { method: 'POST', headers, body }, AbortSignal.any([stop, AbortSignal.timeout(ASK_MS)]));
    if (status !== 200) return failed(`answered ${status}`);
    const answer = answerOf(json);
    if (answer === null) return failed('answered without a decision: expected {"decision": "pass" | "wait" | "stop", "reason": …}');
    count.answered(at, answer.decision);
    return answer;
  } catch (error) {
    return failed(`cannot be asked: ${problemOf(error, ASK_MS)}`);
  }
}

function answerOf(json: unknown): GateAnswer | null {
  if (typeof json !== 'object' || json === null || !('decision' in json)) return null;
  const { decision } = json;
  if (decision !== 'pass' && decision !== 'wait' && decision !== 'stop') return null;
  const reason = 'reason' in json && typeof json.reason === 'string' ? json.reason.slice(0, MOST_REASON) : '';
  return { decision, reason: reason === '' ? `it said ${decision}` : reason };
}

/**
 * The first value of an instant query to a Prometheus server. A server that cannot be reached, or has no such series, gives none.
 * @param count counts what came of it; a question that is broken off, since nobody waits for it any more, is none
 */
export async function measure(check: PrometheusCheck, about: MeasuredNames, stop: AbortSignal, count: CheckCounts): Promise<Checked> {
  const { url, query, timeout } = check;
  const filled = query.replace(/\{\{(upstream|version|stable)\}\}/g, (_, name: keyof MeasuredNames) => about[name]);
  try {
    const at = new URL(url);
    at.pathname = `${at.pathname.replace(/\/$/, '')}/api/v1/query`;
    at.searchParams.set('query', filled);
    const { status, json } = await call(at.href, { method: 'GET' }, AbortSignal.any([stop, AbortSignal.timeout(timeout)]));
    const value = status === 200 ? firstValue(json) : null;
    count.count(status !== 200 ? 'error' : value === null ? 'no-data' : isWithin(check, value) ? 'pass' : 'fail');
    if (status !== 200) return { value, problem: `the Prometheus server answered ${status}` };
    return { value, problem: value === null ? 'no such series, or no number' : null };
  } catch (error) {
    if (!stop.aborted) count.count(error instanceof Error && error.name === 'TimeoutError' ? 'timeout' : 'error');
    return { value: null, problem: problemOf(error, timeout) };
  }
}

/** Of `{data: {resultType, result}}`: a scalar's, or that of the first series of a vector. */
function firstValue(json: unknown): number | null {
  const data = member(json, 'data');
  const result = member(data, 'result');
  const pair: unknown = member(data, 'resultType') === 'scalar' ? result : member(Array.isArray(result) ? result[0] : null, 'value');
  const value = Array.isArray(pair) && typeof pair[1] === 'string' && pair[1] !== '' ? Number(pair[1]) : Number.NaN;
  return Number.isFinite(value) ? value : null;
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value ? (value as Record<string, unknown>)[name] : undefined;
}
