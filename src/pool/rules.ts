/** What is done with the requests of a route besides forwarding them. Defaults are filled in by config/; null and empty = nothing. */
export interface RouteRules {
  readonly redirect: RedirectRule | null;
  /** Takes the place of the route's path at the front of what is forwarded; `/` = it is stripped. */
  readonly rewrite: string | null;
  readonly headers: { readonly request: FieldChanges; readonly response: FieldChanges };
  /** The only methods that are served. */
  readonly methods: readonly string[] | null;
  /** Instead of the upstream's; null = the upstream's. */
  readonly limits: { readonly body: number | null } | null;
  readonly security: SecurityRule | null;
  /** Instead of the upstream's; null = the upstream's, false = none. */
  readonly maintenance: Maintenance | false | null;
}

export interface RedirectRule {
  /** null = as in the request, for these four. */
  readonly scheme: 'http' | 'https' | null;
  readonly host: string | null;
  readonly port: number | null;
  /** Takes the place of the route's path. */
  readonly path: string | null;
  readonly status: 301 | 302 | 303 | 307 | 308;
}

/** Changes to the fields of a head. Values may hold placeholders (http/template.ts). A name is in one of the three only. */
export interface FieldChanges {
  /** Instead of all fields of that name. */
  readonly set: Readonly<Record<string, string>>;
  /** Beside those that are there. */
  readonly add: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

/** Fields that a browser is told, where the backend does not say them itself. null = not said. */
export interface SecurityRule {
  /** Only over https; `maxAge` in seconds. */
  readonly hsts: { readonly maxAge: number; readonly includeSubDomains: boolean; readonly preload: boolean } | null;
  readonly frame: 'DENY' | 'SAMEORIGIN' | null;
  readonly nosniff: boolean;
  readonly referrer: string | null;
}

/** Kinds of pages, by the media type they are sent with. */
export type PageType = 'html' | 'txt' | 'json';

/** A page of the operator for an answer of the proxy itself. */
export interface Page {
  /** May hold `{status}`, `{reason}`, `{code}` and `{request_id}`. */
  readonly body: string;
  readonly type: PageType;
}

/** By status (`404`) or class (`5xx`); the status goes before the class. */
export type ErrorPages = Readonly<Record<string, Page>>;

export interface Maintenance {
  readonly page: Page | null;
  readonly status: number;
  /** Milliseconds, for Retry-After. */
  readonly retryAfter: number;
  /** Clients (CIDR) that are served all the same. */
  readonly allow: readonly string[];
}
