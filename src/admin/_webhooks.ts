import { z } from 'zod';
import { endpoint } from './_endpoint.ts';
import type { Endpoint } from './_endpoint.ts';
import { Name, NoParams, NoQuery, Nothing } from './_inputs.ts';
import { WebhookView } from './_views.ts';

/** Endpoints about those who are told of events. */
export const WEBHOOKS: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/v1/webhooks',
    id: 'listWebhooks',
    summary: 'Webhooks: what waits, and how the last attempts went',
    scope: 'read',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'Every webhook', schema: z.array(WebhookView) } },
    handle: ({ operations }) => ({ status: 200, json: operations.webhooks() }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/webhooks/{webhook}/redeliver',
    id: 'redeliverWebhook',
    summary: 'Tries at once what waits for a webhook, and once more what was given up',
    scope: 'operate',
    params: z.strictObject({ webhook: Name }),
    query: NoQuery,
    body: Nothing,
    bodyOptional: true,
    problems: { 404: ['not-found'] },
    answers: { 200: { text: 'How many were given up and wait again', schema: z.object({ again: z.int(), webhook: WebhookView }) } },
    handle: ({ operations, params }) => {
      const { again, view } = operations.redeliver(params.webhook);
      return { status: 200, json: { again, webhook: view } };
    },
  }),
];
