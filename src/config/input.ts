import type { BackendProtocol } from '../pool/backend-tls.ts';
import type { LaunchInput } from './_launch-input.ts';
import type { WorkerUpstreamInput } from './worker-input.ts';
import type { Balance } from '../pool/policy.ts';
import type { AnalysisInput, GateInput } from './canary-input.ts';
import type { WebhookInput } from './webhook-input.ts';

/** `'200ms'`, `'30s'`, `'5m'`, `'1h'`, or a number of milliseconds. */
export type Duration = string | number;

/** `'127.0.0.1:9001'`, or with a weight (1–1000, default 1) relative to the other backends of its version. */
export type BackendInput = string | { address: string; weight?: number };

/** A page of your own: a file beside the configuration (`.html`, `.txt`, `.json`, at most 64 KiB), or the page itself. */
export type PageInput = string | { body: string; type?: 'html' | 'txt' | 'json' };

/** By status (`'404'`) or class (`'5xx'`). May hold `{status}`, `{reason}`, `{code}` and `{request_id}`. */
export type ErrorPagesInput = Readonly<Record<string, PageInput>>;

/** Values may hold `{client}`, `{host}`, `{scheme}` and `{request_id}`; `{{` is a brace. A name is in one of the three only. */
export interface FieldChangesInput {
  /** Instead of what is there. */
  set?: Readonly<Record<string, string>>;
  /** Beside what is there. */
  add?: Readonly<Record<string, string>>;
  remove?: readonly string[];
}

export interface RedirectInput {
  scheme?: 'http' | 'https' | null;
  host?: string | null;
  /** Default: the request's while the scheme stays, else the scheme's own. */
  port?: number | null;
  /** Takes the place of the route's path; the rest and the query are kept. */
  path?: string | null;
  /** Default 308. */
  status?: 301 | 302 | 303 | 307 | 308;
}

export interface SecurityInput {
  /** Only over https; `maxAge` in seconds, default a year. */
  hsts?: false | { maxAge?: number; includeSubDomains?: boolean; preload?: boolean };
  /** Default `SAMEORIGIN`. */
  frame?: 'DENY' | 'SAMEORIGIN' | false;
  /** Default true. */
  nosniff?: boolean;
  /** Default `strict-origin-when-cross-origin`. */
  referrer?: string | false;
}

export interface MaintenanceInput {
  page?: PageInput | null;
  /** Default 503. */
  status?: number;
  /** Default 1m. */
  retryAfter?: Duration;
  /** Clients (CIDR) that are served all the same. */
  allow?: readonly string[];
}

export interface RouteInput {
  /** `app.example.com`, `*.example.com`, or `*` (default): any host. */
  host?: string;
  /** Path prefix, matched on whole segments: `/api` serves `/api` and `/api/users`, not `/apis`. Default `/`. */
  path?: string;
  /** Answers with another address, unless the request is there already. */
  redirect?: RedirectInput;
  /** Takes the place of `path` in what is forwarded; `/` strips it. */
  rewrite?: string;
  headers?: { request?: FieldChangesInput; response?: FieldChangesInput };
  /** The only methods that are served; OPTIONS is not implied. */
  methods?: readonly string[];
  /** Instead of the upstream's. */
  limits?: { body: number | null };
  /** Security fields that the backend does not send itself; `true` for the defaults. */
  security?: boolean | SecurityInput;
  /** Instead of the upstream's. */
  maintenance?: boolean | MaintenanceInput;
}

export interface HealthInput {
  /**
   * `http` (default) asks `path` and wants a 2xx; `tcp` only connects, with `tls` up to the end of the handshake;
   * `grpc` asks grpc.health.v1.Health/Check over HTTP/2 and wants SERVING; `none` believes.
   */
  kind?: 'http' | 'tcp' | 'grpc' | 'none';
  /** Service that a `grpc` probe asks for; default '': the server as a whole. */
  service?: string;
  /** Default `/healthz`. */
  path?: string;
  /** Host header of the probe; default: the backend's address. */
  host?: string | null;
  /** Port to probe; default: the backend's own. */
  port?: number | null;
  /** Between probes of an admitted version; default 2s. */
  interval?: Duration;
  /** Between probes while a version is being admitted; default 1s, or `interval` when that is shorter. */
  admitInterval?: Duration;
  /** Of one probe in all; default 5s. */
  timeout?: Duration;
  /** Passes in a row that make a backend healthy; default 2. */
  rise?: number;
  /** Failures in a row that make a backend unhealthy; default 3. */
  fall?: number;
  /** Status or statuses that pass; default: any 2xx. */
  expectStatus?: number | readonly number[] | null;
  /** Header fields that the answer must have, with exactly these values. */
  expectHeader?: Readonly<Record<string, string>>;
  /** When fewer percent of the admitted backends are healthy, all of them are used; default 50, 0 = never. */
  failOpen?: number;
}

/** Names of files are relative to the configuration file; text that holds `-----BEGIN` is the content itself. */
export interface BackendTlsInput {
  /** Certificates of the authorities to trust, PEM; default: those of the system. */
  ca?: string;
  /** Name to ask for and to verify; default: the backend's host. */
  servername?: string;
  /** Certificate (with its chain) to show to backends, PEM; with `key`. */
  cert?: string;
  key?: string;
  /** Default true. `false` takes any certificate: nobody knows then who answers. */
  verify?: boolean;
  /** Default `TLSv1.2`. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3';
}

export interface SkewInput {
  /** What a request is pinned by: a cookie that answers set (for `maxAge`; default: the browser's session), or a field that the client sends. */
  pin?: {
    cookie?: string;
    header?: string;
    maxAge?: Duration | null;
    /** With a cookie: a browser that loads a page (`Sec-Fetch-Mode: navigate`) gets what the split says, and a new pin. Default false. */
    renew?: boolean;
  } | null;
  /** Beginnings of paths (`/assets/`): what a version answers with 404 there is tried once on another one. GET and HEAD only. */
  assets?: readonly string[];
  /** How long a version that has lost its traffic stays open to both; default 10m. Then its drain begins. */
  for?: Duration;
}

export interface MirrorInput {
  /** Id of a version, or `standby` (default): the newest that is on standby. None is copied while there is none. */
  to?: string;
  /** Share of the requests; default 100. */
  percent?: number;
  /** Default GET and HEAD. What is mirrored happens twice: name others only where that does no harm. */
  methods?: readonly string[];
  /** Requests with a larger body are not copied; bytes, default 16384, at most 65536. */
  maxBody?: number;
  /** Copies under way at a time, over all threads; default 50. */
  concurrency?: number;
  /** For a whole answer; default 10s. */
  timeout?: Duration;
}

/** The value is the id of a version; with `secret`, a colon and the secret behind it. */
export interface PreviewInput {
  header?: string;
  cookie?: string;
  secret?: string;
}

/** Where a version runs already, or how it is started. */
export type VersionInput = { backends: readonly BackendInput[]; launch?: undefined } | { launch: LaunchInput; backends?: undefined };

/** One application behind routes. Also the body of `PUT /v1/upstreams/{u}`. */
export interface UpstreamInput {
  /** Default `web`. */
  kind?: 'web';
  /** Which requests it gets. The longest matching path of the most exact host wins. */
  routes: readonly RouteInput[];
  health?: HealthInput;
  /** A version must be ready within `timeout` (30s): `minReady` of its backends (default: all). */
  admission?: { timeout?: Duration; minReady?: number | null };
  /** How long an outgoing version may finish: requests 30s, streams and WebSockets 5m. */
  drain?: { requests?: Duration; tunnels?: Duration };
  /** How long an outgoing version is kept for a rollback; default 0: released at once. */
  rollback?: { keep?: Duration };
  /** Steps of swaps that name none (default: none, atomic), and how canaries are judged: see docs/canary.md. */
  canary?: { steps?: readonly { weight: number; hold?: Duration | null }[]; analysis?: boolean | AnalysisInput };
  /** Who is asked before a swap goes on, in this order: see docs/gates.md. */
  gates?: readonly GateInput[];
  /** Default `least-in-flight`. */
  balance?: Balance;
  /**
   * What a client is recognised by, during a canary and by maglev: a cookie or a header; default: its address.
   * `backend`: a cookie that binds it to the backend that it got first, for as long as that is available.
   */
  sticky?: { cookie?: string | null; header?: string | null; backend?: { cookie: string } | null };
  /** What keeps an open page in step with the version it came from, for a while after that has lost its traffic. Default false. */
  skew?: false | SkewInput;
  /** A request may name a version for itself: one on standby, live or still open. Default false. */
  preview?: false | PreviewInput;
  /** Copies requests for a version on standby, and throws its answers away. Default false. */
  mirror?: false | MirrorInput;
  /** Field of answers that says which version gave them; default none. */
  versionHeader?: string | null;
  /**
   * Each connection to a backend begins with a PROXY protocol header that names the client's address and port, and carries
   * requests of that client's connection only. Default `false`.
   */
  proxyProtocol?: false | 'v1' | 'v2';
  /** Further attempts per request (1), within `budget` percent of the active requests (20). */
  retries?: { attempts?: number; budget?: number };
  /** Default: dial 3s, head 30s, idle 60s, tunnel 1h. */
  timeouts?: { dial?: Duration; head?: Duration; idle?: Duration; tunnel?: Duration };
  /**
   * `body`: largest request body in bytes; `connections`: requests in flight per backend; `sockets`: open connections per backend;
   * `queue`: `requests` that wait, for `timeout` (5s), when all backends are at one of the two; `rate`: requests of each client. Default: no limit, no queue.
   */
  limits?: {
    body?: number | null;
    connections?: number | null;
    sockets?: number | null;
    queue?: { requests: number; timeout?: Duration } | null;
    rate?: RateInput | null;
  };
  /**
   * Ejects a backend after `failures` (5) in a row, for `base` (30s) × times up to `max` (300s), at most `maxEjected` percent (10). `false` = off.
   * `answers`: which answers are failures, beside connections that fail: none (false, default), `gateway` (502 and above), or all `5xx`.
   */
  outlier?: false | { failures?: number; base?: Duration; max?: Duration; maxEjected?: number; answers?: false | 'gateway' | '5xx' };
  /** Raises the share of a new backend over `window`, from `minWeight` percent (10). Default off. */
  slowStart?: false | { window: Duration; aggression?: number; minWeight?: number };
  /** Requests that wait while the upstream is held: at most `queue` (1000), each for `timeout` (30s). */
  hold?: { queue?: number; timeout?: Duration; whenUnavailable?: boolean };
  /** Encrypts connections to backends, probes included; `true` for the defaults. Default false. */
  tls?: boolean | BackendTlsInput;
  /** `http1` (default); `h2`: HTTP/2, by ALPN over TLS, with prior knowledge (h2c) without. gRPC needs it. */
  protocol?: BackendProtocol;
  /** For answers of the proxy itself; they go before those of the top level. */
  errorPages?: ErrorPagesInput;
  /** Turns requests away; nothing that is in flight is disturbed. */
  maintenance?: boolean | MaintenanceInput;
  /** How versions of it are started, unless a deploy says otherwise. */
  launch?: LaunchInput | null;
  /** Seeds an upstream that has no state yet; later versions come by `deploy` and `swap`. */
  versions?: Readonly<Record<string, VersionInput>>;
  /** The version that gets the traffic at first; needed when there are several. */
  live?: string | null;
}

/** So many requests of each client address in `per` (default 1s); `burst` of them (default: `requests`) may come at once. */
export interface RateInput {
  requests: number;
  per?: Duration;
  burst?: number;
}

export interface TokenInput {
  name: string;
  token: string;
  /** `read` sees, `operate` (default) may change; `report` is for workers: it may say how a member is, and nothing else. */
  scope?: 'read' | 'operate' | 'report';
}

/** Certificates from an authority that speaks ACME (RFC 8555), renewed in time. */
export interface AcmeInput {
  /** One certificate for each name or list of names; no wildcards. */
  domains: readonly (string | readonly string[])[];
  /** Where the authority may write to. */
  email?: string | null;
  /** `production` and `staging` are Let's Encrypt's; else the URL of a directory. Default `production`. */
  directory?: string;
  /**
   * How names are proven. Default `http-01`: a plain listener must be reachable on port 80 of each name. With `tls-alpn-01` the authority
   * comes to port 443, to any listener with `tls`.
   */
  challenge?: 'http-01' | 'tls-alpn-01';
  /** External account binding, where the authority asks for it; `hmacKey` is base64url. */
  eab?: { kid: string; hmacKey: string } | null;
  /** Authorities that the ACME server's own certificate is checked against; a file or PEM. Default: those that Node trusts. */
  ca?: string | null;
  /** You agree to the terms of the authority. */
  termsAgreed: true;
}

export interface ListenerTlsInput {
  /**
   * Shown by server name (SNI); the first is also for clients that name none, or one that no certificate is for. `cert` is the chain, leaf
   * first. Each is a file beside the configuration, or PEM text; files are read again when they change.
   */
  certificates?: readonly { cert: string; key: string }[];
  /** Certificates that the listener gets by itself, beside `certificates` or alone. */
  acme?: AcmeInput | null;
  /** Default `TLSv1.2`. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3';
  /** Certificates of clients, checked against the authorities in `ca`; `request` lets clients without one in. Default: not asked for. */
  clientAuth?: {
    ca: string;
    /** Default `require`. */
    mode?: 'require' | 'request';
    /** Request fields that tell backends who it is; null = not told. What clients send under these names is dropped on every listener. */
    headers?: { subject?: string | null; issuer?: string | null; fingerprint?: string | null; names?: string | null };
  } | null;
  /** HTTP/2 for clients that ask for it (ALPN). Default true. */
  http2?: boolean;
}

export interface ListenerInput {
  /** Default `0.0.0.0`. */
  host?: string;
  port: number;
  /**
   * Peers whose every connection begins with a PROXY protocol header (version 1 or 2), which names the client: a CIDR list, or `true`
   * for those of `trustedProxies`. All others speak plain HTTP. Default `false`: nobody.
   */
  proxyProtocol?: boolean | readonly string[];
  /** Takes HTTP/2 without TLS from clients that begin with it (prior knowledge), beside HTTP/1.1; default false. */
  http2?: boolean;
  /** Ends TLS here; default: plain HTTP. */
  tls?: ListenerTlsInput | null;
}

/** The configuration file. */
export interface ConfigInput {
  /** Where clients connect; default `0.0.0.0:8080`. */
  listeners?: readonly ListenerInput[];
  /** Where operators connect; default `127.0.0.1:9900`. Another address than loopback needs a token. */
  admin?: {
    host?: string;
    port?: number;
    /** A token that may do everything; `tokens` for several, with names and scopes. */
    token?: string;
    tokens?: readonly TokenInput[];
    /** Host names, besides loopback and `host`, under which operators reach the admin API. */
    allowedHosts?: readonly string[];
    /** Whether deploys may start programs here. Default: while the admin API listens on loopback only. */
    deploy?: boolean | null;
  };
  /** Threads that carry traffic; `'auto'` (default) = one a core. */
  dataThreads?: 'auto' | number;
  /** Where state is kept, relative to this file; default `.switchyard`. */
  stateDir?: string;
  /** Addresses (CIDR) whose forwarding headers are believed; default none. */
  trustedProxies?: readonly string[];
  /** Of clients. Default: handshake 10s, clientHead 10s, keepAlive 60s, body 30s (between two pieces of it). */
  timeouts?: { handshake?: Duration; clientHead?: Duration; keepAlive?: Duration; body?: Duration };
  /** Default: head 32768 bytes, 100 headers, target 8192 bytes, 10000 connections and 1000 TLS handshakes under way a thread. */
  limits?: {
    head?: number;
    headers?: number;
    target?: number;
    connections?: number;
    handshakes?: number;
    /** Requests under way on one HTTP/2 connection; default 100. */
    streams?: number;
    /**
     * Bytes of request bodies that one HTTP/2 connection may have sent without a backend having taken them; default 1048576. It is the window of
     * the connection.
     */
    unread?: number;
    /** The same of all HTTP/2 connections; default 268435456. Past it connections that have any are not read from. */
    unreadTotal?: number;
    /** Connections of one client address (IPv6: of one /64) over all threads; default: no limit. Peers in `trustedProxies` are exempt. */
    connectionsPerClient?: number | null;
    /** Requests of one client address over all threads and upstreams; default: no limit. */
    rate?: RateInput | null;
    /** Client addresses that are remembered for these limits; default 65536. Takes effect at a restart. */
    clients?: number;
    /** Bytes a second that a request body must bring on average, once `timeouts.body` has passed; default: no limit. */
    bodyRate?: number | null;
  };
  /** Default `off`. */
  accessLog?: 'off' | 'sampled' | 'full';
  /** For answers of the proxy itself, never for those of a backend. */
  errorPages?: ErrorPagesInput;
  /** What is in flight may finish for so long when the proxy is told to end; default 30s. */
  shutdown?: { drain?: Duration };
  webhooks?: readonly WebhookInput[];
  /** Launched processes: their `ports` (`'20000-29999'`), and whether they end with the proxy (`stop`) or go on (`keep`, default). */
  launch?: { ports?: string; onShutdown?: 'keep' | 'stop' };
  /** With `run --config-from`: how often a URL is looked at (30s), for how long at most (10s), and whether what was changed by hand is put back (false). */
  pull?: { interval?: Duration; timeout?: Duration; enforce?: boolean };
  upstreams?: Readonly<Record<string, UpstreamInput | WorkerUpstreamInput>>;
}
