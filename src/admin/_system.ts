import { endpoint } from './_endpoint.ts';
import type { Answer, Call, Endpoint } from './_endpoint.ts';
import { EventsQuery, NoParams, NoQuery } from './_inputs.ts';
import { openApi } from './_openapi.ts';
import { streamSse } from './_stream.ts';
import { EventView, ReadyView } from './_views.ts';
import { z } from 'zod';

const HINT = 'Switchyard admin API. Try GET /v1/upstreams, or GET /v1/openapi.json for all of it.\n';

async function readMetrics({ metrics }: Call): Promise<Answer> {
  const { contentType, text } = await metrics();
  return { status: 200, text: { type: contentType, body: text } };
}

/** What happens, as it happens. */
const EVENTS: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/v1/events',
    id: 'events',
    scope: 'read',
    summary: 'What happens, as it happens: Server-Sent Events, or JSON messages over a WebSocket on upgrade; resumable by Last-Event-ID',
    params: NoParams,
    query: EventsQuery,
    body: null,
    problems: { 404: ['no-such-upstream'] },
    answers: {
      200: { text: 'Events, each with its JSON as data; a `reset` event says that some were forgotten', schema: EventView, type: 'text/event-stream' },
    },
    handle: ({ operations, query, signal }) => {
      if (query.upstream !== undefined) operations.upstream(query.upstream);
      return {
        stream: (request, response) => {
          const header = request.headers['last-event-id'];
          const after = (typeof header === 'string' ? header : undefined) ?? query.lastEventId ?? null;
          streamSse(operations, { upstream: query.upstream, after }, request, response, signal);
        },
      };
    },
  }),
];

function openApiEndpoint(all: () => readonly Endpoint[]): Endpoint {
  let document: unknown = null;
  return endpoint({
    method: 'GET',
    path: '/v1/openapi.json',
    id: 'openApi',
    summary: 'This API as an OpenAPI 3.1 document',
    scope: 'read',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'The document', schema: z.record(z.string(), z.unknown()) } },
    handle: () => ({ status: 200, json: (document ??= openApi(all())) }),
  });
}

/** What monitoring asks for. */
const MONITORING: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/metrics',
    id: 'metrics',
    summary: 'Metrics for Prometheus',
    scope: 'read',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'Metrics in the text format of Prometheus', schema: z.string(), type: 'text/plain' } },
    handle: readMetrics,
  }),
  endpoint({
    method: 'GET',
    path: '/livez',
    id: 'live',
    summary: 'Whether the control plane answers',
    scope: 'open',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'It does', schema: z.string(), type: 'text/plain' } },
    handle: () => ({ status: 200, text: { type: 'text/plain; charset=utf-8', body: 'ok\n' } }),
  }),
  endpoint({
    method: 'GET',
    path: '/readyz',
    id: 'ready',
    summary: 'Whether the proxy should be sent traffic',
    scope: 'open',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'It should', schema: ReadyView }, 503: { text: 'It should not, and why', schema: ReadyView } },
    handle: ({ operations }) => {
      const state = operations.ready();
      return state.ready ? { status: 200, json: state } : { status: 503, headers: { 'retry-after': '1' }, json: state };
    },
  }),
  endpoint({
    method: 'GET',
    path: '/',
    id: 'hint',
    summary: 'Where to look',
    scope: 'open',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'One line', schema: z.string(), type: 'text/plain' } },
    handle: () => ({ status: 200, text: { type: 'text/plain; charset=utf-8', body: HINT } }),
  }),
];

/** Endpoints about the proxy as a whole. `all` is the whole table, this part included. */
export function systemEndpoints(all: () => readonly Endpoint[]): readonly Endpoint[] {
  return [...EVENTS, openApiEndpoint(all), ...MONITORING];
}
