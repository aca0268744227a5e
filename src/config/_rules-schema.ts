/** The shape of the rules of a route, of pages and of maintenance, and their defaults. */
import { z } from 'zod';
import { foldedName, isEditable } from '../http/edit-fields.ts';
import { parseTemplate } from '../http/template.ts';
import type { RouteRules } from '../pool/rules.ts';
import { cidr, duration, fieldName, fieldValue, hostHeader, hostPattern, pathPrefix, redirectHost, whole } from './_fields.ts';
import { MOST_PAGE_BYTES, pageName } from './_pages.ts';

const YEAR = 31_536_000;
const port = whole(1, 65_535);
const body = whole(0, Number.MAX_SAFE_INTEGER, ' (bytes)').nullable();

const redirect = z
  .strictObject({
    scheme: z.enum(['http', 'https']).nullable().default(null),
    host: redirectHost.nullable().default(null),
    port: port.nullable().default(null),
    path: pathPrefix.nullable().default(null),
    status: z.literal([301, 302, 303, 307, 308], { error: '301, 302, 303, 307 or 308' }).default(308),
  })
  .refine(({ scheme, host, port, path }) => scheme !== null || host !== null || port !== null || path !== null, {
    error: 'a scheme, host, port or path to lead to',
  });

const template = fieldValue.refine((value) => parseTemplate(value) !== null, {
  error: "a value whose only placeholders are {client}, {host}, {scheme} and {request_id} ('{{' for a brace)",
});

/** Fields of one side of the exchange; each in one of set, add and remove. */
function changes(side: 'request' | 'response') {
  const editable = fieldName.refine((name) => isEditable(name, side), {
    error: 'the name of a field that is not for the proxy alone to say (framing, hop-by-hop and forwarding fields are)',
  });
  const plural = editable.refine((name) => foldedName(name) !== 'host', { error: 'another field than Host, which can only be set' });
  const set = z.record(
    editable.refine((name) => foldedName(name) !== 'set-cookie', { error: 'another field than Set-Cookie, which can be added and removed' }),
    template,
  );
  return z
    .strictObject({ set: set.default({}), add: z.record(plural, template).default({}), remove: z.array(plural).max(100).default([]) })
    .superRefine(({ set, add, remove }, context) => {
      const seen = new Set<string>();
      for (const [place, names] of [['set', Object.keys(set)] as const, ['add', Object.keys(add)] as const, ['remove', remove] as const]) {
        for (const [at, name] of names.entries()) {
          const path = [place, place === 'remove' ? at : name];
          if (seen.has(foldedName(name))) context.addIssue({ code: 'custom', path, message: `a field that nothing else here names`, input: name });
          seen.add(foldedName(name));
        }
      }
      const host = Object.entries(set).find(([name]) => foldedName(name) === 'host');
      if (host !== undefined && !hostHeader.safeParse(host[1]).success) {
        context.addIssue({ code: 'custom', path: ['set', host[0]], message: "a host name or address, with or without ':port'", input: host[1] });
      }
    });
}

const hsts = z
  .strictObject({
    maxAge: whole(0, 10 * YEAR, ' (seconds)').default(YEAR),
    includeSubDomains: z.boolean().default(false),
    preload: z.boolean().default(false),
  })
  .refine(({ maxAge, includeSubDomains, preload }) => !preload || (includeSubDomains && maxAge >= YEAR), {
    error: `preload only with includeSubDomains and a maxAge of at least ${YEAR}`,
  });

const securityFields = z.strictObject({
  hsts: z
    .union([z.literal(false), hsts], { error: 'false or {maxAge, includeSubDomains, preload}' })
    .prefault({})
    .transform((value) => (value === false ? null : value)),
  frame: z
    .union([z.literal(false), z.enum(['DENY', 'SAMEORIGIN'])], { error: "'DENY', 'SAMEORIGIN' or false" })
    .default('SAMEORIGIN')
    .transform((value) => (value === false ? null : value)),
  nosniff: z.boolean().default(true),
  referrer: z
    .union([z.literal(false), z.custom<string>((value) => typeof value === 'string' && /^[a-z, -]{1,100}$/.test(value))], {
      error: "a policy such as 'no-referrer', or false",
    })
    .default('strict-origin-when-cross-origin')
    .transform((value) => (value === false ? null : value)),
});

const security = z.union([z.literal(false), z.literal(true).transform(() => securityFields.parse({})), securityFields], {
  error: 'true, false or {hsts, frame, nosniff, referrer}',
});

const inlinePage = z.strictObject({
  body: z.custom<string>((value) => typeof value === 'string' && Buffer.byteLength(value) <= MOST_PAGE_BYTES, {
    error: `a text of at most ${MOST_PAGE_BYTES} bytes`,
  }),
  type: z.enum(['html', 'txt', 'json']).default('html'),
});

/** A file, or the page itself. */
export const page = z.union([pageName.transform((file) => ({ file })), inlinePage], {
  error: 'the name of a file that ends in .html, .txt or .json, or {body, type}',
});

export type ParsedPage = z.output<typeof page>;

const pageKey = z.custom<string>((value) => typeof value === 'string' && /^[45](?:\d\d|xx)$/.test(value), {
  error: "a status from 400 to 599, '4xx' or '5xx'",
});

export const errorPages = z.record(pageKey, page).default({});

const closed = z.strictObject({
  page: page.nullable().default(null),
  status: whole(400, 599).default(503),
  retryAfter: duration(0).default(60_000),
  allow: z.array(cidr).max(1000).default([]),
});

/** false = open. */
export const maintenance = z.union([z.literal(false), z.literal(true).transform(() => closed.parse({})), closed], {
  error: 'true, false or {page, status, retryAfter, allow}',
});

export type ParsedMaintenance = z.output<typeof maintenance>;

const METHODS_IN_CAPITALS = /^(?:get|head|post|put|patch|delete|options)$/i;

export const method = z
  .custom<string>((value) => typeof value === 'string' && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/.test(value) && !/^(?:trace|connect)$/i.test(value), {
    error: "a method such as 'GET' (never TRACE or CONNECT)",
  })
  // No client sends it so, and none would be served.
  .refine((value) => !METHODS_IN_CAPITALS.test(value) || value === value.toUpperCase(), {
    error: ({ input }) => `'${String(input).toUpperCase()}' (methods are case-sensitive)`,
  });

export const route = z.strictObject({
  host: hostPattern.default('*'),
  path: pathPrefix.default('/'),
  redirect: redirect.optional(),
  rewrite: pathPrefix.optional(),
  headers: z.strictObject({ request: changes('request').prefault({}), response: changes('response').prefault({}) }).optional(),
  methods: z.array(method).min(1).max(32).optional(),
  limits: z.strictObject({ body }).optional(),
  security: security.optional(),
  maintenance: maintenance.optional(),
});

type ParsedRoute = z.output<typeof route>;

/** The rules of a route, whose pages have been read; null when it has none. */
export function rulesOf(parsed: ParsedRoute, closedBy: RouteRules['maintenance']): RouteRules | null {
  const { host: _, path: __, security: safety, ...rules } = parsed;
  const said = Object.values({ ...rules, safety: safety === false ? undefined : safety });
  if (said.every((value) => value === undefined)) return null;
  const nothing = { set: {}, add: {}, remove: [] };
  return {
    redirect: rules.redirect ?? null,
    rewrite: rules.rewrite ?? null,
    headers: rules.headers ?? { request: nothing, response: nothing },
    methods: rules.methods ?? null,
    limits: rules.limits ?? null,
    security: safety === undefined || safety === false ? null : safety,
    maintenance: closedBy,
  };
}
