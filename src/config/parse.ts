import os from 'node:os';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { Issue } from '../errors/catalogue.ts';
import type { UpstreamPolicy } from '../pool/policy.ts';
import { TlsReader } from './_read-tls.ts';
import { adminIssues, listenerIssues, routeIssues, upstreamIssues, webhookIssues } from './_cross-checks.ts';
import { inlineTop, inlineUpstream } from './inline.ts';
import { ListenerReader } from './certificates.ts';
import { name as nameField } from './_fields.ts';
import { PageReader } from './_read-pages.ts';
import { rulesOf } from './_rules-schema.ts';
import type { AdminToken, Config, SeedVersion, UpstreamConfig } from './config.ts';
import { explainIssues } from './issues.ts';
import { anchored, launchFields, resolveLaunch } from './launch.ts';
import type { LaunchFields, LaunchSpec } from './launch.ts';
import { membersAsBackends } from '../pool/version.ts';
import { configSchema, upstreamSchema, webSchema } from './schema.ts';
import type { ParsedConfig, ParsedUpstream, ParsedWeb, ParsedWorker } from './schema.ts';
import type { Top } from './plain.ts';

/** What a configuration depends on besides itself. */
export interface Surroundings {
  /** Data threads when the file says `'auto'`. */
  readonly cores?: number;
  /** What a relative stateDir and the names of files are relative to; without it no files are read. */
  readonly folder?: string;
}

/**
 * Validates a whole configuration and fills in the defaults.
 * @throws Refusal `invalid`, with every fault that was found in `errors`
 */
export function parseConfig(raw: unknown, { cores = os.availableParallelism(), folder }: Surroundings = {}): Config {
  const parsed = parse(configSchema, raw, []);
  const upstreams = Object.entries(parsed.upstreams);
  refuseIf([
    ...listenerIssues(parsed),
    ...adminIssues(parsed.admin),
    ...webhookIssues(parsed),
    ...upstreams.flatMap(([name, upstream]) => upstreamIssues(upstream, ['upstreams', name])),
    ...routeIssues(upstreams.map(([name, upstream]) => [name, { routes: upstream.kind === 'worker' ? [] : upstream.routes }])),
  ]);
  const pages = new PageReader(folder ?? null);
  const errorPages = pages.errorPages(parsed.errorPages, ['errorPages']);
  const tls = new TlsReader(folder ?? null);
  const resolved = new Map(
    upstreams.map(([name, upstream]) => [
      name,
      { ...resolveUpstream(name, upstream, { pages, tls, folder: folder ?? null }, ['upstreams', name]), spec: specOf(raw, name, folder ?? null) },
    ]),
  );
  const ends = new ListenerReader(folder ?? null);
  const listeners = parsed.listeners.map((listener, i) => ({ ...listener, tls: ends.read(listener.tls, ['listeners', i, 'tls']) }));
  refuseIf([...pages.issues, ...tls.issues, ...ends.issues]);
  return {
    listeners,
    admin: {
      host: parsed.admin.host,
      port: parsed.admin.port,
      tokens: tokensOf(parsed.admin),
      allowedHosts: parsed.admin.allowedHosts,
      deploy: parsed.admin.deploy,
    },
    dataThreads: parsed.dataThreads === 'auto' ? Math.max(1, cores) : parsed.dataThreads,
    stateDir: resolve(folder ?? process.cwd(), parsed.stateDir),
    edge: { trustedProxies: parsed.trustedProxies, timeouts: parsed.timeouts, limits: parsed.limits, accessLog: parsed.accessLog, errorPages },
    pull: parsed.pull,
    spec: inlineTop(raw, folder ?? null),
    webhooks: parsed.webhooks,
    shutdown: parsed.shutdown,
    launch: parsed.launch,
    upstreams: resolved,
  };
}

/** What is in force at the top level, and how it was written. */
export type RunningTop = Top & { readonly spec: Record<string, unknown> };

/**
 * Validates the fields of the top level that can change while the proxy runs.
 * @throws Refusal `invalid`
 */
export function parseTop(raw: unknown): RunningTop {
  const { edge, shutdown, webhooks } = parseConfig(raw, { cores: 1 });
  return { edge, shutdown, webhooks, spec: inlineTop(raw, null) };
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
  const pages = new PageReader(null);
  const tls = new TlsReader(null);
  const upstream = resolveUpstream(name, parsed, { pages, tls, folder: null }, []);
  refuseIf([...pages.issues, ...tls.issues]);
  return { ...upstream, spec: inlineUpstream(raw, null) };
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

/**
 * Validates how a deploy wants its processes started; what it does not say, the upstream's `launch` does.
 * @throws Refusal `invalid`; the paths in `errors` begin with `launch`
 */
export function parseLaunch(raw: unknown, defaults: LaunchFields | null): LaunchSpec {
  return launchOf(resolveLaunch(parse(launchFields, raw, ['launch']), defaults, ['launch']));
}

function launchOf(found: LaunchSpec | Issue[]): LaunchSpec {
  if (Array.isArray(found)) refuseIf(found);
  return found as LaunchSpec;
}

/** Throws what is wrong, if anything is. */
function refuseIf(issues: readonly Issue[]): void {
  if (issues.length === 0) return;
  const [{ path, message }] = issues;
  const more = issues.length === 1 ? '' : ` (and ${issues.length - 1} more)`;
  throw new Refusal(REFUSAL.invalid, `${path === '' ? 'The configuration' : path}: ${message}${more}`, {}, issues);
}

/** An upstream of a valid configuration, as it was written. */
function specOf(raw: unknown, name: string, folder: string | null): unknown {
  return inlineUpstream((raw as { upstreams: Record<string, unknown> }).upstreams[name], folder);
}

function tokensOf(admin: ParsedConfig['admin']): AdminToken[] {
  return admin.token === undefined ? admin.tokens : [{ name: 'admin', token: admin.token, scope: 'operate' }, ...admin.tokens];
}

/** What puts the content of files in the place of their names. */
interface Readers {
  readonly pages: PageReader;
  readonly tls: TlsReader;
  /** What folders are relative to; null = to none. */
  readonly folder: string | null;
}

function resolveUpstream(name: string, parsed: ParsedUpstream, readers: Readers, under: readonly PropertyKey[]): Omit<UpstreamConfig, 'spec'> {
  return parsed.kind === 'worker' ? resolveWorker(name, parsed, readers, under) : resolveWeb(name, parsed, readers, under);
}

/** Versions as the file seeds them, and how they and later ones are launched. */
function seedsOf(
  { versions, live, launch }: Pick<ParsedUpstream, 'versions' | 'live' | 'launch'>,
  folder: string | null,
  under: readonly PropertyKey[],
): Pick<UpstreamConfig, 'versions' | 'live' | 'launch'> {
  const defaults = launch === null ? null : anchored(launch, folder);
  const seeds = Object.entries(versions).map(([id, seed]): SeedVersion => {
    if ('members' in seed) return { id, backends: membersAsBackends(id, seed.members), launch: null };
    if (seed.launch === undefined) return { id, backends: seed.backends ?? [], launch: null };
    // What the defaults have of a folder need not be told again.
    const own = seed.launch.cwd === undefined && defaults !== null ? seed.launch : anchored(seed.launch, folder);
    return { id, backends: [], launch: launchOf(resolveLaunch(own, defaults, [...under, 'versions', id, 'launch'])) };
  });
  return { versions: seeds, live: live === undefined ? (seeds.at(0)?.id ?? null) : live, launch: defaults };
}

/** What only concerns requests is as if it had not been said. */
function resolveWorker(name: string, parsed: ParsedWorker, readers: Readers, under: readonly PropertyKey[]): Omit<UpstreamConfig, 'spec'> {
  const { worker, admission, drain, rollback, canary, gates, versions, live, launch } = parsed;
  const { policy } = resolveWeb(name, webSchema.parse({ routes: [{}] }), readers, []);
  return {
    name,
    policy: {
      ...policy,
      routes: [],
      worker,
      admission,
      rollback,
      drain: { requests: drain.requests, tunnels: drain.requests },
      canary,
      gates,
    },
    ...seedsOf({ versions, live, launch }, readers.folder, under),
  };
}

function resolveWeb(name: string, parsed: ParsedWeb, { pages, tls: reader, folder }: Readers, under: readonly PropertyKey[]): Omit<UpstreamConfig, 'spec'> {
  const { kind: _web, versions, live, launch, routes, health, outlier, slowStart, errorPages, maintenance, ...rest } = parsed;
  const tls = reader.read(parsed.tls, [...under, 'tls']);
  const policy: UpstreamPolicy = {
    ...rest,
    worker: null,
    routes: routes.map((route, i) => {
      const own = route.maintenance ?? null;
      return {
        host: route.host,
        path: route.path,
        rules: rulesOf(route, own === null || own === false ? own : pages.maintenance(own, [...under, 'routes', i, 'maintenance'])),
      };
    }),
    errorPages: pages.errorPages(errorPages, [...under, 'errorPages']),
    maintenance: maintenance === false ? null : pages.maintenance(maintenance, [...under, 'maintenance']),
    tls,
    health: {
      ...health,
      admitInterval: health.admitInterval ?? Math.min(1000, health.interval),
      proxyProtocol: parsed.proxyProtocol,
      tls,
      protocol: parsed.protocol,
    },
    outlier: outlier === false ? { failures: 0, base: 30_000, max: 300_000, maxEjected: 10, answers: 600 } : outlier,
    slowStart: slowStart === false ? { window: 0, aggression: 1, minWeight: 10 } : slowStart,
  };
  return { name, policy, ...seedsOf({ versions, live, launch }, folder, under) };
}
