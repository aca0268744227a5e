import type { Issue } from '../errors/catalogue.ts';
import type { Route as WholeRoute } from '../pool/policy.ts';
import { isLoopback } from './_fields.ts';
import { pathText, showValue } from './issues.ts';
import { membersAsBackends } from '../pool/version.ts';
import type { ParsedConfig, ParsedUpstream, ParsedWeb, ParsedWorker } from './schema.ts';

type Path = readonly PropertyKey[];
type Route = Pick<WholeRoute, 'host' | 'path'>;

function issue(path: Path, message: string): Issue {
  return { path: pathText(path), message };
}

/** The places in `values` whose key was there before, with the key. */
function repeated<T>(values: readonly T[], keyOf: (value: T) => string): { at: number; key: string }[] {
  const seen = new Set<string>();
  return values.flatMap((value, at) => {
    const key = keyOf(value);
    if (seen.has(key)) return [{ at, key }];
    seen.add(key);
    return [];
  });
}

export function listenerIssues({ listeners, admin, trustedProxies }: ParsedConfig): Issue[] {
  const issues = repeated(listeners, ({ host, port }) => `${host}:${port}`).map(({ at, key }) =>
    issue(['listeners', at], `expected an address of its own, got '${key}' a second time`),
  );
  for (const [at, { proxyProtocol }] of listeners.entries()) {
    if (proxyProtocol !== true || trustedProxies.length > 0) continue;
    issues.push(issue(['listeners', at, 'proxyProtocol'], 'expected false or a list of networks, because trustedProxies is empty, got true'));
  }
  for (const [at, { tls, http2 }] of listeners.entries()) {
    if (tls !== null && http2) issues.push(issue(['listeners', at, 'http2'], 'expected false, because with tls it is tls.http2 that says so, got true'));
  }
  const everywhere = new Set(['0.0.0.0', '::']);
  for (const { host, port } of listeners) {
    const clash = port === admin.port && (host === admin.host || everywhere.has(host) || everywhere.has(admin.host));
    if (clash) issues.push(issue(['admin', 'port'], `expected a port that no listener uses, got ${port}`));
  }
  return issues;
}

export function adminIssues(admin: ParsedConfig['admin']): Issue[] {
  const issues: Issue[] = [];
  if (!isLoopback(admin.host) && admin.token === undefined && admin.tokens.length === 0) {
    issues.push(issue(['admin', 'token'], `expected a token, because '${admin.host}' can be reached from other machines, got nothing`));
  }
  const names = admin.token === undefined ? admin.tokens : [{ name: 'admin', token: admin.token }, ...admin.tokens];
  const shift = names.length - admin.tokens.length;
  for (const { at, key } of repeated(names, (token) => token.name)) {
    issues.push(issue(['admin', 'tokens', at - shift, 'name'], `expected a name of its own, got '${key}' a second time`));
  }
  for (const { at } of repeated(names, (token) => token.token)) {
    issues.push(issue(['admin', 'tokens', at - shift, 'token'], 'expected a token of its own, got one that another name has'));
  }
  return issues;
}

export function webhookIssues({ webhooks }: ParsedConfig): Issue[] {
  return repeated(webhooks, ({ name }) => name).map(({ at, key }) => issue(['webhooks', at, 'name'], `expected a name of its own, got '${key}' a second time`));
}

/** What is wrong inside one upstream, beyond the shape of its fields. */
export function upstreamIssues(upstream: ParsedUpstream, under: Path): Issue[] {
  const issues = upstream.kind === 'worker' ? workerIssues(upstream, under) : webIssues(upstream, under);
  return [...issues, ...liveIssues(upstream.live, Object.keys(upstream.versions), [...under, 'live'])];
}

function workerIssues({ versions, admission, worker, canary }: ParsedWorker, under: Path): Issue[] {
  const issues: Issue[] = [];
  const p99 = canary.analysis?.p99MsMax ?? null;
  if (p99 !== null)
    issues.push(
      issue(
        [...under, 'canary', 'analysis', 'p99MsMax'],
        `expected none, because workers are judged by jobs that failed, not by how long jobs take, got ${p99}`,
      ),
    );
  for (const [id, seed] of Object.entries(versions)) {
    const path = [...under, 'versions', id];
    const isPolled = worker.poll !== null;
    if ('launch' in seed && seed.launch !== undefined) continue;
    if (isPolled !== 'backends' in seed) {
      const [wanted, why] = isPolled
        ? ['backends', 'because worker.poll says that members are polled']
        : ['members', 'because without worker.poll they report by themselves'];
      issues.push(issue(path, `expected ${wanted}, ${why}, got ${isPolled ? 'members' : 'backends'}`));
      continue;
    }
    const field = isPolled ? 'backends' : 'members';
    const backends = 'members' in seed ? membersAsBackends(id, seed.members) : (seed.backends ?? []);
    issues.push(...backendIssues(backends, admission.minReady, field, path));
    if (backends.length > worker.maxMembers)
      issues.push(issue([...path, field], `expected at most worker.maxMembers (${worker.maxMembers}) of them, got ${backends.length}`));
  }
  return issues;
}

function webIssues(upstream: ParsedWeb, under: Path): Issue[] {
  const issues: Issue[] = [];
  const ids = Object.keys(upstream.versions);
  for (const { at, key } of repeated(upstream.routes, routeKey)) {
    issues.push(issue([...under, 'routes', at], `expected a route of its own, got '${key}' a second time`));
  }
  if (upstream.sticky.cookie !== null && upstream.sticky.header !== null) {
    issues.push(issue([...under, 'sticky'], 'expected a cookie or a header, got both'));
  }
  issues.push(...steeringIssues(upstream, under), ...limitIssues(upstream, under), ...mirrorIssues(upstream, under));
  if (upstream.health.kind === 'grpc' && upstream.protocol !== 'h2') {
    issues.push(issue([...under, 'health', 'kind'], "expected another kind, because gRPC goes over HTTP/2 only (protocol: 'h2'), got 'grpc'"));
  }
  if (upstream.proxyProtocol !== false && upstream.protocol === 'h2') {
    issues.push(
      issue([...under, 'proxyProtocol'], `expected false, because connections to backends are shared (protocol: 'h2'), got '${upstream.proxyProtocol}'`),
    );
  } else if (upstream.proxyProtocol !== false && upstream.tls !== null) {
    issues.push(issue([...under, 'proxyProtocol'], `expected false, because connections to backends are encrypted (tls), got '${upstream.proxyProtocol}'`));
  }
  for (const id of ids)
    if (upstream.versions[id].backends !== undefined)
      issues.push(...backendIssues(upstream.versions[id].backends ?? [], upstream.admission.minReady, 'backends', [...under, 'versions', id]));
  if (upstream.outlier !== false && upstream.outlier.max < upstream.outlier.base) {
    issues.push(issue([...under, 'outlier', 'max'], `expected at least base (${upstream.outlier.base} ms), got ${upstream.outlier.max} ms`));
  }
  return issues;
}

function steeringIssues({ sticky, skew, preview }: ParsedWeb, under: Path): Issue[] {
  const issues: Issue[] = [];
  if (skew !== null && skew.pin === null && skew.assets.length === 0) issues.push(issue([...under, 'skew'], 'expected a pin, assets or both, got neither'));
  const pin = skew?.pin ?? null;
  if (pin !== null && (pin.cookie === null) === (pin.header === null)) {
    issues.push(issue([...under, 'skew', 'pin'], `expected a cookie or a header, got ${pin.cookie === null ? 'neither' : 'both'}`));
  }
  if (pin !== null && pin.cookie === null && pin.maxAge !== null)
    issues.push(issue([...under, 'skew', 'pin', 'maxAge'], 'expected no such field beside a header: it says how long the cookie lasts'));
  if (pin !== null && pin.cookie === null && pin.renew)
    issues.push(issue([...under, 'skew', 'pin', 'renew'], 'expected no such field beside a header: it says when the cookie is set anew'));
  if (preview !== null && preview.header === null && preview.cookie === null) {
    issues.push(issue([...under, 'preview'], 'expected a header, a cookie or both, got neither'));
  }
  const cookies = [
    { path: ['sticky', 'cookie'], name: sticky.cookie },
    { path: ['sticky', 'backend', 'cookie'], name: sticky.backend },
    { path: ['skew', 'pin', 'cookie'], name: pin?.cookie ?? null },
    { path: ['preview', 'cookie'], name: preview?.cookie ?? null },
  ].filter(({ name }) => name !== null);
  for (const { at, key } of repeated(cookies, ({ name }) => name ?? '')) {
    issues.push(issue([...under, ...cookies[at].path], `expected a cookie of its own, got '${key}' a second time`));
  }
  return issues;
}

function mirrorIssues({ mirror, proxyProtocol }: ParsedWeb, under: Path): Issue[] {
  if (mirror === null || proxyProtocol === false) return [];
  return [issue([...under, 'mirror'], 'expected false, because connections to backends are of one client each (proxyProtocol), got an object')];
}

function limitIssues({ limits: { connections, sockets, queue }, protocol, proxyProtocol }: ParsedWeb, under: Path): Issue[] {
  const issues: Issue[] = [];
  const why =
    protocol === 'h2' ? "requests share connections (protocol: 'h2')" : proxyProtocol === false ? null : 'connections are of one client each (proxyProtocol)';
  if (sockets !== null && why !== null) issues.push(issue([...under, 'limits', 'sockets'], `expected null, because ${why}, got ${sockets}`));
  if (queue !== null && connections === null && sockets === null) {
    issues.push(issue([...under, 'limits', 'queue'], 'expected null, because there are no limits.connections or limits.sockets to wait for, got an object'));
  }
  return issues;
}

function backendIssues(backends: readonly { readonly address: string }[], minReady: number | null, field: 'backends' | 'members', under: Path): Issue[] {
  const what = field === 'members' ? 'a name' : 'an address';
  const issues = repeated(backends, (backend) => backend.address).map(({ at, key }) =>
    issue([...under, field, at], `expected ${what} of its own, got '${key}' a second time`),
  );
  if (minReady !== null && minReady > backends.length) {
    issues.push(issue([...under, field], `expected at least admission.minReady (${minReady}) of them, got ${backends.length}`));
  }
  return issues;
}

function liveIssues(live: string | null | undefined, ids: readonly string[], path: Path): Issue[] {
  const choice = ids.length === 0 ? 'null, because there are no versions' : ids.map((id) => `'${id}'`).join(' or ');
  if (typeof live === 'string' && !ids.includes(live)) return [issue(path, `expected ${choice}, got ${showValue(live)}`)];
  if (live === undefined && ids.length > 1) return [issue(path, `expected ${choice}, or null for none of them, got nothing`)];
  return [];
}

function routeKey({ host, path }: Route): string {
  return `${host}${path}`;
}

/** Routes that two upstreams claim; `under` leads to the record of upstreams. */
export function routeIssues(upstreams: readonly (readonly [string, { routes: readonly Route[] }])[]): Issue[] {
  const owner = new Map<string, string>();
  const issues: Issue[] = [];
  for (const [name, { routes }] of upstreams) {
    for (const [at, route] of routes.entries()) {
      const key = routeKey(route);
      const other = owner.get(key);
      if (other !== undefined && other !== name) {
        issues.push(issue(['upstreams', name, 'routes', at], `expected a route of its own, got '${key}', which upstream '${other}' has`));
      }
      owner.set(key, other ?? name);
    }
  }
  return issues;
}
