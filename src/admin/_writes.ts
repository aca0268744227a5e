import { z } from 'zod';
import type { SwapAsk, SwapView as Swap } from '../control/operations.ts';
import { isFinal } from '../pool/phase.ts';
import { analysisAsked } from './_analysis-input.ts';
import { endpoint } from './_endpoint.ts';
import type { Answer, Call, Endpoint } from './_endpoint.ts';
import { BackendParams, NoQuery, Nothing, RollbackBody, SplitBody, SwapBody, UpstreamBody, UpstreamParams, VersionBody, VersionParams } from './_inputs.ts';
import { UPSTREAM_404, VERSION_404, upstreamAnswer } from './_reads.ts';
import { PlanView, SwapView, UpstreamView, VersionView } from './_views.ts';

function versionPath(upstream: string, version: string): string {
  return `/v1/upstreams/${encodeURIComponent(upstream)}/versions/${encodeURIComponent(version)}`;
}

function startedAnswer(view: Swap, status = 202): Answer {
  return { status, headers: { location: `/v1/swaps/${encodeURIComponent(view.id)}` }, json: view };
}

function swapRequest(body: z.output<typeof SwapBody>): SwapAsk {
  const { to, backends, members } = body;
  return { to, ...(backends === undefined ? {} : { backends }), ...(members === undefined ? {} : { members }), ...swapOptions(body) };
}

/** How a version is to be swapped to. */
export function swapOptions(body: Omit<z.output<typeof SwapBody>, 'to' | 'backends' | 'members'>): Omit<SwapAsk, 'to' | 'backends' | 'members'> {
  const { strategy, admission, drain, rollback } = body;
  return {
    ...(strategy?.canary === undefined ? {} : { canary: strategy.canary }),
    ...(strategy?.analysis === undefined ? {} : { analysis: analysisAsked(strategy.analysis) }),
    ...(admission === undefined ? {} : { admission }),
    ...(drain === undefined ? {} : { drain }),
    ...(rollback === undefined ? {} : { keep: rollback.keep }),
  };
}

async function startSwap(call: Call<z.output<typeof UpstreamParams>, unknown, z.output<typeof SwapBody>>): Promise<Answer> {
  const { operations, params, body, caller } = call;
  const request = swapRequest(body);
  if (body.dryRun === true) return { status: 200, json: operations.planSwap(params.upstream, request, caller) };
  const { started, view } = await operations.swap(params.upstream, request, caller);
  return startedAnswer(view, started ? 202 : 200);
}

/** An order to an upstream: it says all by its path. */
const ORDER = { method: 'POST', scope: 'operate', conditional: true, params: UpstreamParams, query: NoQuery, body: Nothing, bodyOptional: true } as const;
const ONE_UPSTREAM = { 200: { text: 'The upstream as it is now', schema: UpstreamView } };

function steering(verb: 'promote' | 'pause' | 'resume' | 'abort', summary: string): Endpoint {
  return endpoint({
    ...ORDER,
    path: `/v1/upstreams/{upstream}/swap/${verb}`,
    id: `${verb}Swap`,
    summary,
    problems: { ...UPSTREAM_404, 409: ['no-running-swap', 'not-now'] },
    answers: { 200: { text: 'The swap as it is now', schema: SwapView } },
    handle: async ({ operations, params, caller }) => ({ status: 200, json: await operations.steer(params.upstream, verb, caller) }),
  });
}

function holding(verb: 'hold' | 'unhold', summary: string): Endpoint {
  return endpoint({
    ...ORDER,
    path: `/v1/upstreams/{upstream}/${verb}`,
    id: `${verb}Upstream`,
    summary,
    problems: UPSTREAM_404,
    answers: ONE_UPSTREAM,
    handle: async ({ operations, params, caller }) => upstreamAnswer(await operations.hold(params.upstream, verb === 'hold', caller)),
  });
}

/** Endpoints that declare upstreams and versions. */
const STRUCTURE: readonly Endpoint[] = [
  endpoint({
    method: 'PUT',
    path: '/v1/upstreams/{upstream}',
    id: 'putUpstream',
    summary: 'Declares an upstream or changes its structure',
    scope: 'operate',
    conditional: true,
    params: UpstreamParams,
    query: NoQuery,
    body: UpstreamBody,
    problems: { 409: ['not-now'], 507: ['slots-exhausted'] },
    answers: { 200: { text: 'Changed', schema: UpstreamView }, 201: { text: 'Created', schema: UpstreamView } },
    handle: async ({ operations, params, body, caller }) => {
      const { created, view } = await operations.putUpstream(params.upstream, body, caller);
      return upstreamAnswer(view, created ? 201 : 200, created ? { location: `/v1/upstreams/${encodeURIComponent(view.name)}` } : {});
    },
  }),
  endpoint({
    method: 'DELETE',
    path: '/v1/upstreams/{upstream}',
    id: 'deleteUpstream',
    summary: 'Removes an upstream',
    scope: 'operate',
    conditional: true,
    params: UpstreamParams,
    query: NoQuery,
    body: null,
    problems: { ...UPSTREAM_404, 409: ['not-now', 'swap-running'] },
    answers: { 204: { text: 'Removed', schema: null } },
    handle: async ({ operations, params, caller }) => {
      await operations.deleteUpstream(params.upstream, caller);
      return { status: 204 };
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/upstreams/{upstream}/versions',
    id: 'registerVersion',
    scope: 'operate',
    conditional: true,
    summary: 'Registers a version and admits it without moving traffic',
    params: UpstreamParams,
    query: NoQuery,
    body: VersionBody,
    problems: { ...UPSTREAM_404, 409: ['version-exists', 'swap-running'], 507: ['slots-exhausted'] },
    answers: { 200: { text: 'It was registered before, with the same backends', schema: VersionView }, 201: { text: 'Registered', schema: VersionView } },
    handle: async ({ operations, params, body, caller }) => {
      const { created, view } = await operations.register(params.upstream, body, caller);
      return { status: created ? 201 : 200, headers: { location: versionPath(params.upstream, view.id) }, json: view };
    },
  }),
  endpoint({
    method: 'DELETE',
    path: '/v1/upstreams/{upstream}/versions/{version}',
    id: 'removeVersion',
    scope: 'operate',
    conditional: true,
    summary: 'Drains and releases a version that is not live',
    params: VersionParams,
    query: NoQuery,
    body: null,
    problems: { ...VERSION_404, 409: ['not-now', 'swap-running'] },
    answers: { 200: { text: 'It is gone', schema: VersionView }, 202: { text: 'It is on its way out', schema: VersionView } },
    handle: async ({ operations, params, caller }) => {
      const view = await operations.removeVersion(params.upstream, params.version, caller);
      return isFinal(view.phase) ? { status: 200, json: view } : { status: 202, headers: { location: versionPath(params.upstream, view.id) }, json: view };
    },
  }),
];

/** Endpoints that move traffic. */
const TRAFFIC: readonly Endpoint[] = [
  endpoint({
    method: 'POST',
    path: '/v1/upstreams/{upstream}/swap',
    id: 'startSwap',
    summary: 'Swaps to a version: admit, cut over, drain, release',
    scope: 'operate',
    conditional: true,
    params: UpstreamParams,
    query: NoQuery,
    body: SwapBody,
    problems: { 403: ['forbidden'], ...VERSION_404, 409: ['swap-running', 'version-exists', 'not-now', 'launch-failed'], 507: ['slots-exhausted'] },
    answers: {
      200: { text: 'Nothing was changed: it is live already, this swap is running already, or it was a dry run', schema: z.union([SwapView, PlanView]) },
      202: { text: 'Started', schema: SwapView },
    },
    handle: startSwap,
  }),
  steering('promote', 'Takes the next canary step now'),
  steering('pause', 'Freezes the running swap at its present weight'),
  steering('resume', 'Lets a paused swap go on'),
  steering('abort', 'Ends the running swap and gives the traffic back'),
  endpoint({
    method: 'POST',
    path: '/v1/upstreams/{upstream}/rollback',
    id: 'rollback',
    summary: 'Swaps back to a version that is still kept',
    scope: 'operate',
    conditional: true,
    params: UpstreamParams,
    query: NoQuery,
    body: RollbackBody,
    bodyOptional: true,
    problems: { ...VERSION_404, 409: ['nothing-kept', 'swap-running', 'not-now'] },
    answers: { 202: { text: 'Started', schema: SwapView } },
    handle: async ({ operations, params, body, caller }) => startedAnswer(await operations.rollback(params.upstream, body.to ?? null, caller)),
  }),
  endpoint({
    method: 'PUT',
    path: '/v1/upstreams/{upstream}/split',
    id: 'setSplit',
    summary: 'Sets the split by hand, among admitted versions',
    scope: 'operate',
    conditional: true,
    params: UpstreamParams,
    query: NoQuery,
    body: SplitBody,
    problems: { ...VERSION_404, 409: ['not-now', 'swap-running'] },
    answers: ONE_UPSTREAM,
    handle: async ({ operations, params, body, caller }) => {
      const weights = Object.fromEntries(Object.entries(body).filter(([, weight]) => weight > 0));
      return upstreamAnswer(await operations.setSplit(params.upstream, weights, caller));
    },
  }),
  holding('hold', 'Holds requests at the door, in a bounded queue'),
  holding('unhold', 'Lets held requests go on'),
  endpoint({
    ...ORDER,
    path: '/v1/upstreams/{upstream}/backends/{address}/drain',
    id: 'drainBackend',
    summary: 'Takes one backend of a live version out of the rotation until its version goes',
    params: BackendParams,
    problems: { 404: ['no-such-upstream', 'not-found'], 409: ['not-now', 'not-of-workers'] },
    answers: ONE_UPSTREAM,
    handle: async ({ operations, params, caller }) => upstreamAnswer(await operations.drainBackend(params.upstream, params.address, caller)),
  }),
];

/** Endpoints that change something. */
export const WRITES: readonly Endpoint[] = [...STRUCTURE, ...TRAFFIC];
