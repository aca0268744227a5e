import t from 'tap';
import { ENDPOINTS } from '../../src/admin/endpoints.ts';
import { testAdmin } from '../helpers/admin-server.ts';

interface Operation {
  operationId: string;
  summary: string;
  parameters?: { name: string; in: string; required: boolean }[];
  requestBody?: { required: boolean; content: Record<string, { schema: { additionalProperties?: unknown; required: string[] } }> };
  responses: Record<string, { description: string }>;
  security: unknown[];
}

interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { additionalProperties?: unknown }> };
}

function references(value: unknown, found: string[] = []): string[] {
  if (Array.isArray(value)) for (const entry of value) references(entry, found);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      if (key === '$ref') found.push(String(inner));
      else references(inner, found);
    }
  }
  return found;
}

function resolve(document: Document, reference: string): unknown {
  return reference
    .slice(2)
    .split('/')
    .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document);
}

t.test('the document covers every endpoint, with every answer', async (t) => {
  const { ask } = await testAdmin(t);
  const document = (await ask('GET', '/v1/openapi.json')).json as Document;
  t.equal(document.openapi, '3.1.0');
  const operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  t.same(operations.toSorted(), ENDPOINTS.map(({ method, path }) => `${method} ${path}`).toSorted());
  for (const row of ENDPOINTS) {
    const operation = document.paths[row.path][row.method.toLowerCase()];
    t.equal(operation.operationId, row.id);
    t.ok(operation.summary.length > 5, `${row.id} has a summary`);
    for (const status of [...Object.keys(row.answers), ...Object.keys(row.problems), '400', '403', '500']) {
      t.ok(operation.responses[status]?.description, `${row.id} describes ${status}`);
    }
    t.same(operation.security, row.scope === 'open' ? [] : [{ token: [] }]);
    const named = [...row.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
    t.same(
      inPath.map(({ name }) => name),
      named,
      `${row.id} has its path parameters`,
    );
    t.ok(inPath.every(({ required }) => required));
    t.equal(operation.requestBody !== undefined, row.body !== null, `${row.id} body`);
    const headers = (operation.parameters ?? []).filter((parameter) => parameter.in === 'header').map(({ name }) => name);
    t.equal(headers.includes('If-Match'), row.conditional === true);
    t.equal(headers.includes('Idempotency-Key'), row.method === 'POST');
    if (row.scope === 'operate' && row.path.includes('{upstream}')) t.equal(row.conditional, true, `${row.id} honours If-Match`);
  }
});

t.test('every reference of the document leads somewhere, and nothing of the generator is left in it', async (t) => {
  const { ask } = await testAdmin(t);
  const document = (await ask('GET', '/v1/openapi.json')).json as Document;
  const found = new Set(references(document));
  t.ok(found.has('#/components/schemas/Swap'));
  for (const reference of found) t.equal(typeof resolve(document, reference), 'object', reference);
  t.notMatch(JSON.stringify(document), /"\$(schema|id|defs)"/);
  t.equal(document.components.schemas.Upstream.additionalProperties, undefined, 'answers may grow');
  const body = document.paths['/v1/upstreams/{upstream}/swap'].post.requestBody;
  t.equal(body?.required, true);
  t.equal(body?.content['application/json'].schema.additionalProperties, false, 'unknown fields of a body are errors');
  t.same(body?.content['application/json'].schema.required, ['to']);
});
