import { z } from 'zod';
import { REFUSAL } from '../errors/catalogue.ts';
import type { AnswerShape, Endpoint } from './_endpoint.ts';
import { PROBLEM_TYPE } from './_problem.ts';
import { NAMED } from './_views.ts';

type Json = Record<string, unknown>;

const REFERENCES = z.registry<{ id: string }>();
for (const [id, schema] of Object.entries(NAMED)) REFERENCES.add(schema, { id });

const URI = (id: string): string => `#/components/schemas/${id}`;

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Answers may grow fields: their schemas are left open, and names that only mean something to a resolver are dropped. */
function tidy(schema: unknown, answer: boolean): Json {
  if (!isJson(schema)) return {};
  const { $schema: _dialect, $id: _id, id: _name, ...rest } = schema;
  if (answer) openUp(rest);
  return rest;
}

function openUp(schema: unknown): void {
  if (Array.isArray(schema)) for (const entry of schema) openUp(entry);
  if (!isJson(schema)) return;
  if (schema.additionalProperties === false) delete schema.additionalProperties;
  for (const value of Object.values(schema)) openUp(value);
}

function nameOf(schema: z.ZodType): string | undefined {
  return REFERENCES.get(schema)?.id;
}

function answerSchema(schema: z.ZodType): Json {
  const name = nameOf(schema);
  if (name !== undefined) return { $ref: URI(name) };
  if (schema instanceof z.ZodArray) return { type: 'array', items: answerSchema(schema.element as z.ZodType) };
  if (schema instanceof z.ZodUnion) return { anyOf: schema.options.map((option) => answerSchema(option as z.ZodType)) };
  return tidy(z.toJSONSchema(schema, { io: 'output' }), true);
}

function answerObject({ text, schema, type }: AnswerShape): Json {
  return { description: text, ...(schema === null ? {} : { content: { [type ?? 'application/json']: { schema: answerSchema(schema) } } }) };
}

function problemObject(codes: readonly string[]): Json {
  return { description: codes.join(', '), content: { [PROBLEM_TYPE]: { schema: { $ref: URI('Problem') } } } };
}

/** The problems that an endpoint can answer with: its own, and those of every endpoint of its kind. */
function problemsOf(row: Endpoint): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  const add = (status: number, ...codes: string[]): void => {
    found[status] = [...new Set([...(found[status] ?? []), ...codes])];
  };
  for (const [status, codes] of Object.entries(row.problems)) add(Number(status), ...codes);
  add(400, REFUSAL.invalid.code);
  add(403, REFUSAL.foreignOrigin.code);
  add(500, REFUSAL.internal.code);
  if (row.scope !== 'open') add(401, REFUSAL.unauthorized.code);
  if (row.scope !== 'open') add(403, REFUSAL.forbidden.code);
  if (row.conditional === true) add(412, REFUSAL.stale.code);
  if (row.body !== null) add(413, REFUSAL.tooLarge.code);
  if (row.method === 'POST') add(422, REFUSAL.keyReused.code);
  return found;
}

function parametersOf(row: Endpoint): Json[] {
  const of = (schema: z.ZodType, where: 'path' | 'query'): Json[] => {
    const described = tidy(z.toJSONSchema(schema, { io: 'input' }), false);
    const required = Array.isArray(described.required) ? described.required : [];
    return Object.entries(isJson(described.properties) ? described.properties : {}).map(([name, shape]) => ({
      name,
      in: where,
      required: where === 'path' || required.includes(name),
      schema: shape,
    }));
  };
  const header = (name: string, text: string): Json => ({ name, in: 'header', required: false, description: text, schema: { type: 'string' } });
  return [
    ...of(row.params, 'path'),
    ...of(row.query, 'query'),
    ...(row.conditional === true ? [header('If-Match', 'The revision that must still be the current one, as an ETag, or *')] : []),
    ...(row.method === 'POST' ? [header('Idempotency-Key', 'A repeat with the same key is done once and answered as the first was')] : []),
    ...(row.id === 'events' ? [header('Last-Event-ID', 'Resume after this event')] : []),
  ];
}

function operationObject(row: Endpoint): Json {
  const responses: Json = {};
  for (const [status, shape] of Object.entries(row.answers)) responses[status] = answerObject(shape);
  for (const [status, codes] of Object.entries(problemsOf(row))) responses[status] ??= problemObject(codes);
  const parameters = parametersOf(row);
  return {
    operationId: row.id,
    summary: row.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(row.body === null
      ? {}
      : {
          requestBody: {
            required: row.bodyOptional !== true,
            content: { 'application/json': { schema: tidy(z.toJSONSchema(row.body, { io: 'input' }), false) } },
          },
        }),
    responses,
    security: row.scope === 'open' ? [] : [{ token: [] }],
    'x-scope': row.scope,
  };
}

/** The OpenAPI 3.1 document of these endpoints. */
export function openApi(endpoints: readonly Endpoint[]): Json {
  const paths: Record<string, Json> = {};
  for (const row of endpoints) (paths[row.path] ??= {})[row.method.toLowerCase()] = operationObject(row);
  const { schemas } = z.toJSONSchema(REFERENCES, { uri: URI, io: 'output' });
  return {
    openapi: '3.1.0',
    info: { title: 'Switchyard admin API', version: '1', description: 'Swap the versions behind a Switchyard without losing a request.' },
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, tidy(schema, true)])),
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'Needed when the admin API has tokens' } },
    },
  };
}
