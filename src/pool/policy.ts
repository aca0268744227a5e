import type { AnalysisPolicy } from './analysis.ts';
import type { BackendProtocol, BackendTls } from './backend-tls.ts';
import type { GatePolicy } from './gates.ts';
import type { ErrorPages, Maintenance, RouteRules } from './rules.ts';
import type { CanaryStep } from './upstream.ts';

/** What an operator decides about an upstream. All durations are milliseconds; defaults are filled in by config/. */
export interface Route {
  /** Exact host name, `*.wildcard`, or `*`; lower case, without a port. */
  readonly host: string;
  /** Path prefix, matched on segment boundaries; begins with `/`. */
  readonly path: string;
  /** null = what comes is forwarded, and that is all. */
  readonly rules: RouteRules | null;
}

/** Versions of HAProxy's PROXY protocol. */
export type ProxyProtocol = 'v1' | 'v2';

export interface HealthPolicy {
  readonly kind: 'http' | 'tcp' | 'grpc' | 'none';
  readonly path: string;
  /** Host header of the probe; null = the backend's address. */
  readonly host: string | null;
  /** Port to probe; null = the backend's own. */
  readonly port: number | null;
  /** Between probes once admitted, jittered by ±10 %. */
  readonly interval: number;
  /** Between probes while admitting. */
  readonly admitInterval: number;
  readonly timeout: number;
  readonly rise: number;
  readonly fall: number;
  /** null = any 2xx. */
  readonly expectStatus: readonly number[] | null;
  readonly expectHeader: Readonly<Record<string, string>>;
  /** Service that a gRPC probe asks for; '' = the server as a whole. */
  readonly service: string;
  /** Probes speak as requests do: these are the upstream's. */
  readonly tls: BackendTls | null;
  readonly protocol: BackendProtocol;
  /** Share of healthy backends (percent) under which all admitted ones are used; 0 = never. */
  readonly failOpen: number;
  /** As the upstream's: a probe of the backend's own port begins with a header that names nobody. */
  readonly proxyProtocol: ProxyProtocol | false;
}

export interface OutlierPolicy {
  /** Consecutive failures that eject a backend; 0 = off. */
  readonly failures: number;
  readonly base: number;
  readonly max: number;
  /** Percent of a version's backends that may be ejected at a time. */
  readonly maxEjected: number;
  /** Lowest status of answers that are failures too; 600 = none are. */
  readonly answers: number;
}

export interface SlowStartPolicy {
  /** 0 = off. */
  readonly window: number;
  readonly aggression: number;
  readonly minWeight: number;
}

/** A token bucket for each client: `requests` in `per` milliseconds, `burst` of them at once. */
export interface RatePolicy {
  readonly requests: number;
  readonly per: number;
  readonly burst: number;
}

/** What a request is pinned to a version by: a cookie that answers set, or a field that the client sends. One of them is null. */
export interface PinPolicy {
  readonly cookie: string | null;
  readonly header: string | null;
  /** Milliseconds; null = a session cookie. */
  readonly maxAge: number | null;
  /** A browser that loads a page anew gets what the split says, and its pin is renewed. */
  readonly renew: boolean;
}

/** What keeps a page that is open in step with the version that it came from. */
export interface SkewPolicy {
  /** null = nothing is pinned. */
  readonly pin: PinPolicy | null;
  /** Beginnings of paths that are tried once on another version when a version answers 404. */
  readonly assets: readonly string[];
  /** Milliseconds that a version which has lost its weight stays open to them. */
  readonly for: number;
}

/** How a request names a version for itself. */
export interface PreviewPolicy {
  readonly header: string | null;
  readonly cookie: string | null;
  /** Behind the version and a colon; null = anybody may. Never logged or shown. */
  readonly secret: string | null;
}

export interface CanaryPolicy {
  /** Steps of a swap that names none; none = atomic. */
  readonly steps: readonly CanaryStep[];
  /** null = steps are held, not judged. */
  readonly analysis: AnalysisPolicy | null;
}

/** A copy of requests for a version on standby; its answers are of no consequence. */
export interface MirrorPolicy {
  /** Id of the version; null = the newest one on standby. */
  readonly to: string | null;
  readonly percent: number;
  readonly methods: readonly string[];
  /** Bytes of a request body; a larger one is not copied. */
  readonly maxBody: number;
  /** Copies under way, over all threads. */
  readonly concurrency: number;
  /** Milliseconds for the whole of an answer. */
  readonly timeout: number;
}

export type Balance = 'least-in-flight' | 'round-robin' | 'random' | 'maglev';

/** null = no limit. */
export interface UpstreamLimits {
  /** Bytes. */
  readonly body: number | null;
  /** Requests in flight, a backend. */
  readonly connections: number | null;
  /** Open connections, a backend. */
  readonly sockets: number | null;
  /** Requests that wait while each backend is at one of these two; null = none wait. */
  readonly queue: { readonly requests: number; readonly timeout: number } | null;
  /** Of each client. */
  readonly rate: RatePolicy | null;
}

/** How the members of a worker upstream are heard and told. */
export interface WorkerPolicy {
  /** After so long without a report a member is presumed dead. It stops taking work by itself sooner: see members/register.ts. */
  readonly ttl: number;
  /** What a member has in hand so long after it was told to stop is counted as killed. */
  readonly stop: number;
  /** Of all versions together. */
  readonly maxMembers: number;
  /** null = members report by themselves. */
  readonly poll: PollPolicy | null;
}

export interface PollPolicy {
  readonly path: string;
  readonly interval: number;
  readonly timeout: number;
}

export interface UpstreamPolicy {
  /** null = it serves requests; else it has no routes, and its backends are the members of a queue's workers. */
  readonly worker: WorkerPolicy | null;
  readonly routes: readonly Route[];
  readonly health: HealthPolicy;
  readonly admission: { readonly timeout: number; readonly minReady: number | null };
  readonly drain: { readonly requests: number; readonly tunnels: number };
  readonly rollback: { readonly keep: number };
  readonly canary: CanaryPolicy;
  /** In the order in which they are asked. */
  readonly gates: readonly GatePolicy[];
  readonly balance: Balance;
  /** Source of the split key; both null = the client address. */
  readonly sticky: {
    readonly cookie: string | null;
    readonly header: string | null;
    /** Cookie that binds a client to a backend. */ readonly backend: string | null;
  };
  /** null = a version that has lost its weight gets no new requests. */
  readonly skew: SkewPolicy | null;
  /** null = the split alone decides. */
  readonly preview: PreviewPolicy | null;
  /** null = nothing is copied. */
  readonly mirror: MirrorPolicy | null;
  /** Field of answers that says which version gave them; null = none. */
  readonly versionHeader: string | null;
  /** Each connection to a backend begins with a header that names the client. */
  readonly proxyProtocol: ProxyProtocol | false;
  readonly retries: { readonly attempts: number; readonly budget: number };
  readonly timeouts: { readonly dial: number; readonly head: number; readonly idle: number; readonly tunnel: number };
  readonly limits: UpstreamLimits;
  readonly outlier: OutlierPolicy;
  readonly slowStart: SlowStartPolicy;
  /** Requests that wait while the upstream is held; `whenUnavailable` = also while no backend is available. */
  readonly hold: { readonly queue: number; readonly timeout: number; readonly whenUnavailable: boolean };
  /** For answers of the proxy itself; they go before those of the edge. */
  readonly errorPages: ErrorPages;
  /** null = connections to backends are not encrypted. */
  readonly tls: BackendTls | null;
  readonly protocol: BackendProtocol;
  /** null = it is open. */
  readonly maintenance: Maintenance | null;
}

export interface EdgeLimits {
  /** Bytes. */
  readonly head: number;
  readonly headers: number;
  /** Bytes. */
  readonly target: number;
  /** Of one thread. */
  readonly connections: number;
  /** TLS handshakes under way, a thread. */
  readonly handshakes: number;
  /** Open at a time, an HTTP/2 connection. */
  readonly streams: number;
  /** Bytes of request bodies that lie here untaken: of an HTTP/2 connection, and of all of them, over all threads. */
  readonly unread: number;
  readonly unreadTotal: number;
  /** Of one client address, over all threads; null = no limit. */
  readonly connectionsPerClient: number | null;
  /** Of one client address, over all threads; null = no limit. */
  readonly rate: RatePolicy | null;
  /** Rows of the client table; fixed at the start. */
  readonly clients: number;
  /** Bytes a second that a request body must bring on average, once `timeouts.body` has passed; null = no limit. */
  readonly bodyRate: number | null;
}

/** What the data plane reads of the top-level configuration. */
export interface EdgePolicy {
  readonly trustedProxies: readonly string[];
  readonly timeouts: { readonly clientHead: number; readonly keepAlive: number; readonly body: number; readonly handshake: number };
  readonly limits: EdgeLimits;
  readonly accessLog: 'off' | 'sampled' | 'full';
  readonly errorPages: ErrorPages;
}
