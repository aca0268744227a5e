import { isDeepStrictEqual } from 'node:util';
import type { Config, ListenerConfig, UpstreamConfig } from './config.ts';

/** What a reload has to do, and what it cannot do. */
export interface ConfigDiff {
  /** In the order of the new file. */
  readonly added: readonly UpstreamConfig[];
  /** Whose policy (routes included) differs; `fields` names what. */
  readonly changed: readonly { readonly upstream: UpstreamConfig; readonly fields: readonly string[] }[];
  readonly removed: readonly string[];
  /** Whether any route came, went or moved to another upstream. */
  readonly routes: boolean;
  readonly edge: boolean;
  readonly shutdown: boolean;
  readonly webhooks: boolean;
  /** How launched processes are dealt with. */
  readonly launch: boolean;
  /** How listeners that run end TLS. */
  readonly tls: boolean;
  /** Sentences for the operator: what is in the file but not in force. */
  readonly warnings: readonly string[];
  /** Nothing to do; there may be warnings all the same. */
  readonly same: boolean;
}

/** Compares the running configuration with a new one. Pure. */
export function diffConfig(before: Config, after: Config): ConfigDiff {
  const added = [...after.upstreams.values()].filter(({ name }) => !before.upstreams.has(name));
  const removed = [...before.upstreams.keys()].filter((name) => !after.upstreams.has(name));
  const kept = [...after.upstreams.values()].flatMap((upstream) => {
    const old = before.upstreams.get(upstream.name);
    return old === undefined ? [] : [{ upstream, old }];
  });
  const changed = kept
    .map(({ upstream, old }) => ({
      upstream,
      fields: [...differing(old.policy, upstream.policy), ...(isDeepStrictEqual(old.launch, upstream.launch) ? [] : ['launch'])],
    }))
    .filter(({ fields }) => fields.length > 0);
  const edge = !isDeepStrictEqual(before.edge, after.edge);
  const shutdown = !isDeepStrictEqual(before.shutdown, after.shutdown);
  const webhooks = !isDeepStrictEqual(before.webhooks, after.webhooks);
  const launch = !isDeepStrictEqual(before.launch, after.launch);
  const tls = after.listeners.some((listener) => endsOtherwise(listener, before));
  return {
    added,
    changed,
    removed,
    routes: !isDeepStrictEqual(routesOf(before), routesOf(after)),
    edge,
    shutdown,
    webhooks,
    launch,
    tls,
    warnings: [...restartWarnings(before, after), ...kept.flatMap(({ upstream, old }) => seedWarnings(old, upstream))],
    same: added.length + changed.length + removed.length === 0 && !edge && !shutdown && !launch && !webhooks && !tls,
  };
}

function differing<T extends object>(before: T, after: T): string[] {
  const keys = Object.keys(after) as (keyof T & string)[];
  return keys.filter((key) => !isDeepStrictEqual(before[key], after[key]));
}

function routesOf({ upstreams }: Config): string[] {
  return [...upstreams.values()].flatMap(({ name, policy }) => policy.routes.map(({ host, path }) => `${host}${path} ${name}`)).toSorted();
}

function endsOtherwise({ host, port, tls }: ListenerConfig, before: Config): boolean {
  const running = before.listeners.find((one) => one.host === host && one.port === port);
  return running !== undefined && running.tls !== null && tls !== null && !isDeepStrictEqual(running.tls, tls);
}

/** How a listener that ends TLS does so can change while it runs; whether it does, cannot. */
function fixedParts({ listeners, admin, dataThreads, stateDir }: Config) {
  return { listeners: listeners.map((one) => ({ ...one, tls: one.tls !== null, acme: one.tls?.acme ?? null })), admin, dataThreads, stateDir };
}

function restartWarnings(before: Config, after: Config): string[] {
  const fixed = ['listeners', 'admin', 'dataThreads', 'stateDir'] as const;
  const [was, is] = [fixedParts(before), fixedParts(after)];
  const changed: string[] = fixed.filter((field) => !isDeepStrictEqual(was[field], is[field]));
  if (before.edge.limits.clients !== after.edge.limits.clients) changed.push('limits.clients');
  return changed.map((field) => `The change of ${field} takes effect after a restart.`);
}

function seedWarnings(before: UpstreamConfig, after: UpstreamConfig): string[] {
  if (isDeepStrictEqual(before.versions, after.versions) && before.live === after.live) return [];
  return [`The change of upstreams.${after.name}.versions or live has no effect: they only seed an upstream that has no state yet. Use a swap.`];
}
