import { TARGET, TOKEN, VALUE } from './chars.ts';
import type { HeadWriter } from './writer.ts';

/** Fields that speak of one connection; HTTP/2 has no use for them (RFC 9113 §8.2.2). */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings']);

/** A WebSocket over HTTP/2 (RFC 8441) as the backend is asked for it. */
const WEBSOCKET = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ';

export interface H2RequestHead {
  /** Name, value, name, value, …: pseudo-header fields first, names in lower case, one character a byte. */
  readonly fields: readonly string[];
  /** The head has ended the stream: there is no body. */
  readonly ended: boolean;
  /** Nonce for a WebSocket handshake: 16 bytes in base64. */
  readonly key: string;
}

/** What the head of a stream comes to as HTTP/1.1. */
export interface Translated {
  /** Why it is no request (a stream error of type PROTOCOL_ERROR, RFC 9113 §8.1.1), or null. */
  readonly problem: string | null;
  /** The body goes on in chunks: its length is not said. */
  readonly chunked: boolean;
  /** An extended CONNECT: after its 101 bytes flow both ways. */
  readonly webSocket: boolean;
}

const FINE = { problem: null, chunked: false, webSocket: false } as const;

/**
 * Writes the head of an HTTP/2 request as the HTTP/1.1 head that says the same (RFC 9113 §8.3.1), for the one strict reader of
 * requests to judge. What could be read as more than one line, or as another line, is refused here.
 */
export function writeAsHttp1(out: HeadWriter, { fields, ended, key }: H2RequestHead): Translated {
  const pseudo = pseudoFields(fields);
  if (typeof pseudo === 'string') return bad(pseudo);
  const { method, path, authority, protocol } = pseudo;
  if (method === '' || !all(method, TOKEN)) return bad(':method is not a token');
  const webSocket = method === 'CONNECT' && protocol === 'websocket';
  if (protocol !== '' && !webSocket) return bad('only websocket is spoken inside a stream');
  const target = method === 'CONNECT' && !webSocket ? authority : path;
  if (target === '' || !all(target, TARGET)) return bad('the target is not valid');
  out.text(`${webSocket ? 'GET' : method} ${target} HTTP/1.1\r\n`);
  let host = authority;
  let cookie = '';
  let length = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    const value = fields[i + 1];
    if (name.startsWith(':')) continue;
    if (name === '' || !all(name, TOKEN) || name !== name.toLowerCase()) return bad('a field name is not a token in lower case');
    if (!all(value, VALUE)) return bad('a field value has a control character');
    if (CONNECTION_FIELDS.has(name) || (name === 'te' && value !== 'trailers')) return bad(`${name} is of no use in HTTP/2`);
    if (name === 'host') {
      if (host !== '' && host.toLowerCase() !== value.toLowerCase()) return bad('Host and :authority disagree');
      host = value;
    } else if (name === 'cookie') cookie = cookie === '' ? value : `${cookie}; ${value}`;
    else if (webSocket && (name === 'sec-websocket-key' || name === 'content-length')) continue;
    else {
      length ||= name === 'content-length';
      out.text(`${name}: ${value}\r\n`);
    }
  }
  if (host !== '') {
    if (!all(host, VALUE)) return bad(':authority has a control character');
    out.text(`Host: ${host}\r\n`);
  }
  if (cookie !== '') out.text(`cookie: ${cookie}\r\n`);
  if (webSocket) {
    out.text(`${WEBSOCKET}${key}\r\n\r\n`);
    return { problem: null, chunked: false, webSocket };
  }
  const chunked = !ended && !length;
  // Each stream is a connection of its own to the reader, with one request on it.
  out.text(chunked ? 'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n' : 'Connection: close\r\n\r\n');
  return chunked ? { problem: null, chunked, webSocket } : FINE;
}

interface Pseudo {
  method: string;
  path: string;
  authority: string;
  scheme: string;
  protocol: string;
}

function pseudoFields(fields: readonly string[]): Pseudo | string {
  const found: Pseudo = { method: '', path: '', authority: '', scheme: '', protocol: '' };
  for (let i = 0; i < fields.length && fields[i].startsWith(':'); i += 2) {
    const name = fields[i].slice(1);
    if (!isPseudo(name) || found[name] !== '') return `${fields[i]} is not known, or there twice`;
    found[name] = fields[i + 1];
  }
  for (let i = 0, over = false; i < fields.length; i += 2) {
    const isPseudoField = fields[i].startsWith(':');
    if (over && isPseudoField) return 'a pseudo-header field comes behind others';
    over ||= !isPseudoField;
  }
  return found;
}

function isPseudo(name: string): name is keyof Pseudo {
  return name === 'method' || name === 'path' || name === 'authority' || name === 'scheme' || name === 'protocol';
}

/** Writes trailer fields as the lines behind the last chunk, without the empty line. @returns why they are refused, or null. */
export function writeTrailerLines(out: HeadWriter, fields: readonly string[]): string | null {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === '' || !all(fields[i], TOKEN)) return 'a trailer name is not a token';
    if (!all(fields[i + 1], VALUE)) return 'a trailer value has a control character';
    out.text(`${fields[i]}: ${fields[i + 1]}\r\n`);
  }
  return null;
}

function all(text: string, accepted: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || accepted[code] === 0) return false;
  }
  return true;
}

function bad(problem: string): Translated {
  return { problem, chunked: false, webSocket: false };
}
