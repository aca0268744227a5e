/** What the load looks like, and which kind of traffic that stands for. */
export interface Scenario {
  readonly name: string;
  readonly standsFor: string;
  readonly method: 'GET' | 'POST';
  /** Served by every backend of the bench: /small, /large, /upload. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  readonly answerBytes: number;
  readonly connections: number;
  /** A new connection for each request. */
  readonly reconnect: boolean;
}

export const SMALL_ANSWER = 'Hello, world\n';
export const LARGE_BYTES = 100 * 1024;
const UPLOAD_BYTES = 30 * 1024;

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

const plain = { method: 'GET', path: '/small', headers: {}, bodyBytes: 0, answerBytes: SMALL_ANSWER.length, connections: 32, reconnect: false } as const;

export const SCENARIOS: readonly Scenario[] = [
  { ...plain, name: 'small', standsFor: 'service-to-service calls: a bare GET on a kept connection' },
  { ...plain, name: 'browser', standsFor: 'a page view: the same with the head a browser sends', headers: BROWSER },
  { ...plain, name: 'large', standsFor: 'assets and downloads: a 100 KB answer', path: '/large', answerBytes: LARGE_BYTES, connections: 16 },
  {
    ...plain,
    name: 'upload',
    standsFor: 'forms and pictures: a 30 KB request body',
    method: 'POST',
    path: '/upload',
    bodyBytes: UPLOAD_BYTES,
    connections: 16,
  },
  { ...plain, name: 'connect', standsFor: 'clients that do not keep connections: a new one for each request', reconnect: true },
];
