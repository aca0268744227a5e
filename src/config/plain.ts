import { createHash, createHmac } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { EdgePolicy, UpstreamPolicy } from '../pool/policy.ts';
import type { UpstreamConfig } from './config.ts';
import type { BackendTls } from '../pool/backend-tls.ts';
import type { WebhookPolicy } from '../pool/webhook.ts';
import { isSecretPlace } from './issues.ts';
import { maskedCommand } from './masked-command.ts';

/** What is in force at the top level, of what can change while the proxy runs. */
export interface Top {
  readonly edge: EdgePolicy;
  readonly shutdown: { readonly drain: number };
  readonly webhooks: readonly WebhookPolicy[];
}

/** One field that differs; `from` or `to` is absent where the field is. Secrets are masked. */
export interface Change {
  /** As in the configuration file: `upstreams.web.limits.body`. */
  readonly path: string;
  readonly from?: unknown;
  readonly to?: unknown;
}

export type Plain = { readonly [field: string]: unknown };

const LONG = 200;

/**
 * A configuration as data with all defaults, its secrets masked: equal secrets look equal, and nothing else can be told of them.
 * @param key of this proxy: makes what a mask shows of no use elsewhere
 */
export function plainConfig(top: Top, upstreams: ReadonlyMap<string, Pick<UpstreamConfig, 'policy' | 'launch'>>, key: Buffer): Plain {
  const { edge, shutdown, webhooks } = top;
  const whole = {
    ...edge,
    shutdown,
    webhooks: Object.fromEntries(webhooks.map(({ name, ...rest }) => [name, rest])),
    upstreams: Object.fromEntries([...upstreams].map(([name, { policy, launch }]) => [name, { ...plainUpstream(policy), ...plainLaunch(launch, key) }])),
  };
  return masked(whole, '', key) as Plain;
}

/** As an operator writes it: without what follows from other fields. */
function plainUpstream({ health, routes, tls, ...rest }: UpstreamPolicy): Plain {
  const { tls: _tls, protocol: _protocol, proxyProtocol: _proxyProtocol, ...probes } = health;
  return {
    routes: routes.map(({ host, path, rules }) => ({ host, path, ...Object.fromEntries(Object.entries(rules ?? {}).filter(([, rule]) => rule !== null)) })),
    health: probes,
    tls: plainTls(tls),
    ...rest,
  };
}

function plainTls(tls: BackendTls | null): unknown {
  if (tls === null) return false;
  const { ca, identity, servername, verify, minVersion } = tls;
  return { ca: ca?.fingerprint ?? null, servername, cert: identity?.certificate.fingerprint ?? null, key: identity?.key ?? null, verify, minVersion };
}

function plainLaunch(launch: UpstreamConfig['launch'], key: Buffer): { launch?: unknown } {
  if (launch === null) return {};
  const { command } = launch;
  return { launch: { ...launch, ...(command === undefined ? {} : { command: maskedCommand(command, (secret) => maskOf(secret, key)) }) } };
}

function maskOf(secret: string, key: Buffer): string {
  return `secret ${createHmac('sha256', key).update(secret).digest('hex').slice(0, 12)}`;
}

function masked(value: unknown, path: string, key: Buffer): unknown {
  if (Array.isArray(value)) return value.map((each, i) => masked(each, `${path}[${i}]`, key));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, masked(each, path === '' ? name : `${path}.${name}`, key)]));
  }
  if (typeof value !== 'string') return value;
  if (isSecretPlace(path)) return maskOf(value, key);
  return value.length > LONG ? `text of ${value.length} characters, sha256 ${createHash('sha256').update(value).digest('hex').slice(0, 12)}` : value;
}

/** The fields that differ, by their names; a field that comes or goes as a whole is one change. */
export function changesBetween(before: unknown, after: unknown, path = ''): Change[] {
  if (isDeepStrictEqual(before, after)) return [];
  const lists = Array.isArray(before) && Array.isArray(after);
  if (lists || (isPlain(before) && isPlain(after))) {
    const [was, is] = [before as Plain, after as Plain];
    return [...new Set([...Object.keys(was), ...Object.keys(is)])]
      .toSorted(inOrder)
      .flatMap((name) => changesBetween(was[name], is[name], lists ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`));
  }
  return [{ path, ...(before === undefined ? {} : { from: before }), ...(after === undefined ? {} : { to: after }) }];
}

/** Numbers of a list as numbers. */
function inOrder(a: string, b: string): number {
  return /^\d+$/.test(a) && /^\d+$/.test(b) ? Number(a) - Number(b) : a < b ? -1 : 1;
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
