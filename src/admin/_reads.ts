import { z } from 'zod';
import type { SwapView as Swap, UpstreamView as Upstream } from '../control/operations.ts';
import { endpoint } from './_endpoint.ts';
import type { Answer, Call, Endpoint } from './_endpoint.ts';
import { ExplainQuery, NoParams, NoQuery, SwapParams, SwapQuery, UpstreamParams, VersionParams, WaitQuery } from './_inputs.ts';
import { ExplanationView, Receipt, SwapView, UpstreamView, VersionView } from './_views.ts';

/** An upstream with the ETag that a later `If-Match` names. */
export function upstreamAnswer(view: Upstream, status = 200, headers: Record<string, string> = {}): Answer {
  return { status, headers: { etag: `"${view.revision}"`, ...headers }, json: view };
}

/** A long poll that was in vain: the client may ask again at once. */
const AGAIN = { 'retry-after': '0' };

async function readVersion(call: Call<z.output<typeof VersionParams>, z.output<typeof WaitQuery>>): Promise<Answer> {
  const { params, query, operations, signal } = call;
  const view = operations.version(params.upstream, params.version);
  if (query.wait === undefined) return { status: 200, json: view };
  const gone = Promise.withResolvers<null>();
  const stop = (): void => gone.resolve(null);
  signal.addEventListener('abort', stop, { once: true });
  try {
    const waited = await Promise.race([operations.waitFor(params.upstream, params.version, query.wait, query.timeout, signal), gone.promise]);
    if (waited === null) return { status: 202, headers: AGAIN, json: operations.version(params.upstream, params.version) };
    return waited.reached ? { status: 200, json: waited.view } : { status: 202, headers: AGAIN, json: waited.view };
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Resolves once `done` holds after an event, the time is up or the client has gone. */
function afterEvents(call: Pick<Call, 'operations' | 'signal'>, timeout: number, done: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      off();
      call.signal.removeEventListener('abort', finish);
      resolve();
    };
    const off = call.operations.onEvent(() => {
      if (done()) finish();
    });
    const timer = setTimeout(finish, timeout);
    call.signal.addEventListener('abort', finish, { once: true });
    if (call.signal.aborted || done()) finish();
  });
}

async function readSwap(call: Call<z.output<typeof SwapParams>, z.output<typeof SwapQuery>>): Promise<Answer> {
  const { params, query, operations } = call;
  const read = (): Swap => operations.swapById(params.swap);
  let view = read();
  const { after } = query;
  if (after === undefined) return { status: 200, json: view };
  let failure: Error | null = null;
  const moved = (): boolean => {
    try {
      view = read();
    } catch (error) {
      failure = error instanceof Error ? error : new Error('the swap cannot be read', { cause: error });
      return true;
    }
    return view.finished || view.steps.length > after;
  };
  if (!moved()) await afterEvents(call, query.timeout, moved);
  // The swap may have been forgotten while we waited.
  if (failure !== null) throw failure as Error;
  const reached = moved();
  return { status: reached ? 200 : 202, headers: reached ? {} : AGAIN, json: view };
}

/** Problems of endpoints about an upstream, and about a version. */
export const UPSTREAM_404 = { 404: ['no-such-upstream'] };
export const VERSION_404 = { 404: ['no-such-upstream', 'no-such-version'] };

/** Endpoints that change nothing. */
export const READS: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/v1/upstreams',
    id: 'listUpstreams',
    summary: 'All upstreams',
    scope: 'read',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'Every upstream', schema: z.array(UpstreamView) } },
    handle: ({ operations }) => ({ status: 200, json: operations.upstreams() }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}',
    id: 'getUpstream',
    summary: 'One upstream, with its revision as ETag',
    scope: 'read',
    params: UpstreamParams,
    query: NoQuery,
    body: null,
    problems: UPSTREAM_404,
    answers: { 200: { text: 'The upstream', schema: UpstreamView } },
    handle: ({ operations, params }) => upstreamAnswer(operations.upstream(params.upstream)),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}/versions',
    id: 'listVersions',
    summary: 'The versions of an upstream, with its history',
    scope: 'read',
    params: UpstreamParams,
    query: NoQuery,
    body: null,
    problems: UPSTREAM_404,
    answers: { 200: { text: 'Its versions, oldest first', schema: z.array(VersionView) } },
    handle: ({ operations, params }) => ({ status: 200, json: operations.versions(params.upstream) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}/versions/{version}',
    id: 'getVersion',
    summary: 'One version; with `wait`, a long poll',
    scope: 'read',
    params: VersionParams,
    query: WaitQuery,
    body: null,
    problems: VERSION_404,
    answers: { 200: { text: 'The version; with `wait`, it got there', schema: VersionView }, 202: { text: 'It has not got there', schema: VersionView } },
    handle: readVersion,
  }),
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}/versions/{version}/receipt',
    id: 'getReceipt',
    summary: 'The proof of release',
    scope: 'read',
    params: VersionParams,
    query: NoQuery,
    body: null,
    problems: { 404: ['no-such-upstream', 'no-such-version', 'no-receipt'] },
    answers: { 200: { text: 'The receipt', schema: Receipt } },
    handle: ({ operations, params }) => ({ status: 200, json: operations.receipt(params.upstream, params.version) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}/versions/{version}/explain',
    id: 'explainVersion',
    summary: 'What blocks a version',
    scope: 'read',
    params: VersionParams,
    query: NoQuery,
    body: null,
    problems: VERSION_404,
    answers: { 200: { text: 'The blocking facts, most telling first', schema: ExplanationView } },
    handle: ({ operations, params }) => ({ status: 200, json: operations.explain(params.upstream, params.version) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}/explain',
    id: 'explainUpstream',
    summary: 'What blocks an upstream, or with `version` one of its versions',
    scope: 'read',
    params: UpstreamParams,
    query: ExplainQuery,
    body: null,
    problems: VERSION_404,
    answers: { 200: { text: 'The blocking facts, most telling first', schema: ExplanationView } },
    handle: ({ operations, params, query }) => ({ status: 200, json: operations.explain(params.upstream, query.version ?? null) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}/swap',
    id: 'lastSwap',
    summary: 'The running or last swap of an upstream',
    scope: 'read',
    params: UpstreamParams,
    query: NoQuery,
    body: null,
    problems: { 404: ['no-such-upstream', 'no-such-swap'] },
    answers: { 200: { text: 'The swap with its steps and evidence', schema: SwapView } },
    handle: ({ operations, params }) => ({ status: 200, json: operations.lastSwap(params.upstream) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/swaps/{swap}',
    id: 'getSwap',
    summary: 'One swap; with `after`, a long poll for its next step',
    scope: 'read',
    params: SwapParams,
    query: SwapQuery,
    body: null,
    problems: { 404: ['no-such-swap'] },
    answers: { 200: { text: 'The swap; with `after`, it moved on', schema: SwapView }, 202: { text: 'It has not moved on', schema: SwapView } },
    handle: readSwap,
  }),
];
