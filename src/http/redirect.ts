import type { RedirectRule } from '../pool/rules.ts';
import { PathRule } from './path-rule.ts';

/** Where a request was sent to. */
export interface Place {
  readonly scheme: string;
  /** Validated `uri-host` (RFC 9110 §7.2), without a port. */
  readonly host: string;
  /** As it was written; '' = none. */
  readonly port: string;
  /** Begins with `/`; or `*`, for the whole server. */
  readonly path: string;
  /** With its `?`; '' = none. */
  readonly query: string;
}

const DEFAULT_PORT: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** A redirect of a route, compiled. */
export class Redirect {
  readonly status: number;
  private readonly rule: RedirectRule;
  private readonly path: PathRule | null;

  constructor(rule: RedirectRule, path: string) {
    this.rule = rule;
    this.status = rule.status;
    this.path = rule.path === null ? null : new PathRule(path, rule.path);
  }

  /**
   * The Location, always an absolute URL; path and query are the request's, byte for byte, but for bytes that no URL has.
   * The port is the request's while the scheme is, else the default of the new scheme.
   * @returns '' when it would lead to where the request is already, null when the path has no single reading.
   */
  location(from: Place): string | null {
    const scheme = this.rule.scheme ?? from.scheme;
    const host = this.rule.host ?? from.host;
    const before = portOf(from.port, from.scheme);
    const port = this.rule.port ?? (scheme === from.scheme ? before : DEFAULT_PORT[scheme]);
    const samePlace = scheme === from.scheme && host.toLowerCase() === from.host.toLowerCase() && port === before;
    if (samePlace && this.path?.isThere(from.path) === true) return '';
    const path = this.path === null ? from.path : this.path.apply(from.path);
    if (path === null) return null;
    if (samePlace && path === from.path) return '';
    // The URL of a whole server has no path (RFC 9110 §7.1): behind its host, `*` would make another host.
    return escaped(`${scheme}://${host}${port === DEFAULT_PORT[scheme] ? '' : `:${port}`}${path === '*' ? '' : path}${from.query}`);
  }
}

function portOf(text: string, scheme: string): number {
  const port = Number(text);
  return port > 0 && port < 65_536 ? port : DEFAULT_PORT[scheme];
}

/** Bytes that a target may have and a URL may not (RFC 3986 §2) are escaped: some readers take `\` for `/`. */
function escaped(url: string): string {
  return url.replaceAll(/[^!#$%&'()*+,\-./0-9:;=?@A-Z[\]_a-z~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
