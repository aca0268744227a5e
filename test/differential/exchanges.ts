import type { Prng } from '../fuzz/prng.ts';

export type Field = readonly [name: string, value: string];

/** A well-formed request with the well-formed answer that a backend gives to it. Latin1 text. */
export interface Exchange {
  readonly method: string;
  /** The bytes of the request; its field X-Case is the exchange's number. */
  readonly request: string;
  /** The bytes of the answer, 1xx before it included. */
  readonly response: string;
}

const METHODS = ['GET', 'GET', 'GET', 'HEAD', 'POST', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const TARGETS = [
  '/',
  '/a/b/c',
  '/a?b=c&d=e',
  '/a?',
  '/search?q=%C3%A4+b&empty=&x',
  '/a//b',
  '/caf%C3%A9/%20',
  "/a;p=1/b,c/(d)'!*",
  '/%2e%2e/x',
  '/a?redirect=http://b.example/?c=d',
  '/~user/$x@y:z',
];
const FIELDS: readonly Field[] = [
  ['Accept', 'text/html, */*;q=0.8'],
  ['accept-encoding', 'gzip, br'],
  ['Accept-Language', 'de-AT, de;q=0.7'],
  ['User-Agent', 'test/1.0 (a; b)'],
  ['Cookie', 'a=b; c="d e"'],
  ['Authorization', 'Basic YTpi'],
  ['Cache-Control', 'no-cache'],
  ['Range', 'bytes=0-99'],
  ['If-None-Match', 'W/"a", "b"'],
  ['If-Modified-Since', 'Sun, 06 Nov 1994 08:49:37 GMT'],
  ['Referer', 'http://a.example/b?c'],
  ['Origin', 'http://a.example'],
  ['X-Custom', 'one'],
  ['X-Custom', 'two'],
  ['X-Empty', ''],
  ['x-lower', 'a,b;c="d"'],
  ['X-Latin', 'caf\xe9'],
  ['DNT', '1'],
];
const HOPS: readonly Field[] = [
  ['Connection', 'keep-alive'],
  ['Connection', 'close'],
  ['Connection', 'X-Hop'],
  ['Keep-Alive', 'timeout=5'],
  ['Proxy-Connection', 'keep-alive'],
  ['TE', 'trailers'],
];
const ANSWER_FIELDS: readonly Field[] = [
  ['Content-Type', 'text/html; charset=utf-8'],
  ['Set-Cookie', 'a=b; Path=/; HttpOnly'],
  ['Set-Cookie', 'c=d; Expires=Wed, 21 Oct 2026 07:28:00 GMT'],
  ['ETag', '"abc"'],
  ['Cache-Control', 'max-age=60, public'],
  ['Vary', 'Accept-Encoding'],
  ['Vary', 'Origin'],
  ['Last-Modified', 'Sun, 06 Nov 1994 08:49:37 GMT'],
  ['X-Custom', 'one'],
  ['X-Custom', 'two'],
  ['Server', 'backend/1.0'],
  ['WWW-Authenticate', 'Basic realm="a"'],
  ['Link', '</a>; rel=preload'],
  ['Content-Language', 'de'],
  ['Date', 'Sun, 06 Nov 1994 08:49:37 GMT'],
];
const ANSWER_HOPS: readonly Field[] = [
  ['Connection', 'keep-alive'],
  ['Connection', 'close'],
  ['Keep-Alive', 'timeout=5'],
];
const STATUSES = [
  '200 OK',
  '200 OK',
  '200 OK',
  '201 Created',
  '202 Accepted',
  '206 Partial Content',
  '204 No Content',
  '301 Moved Permanently',
  '302 Found',
  '304 Not Modified',
  '400 Bad Request',
  '404 Not Found',
  '418 I am a teapot',
  '500 Internal Server Error',
  '503 Service Unavailable',
];

const lines = (fields: readonly Field[]): string => fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');

/** Some of the list, in its order: lines of one name stay as they follow one another. */
function some(list: readonly Field[], rng: Prng, percent: number): Field[] {
  return list.filter(() => rng.chance(percent));
}

function bodyOf(rng: Prng): string {
  return Array.from({ length: rng.below(rng.chance(5) ? 100_000 : 200) }, () => String.fromCharCode(rng.below(256))).join('');
}

function chunks(body: string, rng: Prng, trailers: string): string {
  let text = '';
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, 1 + rng.below(5_000));
    text += `${size.toString(16)}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  return `${text}0\r\n${trailers}\r\n`;
}

function requestOf(method: string, index: number, rng: Prng): string {
  const head = `${method} ${rng.pick(TARGETS)} HTTP/1.1\r\nHost: ${rng.pick(['a.example', 'A.Example:8080'])}\r\nX-Case: ${index}\r\n`;
  const fields = lines([...some(FIELDS, rng, 25), ...(rng.chance(30) ? [rng.pick(HOPS)] : [])]);
  const bare = method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || (method === 'DELETE' && rng.chance(50));
  if (bare) return `${head}${fields}\r\n`;
  const body = bodyOf(rng);
  const type = `Content-Type: ${rng.pick(['application/json', 'text/plain', 'application/octet-stream'])}\r\n`;
  if (rng.chance(40)) return `${head}${fields}${type}Transfer-Encoding: chunked\r\n\r\n${chunks(body, rng, '')}`;
  return `${head}${fields}${type}Content-Length: ${body.length}\r\n\r\n${body}`;
}

function responseOf(method: string, rng: Prng): string {
  const status = rng.pick(STATUSES);
  const interim = rng.chance(8) ? `HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n` : '';
  const more = status.startsWith('30') ? 'Location: http://b.example/c?d\r\n' : status.startsWith('206') ? 'Content-Range: bytes 0-99/200\r\n' : '';
  const head = `${interim}HTTP/1.1 ${status}\r\n${lines([...some(ANSWER_FIELDS, rng, 30), ...(rng.chance(25) ? [rng.pick(ANSWER_HOPS)] : [])])}${more}`;
  if (status.startsWith('204')) return `${head}\r\n`;
  const body = bodyOf(rng);
  const bodiless = method === 'HEAD' || status.startsWith('304');
  if (bodiless) return `${head}${rng.chance(70) ? `Content-Length: ${body.length}\r\n` : ''}\r\n`;
  if (rng.chance(35)) {
    const trailers = rng.chance(25) ? 'X-Sum: 1\r\n' : '';
    return `${head}${trailers === '' ? '' : 'Trailer: X-Sum\r\n'}Transfer-Encoding: chunked\r\n\r\n${chunks(body, rng, trailers)}`;
  }
  return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Ordinary traffic: methods, queries, cookies, ranges, redirects, bodies of known length and in chunks. */
export function exchanges(count: number, rng: Prng): Exchange[] {
  return Array.from({ length: count }, (_, index) => {
    const method = rng.pick(METHODS);
    return { method, request: requestOf(method, index, rng), response: responseOf(method, rng) };
  });
}
