import { CHUNKED_BYTES, FILES, KB, MB, SMALL_ANSWER } from './answers.ts';

/** What the load looks like, and which kind of traffic that stands for. */
export interface Scenario {
  readonly name: string;
  readonly standsFor: string;
  /** `idle` holds connections and measures memory; in `tunnel` a request is a WebSocket message there and back. */
  readonly kind: 'requests' | 'tunnel' | 'idle';
  /**
   * `raw`: by the bench's own client, which autocannon, wrk and h2load cannot replace. Handshakes and HTTP/2 come from programs
   * in C, which are there or the scenario is left out: a client in Node would cost more than the subject.
   */
  readonly by: 'any' | 'raw' | 'ab' | 's_time' | 'h2load';
  /** What clients speak: `tls` is HTTP/1.1 over TLS 1.3, `h2` HTTP/2 over it. */
  readonly speaks: 'http' | 'tls' | 'h2';
  /** What the subject speaks to the backend: HTTP/1.1, or HTTP/2 without TLS. */
  readonly behind: 'http' | 'h2c';
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  /** The request body goes out in chunks. */
  readonly chunked: boolean;
  readonly answerBytes: number;
  readonly connections: number;
  /** Requests at once on each connection. */
  readonly streams: number;
  /** A new connection for each request. */
  readonly reconnect: boolean;
  /** The subjects it is for, when not all, and why. */
  readonly only?: { readonly subjects: readonly string[]; readonly why: string };
  /** Subjects it is not for, and why. */
  readonly except?: { readonly subjects: readonly string[]; readonly why: string };
  /** A round is at least so long: what happens each second must not happen more often, and many connections take their time. */
  readonly leastSeconds?: number;
  /** What each subject answers before it is measured, where compilers need more than the usual. */
  readonly warmRequests?: number;
  /** The subject that the others are set against, besides the peers. */
  readonly against?: string;
}

/** A browser's head: 13 fields, about 660 bytes with the request line and Host. */
const BROWSER: Readonly<Record<string, string>> = {
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36',
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'accept-encoding': 'gzip, deflate, br, zstd',
  'accept-language': 'en-GB,en;q=0.9,de;q=0.8',
  'cache-control': 'max-age=0',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'sec-fetch-dest': 'document',
  'sec-fetch-mode': 'navigate',
  'upgrade-insecure-requests': '1',
  referer: 'https://www.example.com/catalogue/shoes?page=3',
  cookie: 'sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=analytics%3D0%26ads%3D0',
};

const plain = {
  kind: 'requests',
  by: 'any',
  speaks: 'http',
  behind: 'http',
  method: 'GET',
  path: '/small',
  headers: {},
  bodyBytes: 0,
  chunked: false,
  answerBytes: SMALL_ANSWER.length,
  connections: 32,
  streams: 1,
  reconnect: false,
} as const;

/** A GET of one of FILES. */
function answer(name: keyof typeof FILES, connections: number): Omit<Scenario, 'name' | 'standsFor'> {
  return { ...plain, path: name, answerBytes: FILES[name], connections };
}

/** WebSocket messages carry so many bytes. */
export const MESSAGE_BYTES = 64;

const GENERAL: readonly Scenario[] = [
  { ...plain, name: 'small', standsFor: 'service-to-service calls: a bare GET on a kept connection' },
  { ...plain, name: 'browser', standsFor: 'a page view: the same with the head a browser sends (660 bytes, 13 fields)', headers: BROWSER },
  { ...answer('/1kb', 32), name: '1kb', standsFor: 'an API: a 1 KB answer' },
  { ...answer('/100kb', 16), name: '100kb', standsFor: 'assets: a 100 KB answer' },
  { ...answer('/10mb', 4), name: '10mb', standsFor: 'downloads: a 10 MB answer', by: 'raw' },
  {
    ...plain,
    name: 'upload-30kb',
    standsFor: 'forms and pictures: a 30 KB request body',
    method: 'POST',
    path: '/upload',
    bodyBytes: 30 * KB,
    connections: 16,
  },
  {
    ...plain,
    name: 'upload-10mb',
    standsFor: 'video and backups: a 10 MB request body',
    method: 'POST',
    path: '/upload',
    bodyBytes: 10 * MB,
    connections: 4,
    by: 'raw',
  },
  {
    ...plain,
    name: 'chunked',
    standsFor: 'streaming APIs: 8 KB of request and 16 KB of answer, both in chunks',
    method: 'POST',
    path: '/chunked',
    bodyBytes: 8 * KB,
    chunked: true,
    answerBytes: CHUNKED_BYTES,
    connections: 16,
    by: 'raw',
    except: { subjects: ['fast-proxy'], why: 'over undici it answers a body in chunks with 500' },
  },
  { ...plain, name: 'connect', standsFor: 'clients that do not keep connections: a new one for each request', reconnect: true, by: 'raw' },
  { ...plain, name: '1000-connections', standsFor: 'many clients at once: small GETs on 1 000 kept connections', connections: 1_000, leastSeconds: 0.4 },
  {
    ...plain,
    name: 'idle',
    standsFor: 'visitors who have gone quiet: memory for each kept connection that has made one request',
    kind: 'idle',
    connections: 10_000,
    except: { subjects: ['tcp-relay'], why: 'holds a backend connection for each client, so its memory is not that of an idle one' },
  },
  {
    ...plain,
    name: 'websocket',
    standsFor: `chat and live views: WebSocket messages of ${MESSAGE_BYTES} bytes, echoed, one at a time on each of 32 tunnels`,
    kind: 'tunnel',
    by: 'raw',
    path: '/ws',
    except: { subjects: ['undici', 'fast-proxy'], why: 'cannot upgrade' },
  },
];

const TLS_SUBJECTS = { subjects: ['switchyard', 'http-proxy', 'undici', 'nginx', 'haproxy'], why: 'set up with TLS here' } as const;
/** Node's part of a request over HTTP/2 is more code than the rest of it. */
const H2_WARM_REQUESTS = 60_000;
const H2_SUBJECTS = { subjects: ['switchyard', 'undici', 'nginx', 'haproxy'], why: 'speak HTTP/2 (undici: behind node:http2)' } as const;
const handshakes = { ...plain, speaks: 'tls', reconnect: true, only: TLS_SUBJECTS, connections: 16, leastSeconds: 1 } as const;

/** All with one certificate (a key on P-256), TLS 1.3, the suite and key exchange that ask.ts insists on, and two tickets a session. */
const SECURE: readonly Scenario[] = [
  { ...plain, name: 'tls', standsFor: 'the small GET on a kept connection, over TLS', speaks: 'tls', only: TLS_SUBJECTS },
  { ...handshakes, name: 'tls-handshake', standsFor: 'new visitors: a full handshake, one small GET, the end', by: 'ab' },
  { ...handshakes, name: 'tls-resumed', standsFor: 'visitors who come back: the same with a session resumed by its ticket', by: 's_time', connections: 8 },
  {
    ...plain,
    name: 'h2',
    standsFor: 'browsers: small GETs over HTTP/2 and TLS, 8 at once on each of 16 connections',
    speaks: 'h2',
    by: 'h2load',
    connections: 16,
    streams: 8,
    warmRequests: H2_WARM_REQUESTS,
    only: H2_SUBJECTS,
  },
  {
    ...plain,
    name: 'h2-h2c',
    standsFor: 'the way of gRPC: the same, and HTTP/2 without TLS to the backend',
    speaks: 'h2',
    behind: 'h2c',
    by: 'h2load',
    connections: 16,
    streams: 8,
    warmRequests: H2_WARM_REQUESTS,
    only: { subjects: ['switchyard', 'nginx', 'haproxy'], why: 'speak HTTP/2 to backends (nginx by its gRPC module)' },
  },
];

const OWN = 'about a feature of ours';

const OURS: readonly Scenario[] = [
  {
    ...plain,
    name: 'routes',
    standsFor: 'a large site: 1, 100 and 10 000 routes (of 1, 10 and 100 upstreams)',
    path: '/r/0/small',
    only: {
      subjects: [
        'switchyard, 1 route',
        'switchyard, 100 routes',
        'switchyard, 10000 routes',
        'nginx, 1 location',
        'nginx, 100 locations',
        'nginx, 10000 locations',
      ],
      why: 'each against itself with one route; nginx with as many locations beside it',
    },
    against: 'switchyard, 1 route',
  },
  {
    ...plain,
    name: 'threads',
    standsFor: 'one data thread and two, both cores shared with load and backend: the CPU is to be compared, not requests/s',
    only: { subjects: ['switchyard, 1 thread', 'switchyard, 2 threads'], why: OWN },
    against: 'switchyard, 1 thread',
    connections: 64,
  },
  {
    ...plain,
    name: 'swap',
    standsFor: 'deploys: a swap every second under load, against none',
    only: { subjects: ['switchyard', 'switchyard, swapping'], why: OWN },
    leastSeconds: 1,
    against: 'switchyard',
  },
  {
    ...plain,
    name: 'mirror',
    standsFor: 'a version that is tried with copies of requests: of none, of one in ten, of all',
    only: { subjects: ['switchyard', 'switchyard, mirrors 0 %', 'switchyard, mirrors 10 %', 'switchyard, mirrors 100 %'], why: OWN },
    against: 'switchyard',
  },
  {
    ...plain,
    name: 'access-log',
    standsFor: 'a line for every request, written to a file',
    only: { subjects: ['switchyard', 'switchyard, access log', 'nginx', 'nginx, access log'], why: 'each against itself without a log; nginx beside it' },
    against: 'switchyard',
  },
  {
    ...plain,
    name: 'scrape',
    standsFor: 'Prometheus: /metrics read every second under load, against never',
    only: { subjects: ['switchyard', 'switchyard, scraped'], why: OWN },
    leastSeconds: 1,
    against: 'switchyard',
  },
];

export const SCENARIOS: readonly Scenario[] = [...GENERAL, ...SECURE, ...OURS];
