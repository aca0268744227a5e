import { REJECT } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import { routeHost } from '../http/host.ts';
import { furtherReadings, isPlainPath, normalisePath, pathEnd } from '../http/path.ts';
import type { RequestHead } from '../http/request-head.ts';
import type { TableRoute } from '../pool/table.ts';
import { CompiledRoute, CompiledRules } from './rules.ts';

interface Node {
  /** The route that ends at this segment; null = none. */
  route: CompiledRoute | null;
  readonly next: Map<string, Node>;
}

/** Routes of one host pattern: a trie of path segments. */
interface HostRoutes {
  readonly root: Node;
  /** The route of `/`, when that is the only one here: the path need not be looked at. */
  only: CompiledRoute | null;
}

/**
 * Finds the route of a request: the exact host first, then the longest `*.wildcard`, then `*`; in
 * it the longest path prefix on segment boundaries. A host whose routes do not match the path falls back to the next pattern.
 */
export class RouteMap {
  private readonly exact = new Map<string, HostRoutes>();
  private readonly wildcards = new Map<string, HostRoutes>();
  private any: HostRoutes | null = null;
  /** Some route has rules. */
  readonly ruled: boolean;

  constructor(routes: readonly TableRoute[]) {
    this.ruled = routes.some(({ rules }) => rules !== null);
    for (const { host, path, upstream, rules } of routes) {
      insert(this.hostRoutes(host).root, path, new CompiledRoute(upstream, rules === null ? null : new CompiledRules(rules, path)));
    }
    for (const entry of [...this.exact.values(), ...this.wildcards.values(), ...(this.any === null ? [] : [this.any])]) {
      if (entry.root.next.size === 0) entry.only = entry.root.route;
    }
  }

  private hostRoutes(host: string): HostRoutes {
    const empty = (): HostRoutes => ({ root: { route: null, next: new Map() }, only: null });
    if (host === '*') return (this.any ??= empty());
    const map = host.startsWith('*.') ? this.wildcards : this.exact;
    const key = host.startsWith('*.') ? host.slice(1) : host;
    const found = map.get(key) ?? empty();
    map.set(key, found);
    return found;
  }

  /** The route, or why there is none. */
  find(head: RequestHead, buf: Buffer): CompiledRoute | Fault {
    if (this.exact.size === 0 && this.wildcards.size === 0) {
      if (this.any === null) return REJECT.noRoute;
      return this.any.only ?? this.byPath([this.any], head, buf);
    }
    const candidates: HostRoutes[] = [];
    if (head.authorityStart !== -1) this.byHost(routeHost(buf, head.authorityStart, head.hostEnd), candidates);
    if (this.any !== null) candidates.push(this.any);
    if (candidates.length === 0) return REJECT.noRoute;
    return candidates[0].only ?? this.byPath(candidates, head, buf);
  }

  private byHost(host: string, into: HostRoutes[]): void {
    const exact = this.exact.get(host);
    if (exact !== undefined) into.push(exact);
    if (this.wildcards.size === 0) return;
    for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) {
      const wildcard = this.wildcards.get(host.slice(dot));
      if (wildcard !== undefined) into.push(wildcard);
    }
  }

  private byPath(candidates: readonly HostRoutes[], head: RequestHead, buf: Buffer): CompiledRoute | Fault {
    const end = pathEnd(buf, head.targetStart, head.targetEnd);
    const path = buf.toString('latin1', head.targetStart, end);
    if (path === '' || path === '*') return search(candidates, '/') ?? REJECT.noRoute;
    if (isPlainPath(buf, head.targetStart, end)) return search(candidates, path) ?? REJECT.noRoute;
    // The original bytes are forwarded: if a backend could read them as the path of another route, nobody gets them.
    const strict = normalisePath(path, false);
    const eager = normalisePath(path, true);
    if (strict === null || eager === null) return REJECT.badTarget;
    const route = search(candidates, strict);
    if (!isSame(route, search(candidates, eager)) || !isSame(route, search(candidates, path))) return REJECT.ambiguousPath;
    const further = furtherReadings(path);
    if (further === null || further.some((reading) => !isSame(route, search(candidates, reading)))) return REJECT.ambiguousPath;
    return route ?? REJECT.noRoute;
  }
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '');
}

function isSame(one: CompiledRoute | null, other: CompiledRoute | null): boolean {
  return one === other || (one !== null && other !== null && one.same(other));
}

function insert(root: Node, path: string, route: CompiledRoute): void {
  let node = root;
  for (const segment of segmentsOf(path)) {
    let next = node.next.get(segment);
    if (next === undefined) {
      next = { route: null, next: new Map() };
      node.next.set(segment, next);
    }
    node = next;
  }
  node.route = route;
}

function search(candidates: readonly HostRoutes[], path: string): CompiledRoute | null {
  const segments = segmentsOf(path);
  for (const { root } of candidates) {
    let node: Node | undefined = root;
    let found = root.route;
    for (const segment of segments) {
      node = node.next.get(segment);
      if (node === undefined) break;
      found = node.route ?? found;
    }
    if (found !== null) return found;
  }
  return null;
}
