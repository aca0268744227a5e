import { REJECT } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import { routeHost } from '../http/host.ts';
import { isPlainPath, normalisePath, pathEnd } from '../http/path.ts';
import type { RequestHead } from '../http/request-head.ts';
import type { TableRoute } from '../pool/table.ts';

interface Node {
  /** Upstream of a route that ends at this segment; null = none. */
  upstream: string | null;
  readonly next: Map<string, Node>;
}

/** Routes of one host pattern: a trie of path segments. */
interface HostRoutes {
  readonly root: Node;
  /** The upstream of `/`, when that is the only route here: the path need not be looked at. */
  only: string | null;
}

/**
 * Finds the upstream of a request: the exact host first, then the longest `*.wildcard`, then `*`; in
 * it the longest path prefix on segment boundaries. A host whose routes do not match the path falls back to the next pattern.
 */
export class RouteMap {
  private readonly exact = new Map<string, HostRoutes>();
  private readonly wildcards = new Map<string, HostRoutes>();
  private any: HostRoutes | null = null;

  constructor(routes: readonly TableRoute[]) {
    for (const { host, path, upstream } of routes) insert(this.hostRoutes(host).root, path, upstream);
    for (const entry of [...this.exact.values(), ...this.wildcards.values(), ...(this.any === null ? [] : [this.any])]) {
      if (entry.root.next.size === 0) entry.only = entry.root.upstream;
    }
  }

  private hostRoutes(host: string): HostRoutes {
    const empty = (): HostRoutes => ({ root: { upstream: null, next: new Map() }, only: null });
    if (host === '*') return (this.any ??= empty());
    const map = host.startsWith('*.') ? this.wildcards : this.exact;
    const key = host.startsWith('*.') ? host.slice(1) : host;
    const found = map.get(key) ?? empty();
    map.set(key, found);
    return found;
  }

  /** The name of the upstream, or why there is none. */
  find(head: RequestHead, buf: Buffer): string | Fault {
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

  private byPath(candidates: readonly HostRoutes[], head: RequestHead, buf: Buffer): string | Fault {
    const end = pathEnd(buf, head.targetStart, head.targetEnd);
    const path = buf.toString('latin1', head.targetStart, end);
    if (path === '' || path === '*') return search(candidates, '/') ?? REJECT.noRoute;
    if (isPlainPath(buf, head.targetStart, end)) return search(candidates, path) ?? REJECT.noRoute;
    // The original bytes are forwarded: if a backend could read them as the path of another upstream, nobody gets them.
    const strict = normalisePath(path, false);
    const eager = normalisePath(path, true);
    if (strict === null || eager === null) return REJECT.badTarget;
    const upstream = search(candidates, strict);
    if (upstream !== search(candidates, eager) || upstream !== search(candidates, path)) return REJECT.ambiguousPath;
    return upstream ?? REJECT.noRoute;
  }
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '');
}

function insert(root: Node, path: string, upstream: string): void {
  let node = root;
  for (const segment of segmentsOf(path)) {
    let next = node.next.get(segment);
    if (next === undefined) {
      next = { upstream: null, next: new Map() };
      node.next.set(segment, next);
    }
    node = next;
  }
  node.upstream = upstream;
}

function search(candidates: readonly HostRoutes[], path: string): string | null {
  const segments = segmentsOf(path);
  for (const { root } of candidates) {
    let node: Node | undefined = root;
    let found = root.upstream;
    for (const segment of segments) {
      node = node.next.get(segment);
      if (node === undefined) break;
      found = node.upstream ?? found;
    }
    if (found !== null) return found;
  }
  return null;
}
