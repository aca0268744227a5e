import os from 'node:os';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { Issue } from '../errors/catalogue.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import { adminIssues, demoIssues, listenerIssues, routeIssues, upstreamIssues } from './_cross-checks.ts';
import { name as nameField } from './_fields.ts';
import type { AdminToken, Config, UpstreamConfig } from './config.ts';
import { explainIssues } from './issues.ts';
import { configSchema, upstreamSchema } from './schema.ts';
import type { ParsedConfig, ParsedUpstream } from './schema.ts';

/** What a configuration depends on besides itself. */
export interface Surroundings {
  /** Data threads when the file says `'auto'`. */
  readonly cores?: number;
  /** What a relative stateDir is relative to. */
  readonly folder?: string;
}

/**
 * Validates a whole configuration and fills in the defaults.
 * @throws Refusal `invalid`, with every fault that was found in `errors`
 */
export function parseConfig(raw: unknown, { cores = os.availableParallelism(), folder = process.cwd() }: Surroundings = {}): Config {
  const parsed = parse(configSchema, raw, []);
  const upstreams = Object.entries(parsed.upstreams);
  refuseIf([
    ...listenerIssues(parsed),
    ...adminIssues(parsed.admin),
    ...upstreams.flatMap(([name, upstream]) => upstreamIssues(upstream, ['upstreams', name])),
    ...routeIssues(upstreams),
    ...demoIssues(parsed),
  ]);
  return {
    listeners: parsed.listeners,
    admin: { host: parsed.admin.host, port: parsed.admin.port, tokens: tokensOf(parsed.admin), allowedHosts: parsed.admin.allowedHosts },
    dataThreads: parsed.dataThreads === 'auto' ? Math.max(1, cores) : parsed.dataThreads,
    stateDir: resolve(folder, parsed.stateDir),
    edge: { trustedProxies: parsed.trustedProxies, timeouts: parsed.timeouts, limits: parsed.limits, accessLog: parsed.accessLog },
    shutdown: parsed.shutdown,
    upstreams: new Map(upstreams.map(([name, upstream]) => [name, resolveUpstream(name, upstream)])),
    demo: parsed.demo,
  };
}

/**
 * Validates one upstream, as `PUT /v1/upstreams/{u}` brings it. Whether its routes are taken by another upstream
 * is for the caller to find out (`refuseRouteConflicts`).
 * @throws Refusal `invalid`; the paths in `errors` begin inside the upstream
 */
export function parseUpstream(name: string, raw: unknown): UpstreamConfig {
  parse(nameField, name, ['name']);
  const parsed = parse(upstreamSchema, raw, []);
  refuseIf(upstreamIssues(parsed, []));
  return resolveUpstream(name, parsed);
}

function parse<S extends z.ZodType>(schema: S, raw: unknown, under: readonly PropertyKey[]): z.output<S> {
  const result = schema.safeParse(raw, { reportInput: true });
  if (!result.success) refuseIf(explainIssues(result.error, under));
  return result.data as z.output<S>;
}

/**
 * Refuses routes that two upstreams claim.
 * @throws Refusal `invalid`
 */
export function refuseRouteConflicts(upstreams: Iterable<readonly [string, { readonly policy: Pick<UpstreamPolicy, 'routes'> }]>): void {
  refuseIf(routeIssues([...upstreams].map(([name, { policy }]) => [name, policy])));
}

/** Throws what is wrong, if anything is. */
function refuseIf(issues: readonly Issue[]): void {
  if (issues.length === 0) return;
  const [{ path, message }] = issues;
  const more = issues.length === 1 ? '' : ` (and ${issues.length - 1} more)`;
  throw new Refusal(REFUSAL.invalid, `${path === '' ? 'The configuration' : path}: ${message}${more}`, {}, issues);
}

function tokensOf(admin: ParsedConfig['admin']): AdminToken[] {
  return admin.token === undefined ? admin.tokens : [{ name: 'admin', token: admin.token, scope: 'operate' }, ...admin.tokens];
}

function resolveUpstream(name: string, parsed: ParsedUpstream): UpstreamConfig {
  const { versions, live, health, outlier, slowStart, ...rest } = parsed;
  const policy: UpstreamPolicy = {
    ...rest,
    health: { ...health, admitInterval: health.admitInterval ?? Math.min(1000, health.interval) },
    outlier: outlier === false ? { failures: 0, base: 30_000, max: 300_000, maxEjected: 10 } : outlier,
    slowStart: slowStart === false ? { window: 0, aggression: 1, minWeight: 10 } : slowStart,
  };
  const ids = Object.keys(versions);
  return {
    name,
    policy,
    versions: ids.map((id) => ({ id, backends: versions[id].backends })),
    live: live === undefined ? (ids[0] ?? null) : live,
  };
}
