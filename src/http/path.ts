import { HEX } from './chars.ts';

const SLASH = 0x2f;
const DOT = 0x2e;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const SEMICOLON = 0x3b;
const QUESTION = 0x3f;

/** End of the path in a target: the `?`, or `to`. */
export function pathEnd(buf: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && buf[at] !== QUESTION) at++;
  return at;
}

/**
 * Whether an application may read the path [from, to) in another way than byte by byte: percent
 * escapes, empty or dot segments, back-slashes, parameters (`;`).
 */
export function isPlainPath(buf: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const code = buf[at];
    if (code === PERCENT || code === BACKSLASH || code === SEMICOLON) return false;
    if (code === SLASH && at + 1 < to && (buf[at + 1] === SLASH || buf[at + 1] === DOT)) return false;
  }
  return true;
}

/**
 * The path as the most eager application would read it, for routing only; what is forwarded are the
 * original bytes (RFC 9110 §7.7). Escapes are decoded (those of `/` and `\` only when `eager`), `\` and runs
 * of `/` become one `/`, dot segments are resolved (RFC 3986 §5.2.4). When `eager`, the parameters of each segment
 * are cut off first (`/admin;x=1`, `..;x`), as Java servlet containers do.
 * @returns null when an escape is broken or hides a control byte.
 */
export function normalisePath(path: string, eager: boolean): string | null {
  let decoded = '';
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code !== PERCENT) {
      decoded += code === BACKSLASH ? '/' : path[i];
      continue;
    }
    const high = HEX[path.charCodeAt(i + 1) & 0xff];
    const low = HEX[path.charCodeAt(i + 2) & 0xff];
    if (i + 2 >= path.length || high === 255 || low === 255) return null;
    const byte = high * 16 + low;
    if (byte < 0x20 || byte === 0x7f) return null;
    if (byte === SLASH || byte === BACKSLASH) decoded += eager ? '/' : '%2F';
    else decoded += String.fromCharCode(byte);
    i += 2;
  }
  const segments: string[] = [];
  for (const segment of decoded.split('/')) {
    const name = eager ? segment.split(';', 1)[0] : segment;
    if (name === '..') segments.pop();
    else if (name !== '.' && name !== '') segments.push(name);
  }
  const folder = /(?:^|\/)\.{0,2}$/.test(decoded);
  return `/${segments.join('/')}${folder && segments.length > 0 ? '/' : ''}`;
}

/**
 * How further kinds of application read a path without broken escapes, where they agree with neither reading of
 * `normalisePath` once tricks are combined: file servers and routers that know no parameters; those that cut parameters off
 * after they decode, or before (servlet containers); gateways that decode and resolve nothing; URL parsers, which decode
 * nothing but dots, and to which an empty segment counts, with and without an application that decodes the result.
 * @returns null when the path is too long to be read in so many ways.
 */
export function furtherReadings(path: string): readonly string[] | null {
  const decoded = decode(path, true);
  if (!TRICK.test(decoded)) return NONE;
  if (path.length > LONGEST_TRICK) return null;
  const bare = decode(path.replace(PARAMETERS, ''), false);
  const url = resolve(path.replaceAll('\\', '/').replace(/%2e/gi, '.'), false);
  return [
    decoded,
    bare,
    resolve(decoded, true),
    resolve(decoded.replaceAll('\\', '/'), true),
    resolve(decoded.replace(PARAMETERS, ''), true),
    resolve(bare, true),
    url,
    decode(url, false),
  ];
}

const NONE: readonly string[] = [];
/** Without any of these, decoded, a path has no more than the two readings of `normalisePath`. */
const TRICK = /[;\\]|\/[./]/;
/** Some 200 µs of work. */
const LONGEST_TRICK = 1_024;
const PARAMETERS = /;[^/]*/g;

function decode(path: string, slashes: boolean): string {
  return path.replace(/%([0-9a-f]{2})/gi, (escape, digits: string) => {
    const byte = Number.parseInt(digits, 16);
    return !slashes && (byte === SLASH || byte === BACKSLASH) ? escape : String.fromCharCode(byte);
  });
}

/** Resolves dot segments; with `merge`, runs of `/` are one before that. */
function resolve(path: string, merge: boolean): string {
  const segments: string[] = [];
  for (const segment of path.slice(1).split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '.' && !(merge && segment === '')) segments.push(segment);
  }
  return `/${segments.join('/')}`;
}
