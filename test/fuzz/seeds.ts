import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Prng } from './prng.ts';

/** What the mutators begin with; latin1 text. */
export interface Seeds {
  readonly requests: readonly string[];
  readonly responses: readonly string[];
}

const HOME = fileURLToPath(new URL('../corpus/', import.meta.url));
/** Larger cases are about limits; the mutators make such heads themselves. */
const LARGEST = 6_000;

const get = (lines: string, target = '/'): string => `GET ${target} HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;
const post = (lines: string, body: string): string => `POST /p?q=1 HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n${body}`;
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

/** Messages of every shape, all of them valid: hostile ones are made of them. */
const REQUESTS = [
  get(''),
  get('Connection: close\r\n'),
  get('Accept: */*\r\nCookie: a=b; c=d\r\nCookie: e=f\r\nX-One: 1\r\n', '/a/b%20c?d=e&f'),
  get('Connection: x-hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n'),
  get('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n', '/socket'),
  get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'),
  get('X-Forwarded-For: 192.0.2.1\r\nX_Forwarded_For: 192.0.2.2\r\nForwarded: for=192.0.2.3\r\nVia: 1.0 b\r\nX-Request-Id: r\r\n'),
  'HEAD /head HTTP/1.1\r\nHost: a.example\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 3\r\n\r\n',
  'GET http://b.example:81/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n',
  'GET / HTTP/1.0\r\n\r\n',
  'GET / HTTP/1.0\r\nHost: [::1]:80\r\nConnection: keep-alive\r\n\r\n',
  'DELETE /d HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc',
  'TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n',
  post('Content-Length: 5\r\n', 'hello'),
  post('Content-Length: 0\r\n', ''),
  post('Content-Length: 5\r\nExpect: 100-continue\r\n', 'hello'),
  post(CHUNKED, '5\r\nhello\r\n0\r\n\r\n'),
  post(CHUNKED, '0\r\n\r\n'),
  post(CHUNKED, '3;a=b;c="d\\"e"\r\nabc\r\nA\r\n0123456789\r\n00;x\r\nX-Trailer: t\r\nContent-Length: 7\r\n\r\n'),
  post(`${CHUNKED}Trailer: X-Trailer\r\nTE: trailers\r\nConnection: TE\r\n`, '1\r\na\r\n0\r\nX-Trailer: t\r\n\r\n'),
];
const RESPONSES = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  `HTTP/1.1 200 OK\r\n${CHUNKED}\r\n5\r\nhello\r\n0\r\n\r\n`,
  `HTTP/1.1 200 OK\r\n${CHUNKED}Trailer: X-Sum\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n`,
  'HTTP/1.1 200 OK\r\n\r\nto the end',
  'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 10\r\n\r\n',
  'HTTP/1.1 301 \r\nLocation: /b\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 1\r\n\r\na',
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi',
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2\n\n',
  `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n${CHUNKED}\r\n9\r\ndata: 1\n\n\r\n`,
  'HTTP/1.1 503 Service Unavailable\r\nKeep-Alive: timeout=2\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 4\r\n\r\nbusy',
];

/** Half of the time one of ours: most cases of a corpus are refused at once, and hide what lies behind. */
export function seedOf(seeds: Seeds, kind: 'request' | 'response', rng: Prng): string {
  const own = rng.chance(50);
  if (kind === 'request') return rng.pick(own ? REQUESTS : seeds.requests);
  return rng.pick(own ? RESPONSES : seeds.responses);
}

interface Line {
  readonly id: string;
  readonly kind?: string;
  readonly raw_b64: string;
}

export interface CorpusCase {
  readonly id: string;
  readonly text: string;
}

/** Every case of the corpus files (JSONL; `id`, `raw_b64`, `kind`), but for very large ones. */
export function loadCases(files: readonly string[] = corpusFiles()): { requests: CorpusCase[]; responses: CorpusCase[] } {
  const requests: CorpusCase[] = [];
  const responses: CorpusCase[] = [];
  for (const file of files) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      if (line.trim() === '') continue;
      const { id, kind, raw_b64 } = JSON.parse(line) as Line;
      const text = Buffer.from(raw_b64, 'base64').toString('latin1');
      if (text.length > 0 && text.length <= LARGEST) (kind === 'response' ? responses : requests).push({ id, text });
    }
  }
  return { requests, responses };
}

/** Our own messages, and those of the corpus files. */
export function loadSeeds(files?: readonly string[]): Seeds {
  const { requests, responses } = loadCases(files);
  return { requests: [...REQUESTS, ...requests.map(({ text }) => text)], responses: [...RESPONSES, ...responses.map(({ text }) => text)] };
}

function corpusFiles(): string[] {
  if (!existsSync(HOME)) return [];
  return readdirSync(HOME)
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .map((name) => HOME + name);
}
