import { z } from 'zod';
import { endpoint } from './_endpoint.ts';
import type { Endpoint } from './_endpoint.ts';
import { Name, NoParams, NoQuery } from './_inputs.ts';
import { ConfigView, HistoryEntryView, PlanOfConfig, UndoView } from './_config-views.ts';

const Flag = z
  .enum(['true', 'false'], { error: 'expected true or false' })
  .default('false')
  .transform((text) => text === 'true');

const Document = z
  .record(z.string(), z.unknown(), { error: 'expected an object with the fields of a configuration' })
  .meta({ description: 'The shape of the configuration file, without admin, stateDir, demo and pull; files as their content' });

const Id = z
  .string()
  .regex(/^\d{1,12}$/, { error: 'expected the number of a change' })
  .transform(Number);

const Prune = Flag.meta({ description: 'Remove upstreams that the document does not name' });

/** Endpoints about the structure as a whole and its past. */
export const CONFIG: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/v1/config',
    id: 'getConfig',
    summary: 'The structure that is in force, who owns what of it, and where it differs from its source; its revision as ETag',
    scope: 'read',
    params: NoParams,
    query: NoQuery,
    body: null,
    problems: {},
    answers: { 200: { text: 'The configuration; secrets are masked', schema: ConfigView } },
    handle: ({ operations }) => {
      const view = operations.configuration();
      return { status: 200, headers: { etag: `"${view.revision}"` }, json: view };
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/config/plan',
    id: 'planConfig',
    summary: 'What putting this configuration in force would change; changes nothing',
    scope: 'read',
    params: NoParams,
    query: z.strictObject({ prune: Prune }),
    body: Document,
    problems: {},
    answers: { 200: { text: 'The plan', schema: PlanOfConfig } },
    handle: ({ operations, query, body }) => ({ status: 200, json: operations.planConfig(body, query.prune) }),
  }),
  endpoint({
    method: 'PUT',
    path: '/v1/config',
    id: 'putConfig',
    summary: 'Puts a configuration in force as a whole, or nothing of it',
    scope: 'operate',
    conditional: true,
    params: NoParams,
    query: z.strictObject({ prune: Prune, dryRun: Flag }),
    body: Document,
    problems: { 409: ['swap-running'], 507: ['slots-exhausted'] },
    answers: { 200: { text: 'What was changed', schema: PlanOfConfig } },
    handle: async ({ operations, query, body, caller }) => {
      if (query.dryRun) return { status: 200, json: operations.planConfig(body, query.prune) };
      const plan = await operations.applyConfig(body, query.prune, caller);
      return { status: 200, headers: { etag: `"${plan.revision}"` }, json: plan };
    },
  }),
  endpoint({
    method: 'GET',
    path: '/v1/history',
    id: 'listHistory',
    summary: 'Changes with who, when and what, newest first',
    scope: 'read',
    params: NoParams,
    query: z.strictObject({
      upstream: Name.optional(),
      limit: z
        .string()
        .regex(/^[1-9]\d{0,3}$/, { error: 'expected a number from 1 to 9999' })
        .transform(Number)
        .default(50),
      before: Id.optional().meta({ description: 'Only changes before this one' }),
    }),
    body: null,
    problems: {},
    answers: { 200: { text: 'Changes', schema: z.array(HistoryEntryView) } },
    handle: ({ operations, query }) => ({ status: 200, json: operations.history(query) }),
  }),
  endpoint({
    method: 'GET',
    path: '/v1/history/{id}',
    id: 'getChange',
    summary: 'One change',
    scope: 'read',
    params: z.strictObject({ id: z.string().regex(/^\d{1,12}$/, { error: 'expected the number of a change' }) }),
    query: NoQuery,
    body: null,
    problems: { 404: ['not-found'] },
    answers: { 200: { text: 'The change', schema: HistoryEntryView } },
    handle: ({ operations, params }) => ({ status: 200, json: operations.historyEntry(Number(params.id)) }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/undo',
    id: 'undo',
    summary: 'Brings back what was after a change, or before a swap or deploy, as a new change: the structure, or by a rollback what was live',
    scope: 'operate',
    conditional: true,
    params: NoParams,
    query: NoQuery,
    body: z
      .strictObject({
        to: z.int().min(1).optional().meta({ description: 'Number of a change; default: the configuration before the last' }),
        of: z.int().min(1).optional().meta({ description: 'Number of a swap or deploy: what was live before it is brought back' }),
      })
      .refine(({ to, of }) => to === undefined || of === undefined, { error: 'expected one of to and of' }),
    bodyOptional: true,
    problems: { 404: ['not-found', 'no-such-upstream', 'no-such-version'], 409: ['not-now', 'nothing-kept', 'swap-running'], 507: ['slots-exhausted'] },
    answers: { 200: { text: 'It is back', schema: UndoView }, 202: { text: 'A rollback was started', schema: UndoView } },
    handle: async ({ operations, body, caller }) => {
      const view = await operations.undo({ to: body.to ?? null, of: body.of ?? null }, caller);
      return { status: view.kind === 'rollback' ? 202 : 200, json: view };
    },
  }),
];
