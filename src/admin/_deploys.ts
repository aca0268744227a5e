import { z } from 'zod';
import { swapOptions } from './_writes.ts';
import { endpoint } from './_endpoint.ts';
import type { Endpoint } from './_endpoint.ts';
import { DeployBody, DeployParams, NoQuery, OutputQuery, SettleQuery, UpstreamParams, VersionParams } from './_inputs.ts';
import { DeployView, OutputView, PlanView } from './_views.ts';

/** Endpoints that start programs, and tell of them. */
export const DEPLOYS: readonly Endpoint[] = [
  endpoint({
    method: 'POST',
    path: '/v1/upstreams/{upstream}/deploy',
    id: 'startDeploy',
    summary: 'Starts the processes of a version and swaps to it; what it replaces is drained and stopped',
    scope: 'operate',
    conditional: true,
    params: UpstreamParams,
    query: NoQuery,
    body: DeployBody,
    problems: { 403: ['forbidden'], 404: ['no-such-upstream'], 409: ['swap-running', 'version-exists', 'not-now'], 507: ['slots-exhausted'] },
    answers: {
      200: { text: 'Nothing was changed: it is live already, this deploy is going on, or it was a dry run', schema: z.union([DeployView, PlanView]) },
      202: { text: 'Begun', schema: DeployView },
    },
    handle: async ({ operations, params, body, caller }) => {
      const request = { version: body.version, launch: body.launch ?? {}, swap: swapOptions(body) };
      if (body.dryRun === true) return { status: 200, json: operations.planDeploy(params.upstream, request) };
      const { started, view } = await operations.deploy(params.upstream, request, caller);
      const headers: Record<string, string> = view.id === '' ? {} : { location: `/v1/deploys/${encodeURIComponent(view.id)}` };
      return { status: started ? 202 : 200, headers, json: view };
    },
  }),
  endpoint({
    method: 'GET',
    path: '/v1/deploys/{deploy}',
    id: 'getDeploy',
    summary: 'One deploy, up to its swap; with `wait`, a long poll until it is starting no longer',
    scope: 'read',
    params: DeployParams,
    query: SettleQuery,
    body: null,
    problems: { 404: ['no-such-deploy'] },
    answers: { 200: { text: 'The deploy', schema: DeployView } },
    handle: async ({ operations, params, query }) => ({ status: 200, json: await operations.deployById(params.deploy, query.wait ?? 0) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/upstreams/{upstream}/versions/{version}/logs',
    id: 'getLogs',
    summary: 'What the processes of a version have printed last; with `after`, since then',
    scope: 'read',
    params: VersionParams,
    query: OutputQuery,
    body: null,
    problems: { 404: ['no-such-upstream', 'no-such-version', 'not-found'], 409: ['not-now'] },
    answers: { 200: { text: 'The last lines of each, oldest first', schema: OutputView } },
    handle: async ({ operations, params, query: { replica = null, lines, after = null, wait }, signal }) => ({
      status: 200,
      json: await operations.output(params.upstream, params.version, { replica, lines, after, waitMs: wait }, signal),
    }),
  }),
];
