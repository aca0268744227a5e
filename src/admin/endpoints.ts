import { CERTIFICATES } from './_certificates.ts';
import { DEPLOYS } from './_deploys.ts';
import { MEMBERS } from './_members.ts';
import { CONFIG } from './_config.ts';
import { READS } from './_reads.ts';
import { systemEndpoints } from './_system.ts';
import { WEBHOOKS } from './_webhooks.ts';
import { WRITES } from './_writes.ts';
import type { Endpoint } from './_endpoint.ts';

/**
 * The table of endpoints: all that the admin API can do. The server routes by it, checks inputs and scopes by it, and the
 * OpenAPI document is generated from it.
 */
export const ENDPOINTS: readonly Endpoint[] = [
  ...READS,
  ...WRITES,
  ...DEPLOYS,
  ...MEMBERS,
  ...CERTIFICATES,
  ...WEBHOOKS,
  ...CONFIG,
  ...systemEndpoints(() => ENDPOINTS),
];

/** A path template, ready to be matched: each segment is literal text or the name of a parameter. */
interface CompiledPath {
  readonly template: string;
  readonly segments: readonly { readonly literal: string | null; readonly name: string }[];
  readonly methods: Map<string, Endpoint>;
}

const PATHS: readonly CompiledPath[] = compile(ENDPOINTS);

function compile(endpoints: readonly Endpoint[]): CompiledPath[] {
  const paths = new Map<string, CompiledPath>();
  for (const row of endpoints) {
    const compiled = paths.get(row.path) ?? { template: row.path, segments: row.path.split('/').slice(1).map(segmentOf), methods: new Map() };
    compiled.methods.set(row.method, row);
    paths.set(row.path, compiled);
  }
  return [...paths.values()];
}

function segmentOf(text: string): { literal: string | null; name: string } {
  return text.startsWith('{') ? { literal: null, name: text.slice(1, -1) } : { literal: text, name: '' };
}

export type Match =
  | { readonly kind: 'found'; readonly endpoint: Endpoint; readonly params: Record<string, string> }
  | { readonly kind: 'method'; readonly allow: string }
  | { readonly kind: 'none' };

/** Finds the endpoint for a method and a path (still percent-encoded, without its query). HEAD is served by GET. */
export function matchEndpoint(method: string, path: string): Match {
  const parts = path.split('/').slice(1);
  for (const compiled of PATHS) {
    const params = paramsOf(compiled, parts);
    if (params === null) continue;
    const found = compiled.methods.get(method === 'HEAD' ? 'GET' : method);
    if (found !== undefined) return { kind: 'found', endpoint: found, params };
    const allow = [...compiled.methods.keys()].flatMap((known) => (known === 'GET' ? ['GET', 'HEAD'] : [known]));
    return { kind: 'method', allow: allow.join(', ') };
  }
  return { kind: 'none' };
}

function paramsOf(compiled: CompiledPath, parts: readonly string[]): Record<string, string> | null {
  if (parts.length !== compiled.segments.length) return null;
  const params: Record<string, string> = {};
  for (const [at, { literal, name }] of compiled.segments.entries()) {
    if (literal !== null && literal !== parts[at]) return null;
    if (literal === null) params[name] = decode(parts[at]);
  }
  return params;
}

/** Text with a broken percent-encoding stays as it is: the schema of the parameter refuses it. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
