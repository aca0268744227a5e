import { COLON, LOWER_TOKEN, TARGET, TOKEN, VALUE } from './chars.ts';
import type { HeadWriter } from './writer.ts';

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
  out.text(webSocket ? 'GET' : method);
  out.text(' ');
  out.text(target);
  out.text(' HTTP/1.1\r\n');
  let host = authority;
  let cookie = '';
  let length = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    const value = fields[i + 1];
    if (isPseudo(name)) continue;
    if (name === '' || !all(name, LOWER_TOKEN)) return bad('a field name is not a token in lower case');
    if (!all(value, VALUE)) return bad('a field value has a control character');
    switch (name) {
      case 'connection':
      case 'keep-alive':
      case 'proxy-connection':
      case 'transfer-encoding':
      case 'upgrade':
      case 'http2-settings':
        // They speak of one connection (RFC 9113 §8.2.2).
        return bad(`${name} is of no use in HTTP/2`);
      case 'te':
        if (value !== 'trailers') return bad('te is of no use in HTTP/2');
        break;
      case 'host':
        if (host !== '' && host.toLowerCase() !== value.toLowerCase()) return bad('Host and :authority disagree');
        host = value;
        continue;
      case 'cookie':
        cookie = cookie === '' ? value : `${cookie}; ${value}`;
        continue;
      case 'sec-websocket-key':
        if (webSocket) continue;
        break;
      case 'content-length':
        if (webSocket) continue;
        length = true;
        break;
    }
    line(out, name, value);
  }
  if (host !== '') {
    if (!all(host, VALUE)) return bad(':authority has a control character');
    line(out, 'Host', host);
  }
  if (cookie !== '') line(out, 'cookie', cookie);
  if (webSocket) {
    out.text(`${WEBSOCKET}${key}\r\n\r\n`);
    return { problem: null, chunked: false, webSocket };
  }
  const chunked = !ended && !length;
  if (chunked) out.text('Transfer-Encoding: chunked\r\n\r\n');
  // What the client sends behind a body of stated length must not be read as a request.
  else out.text(ended ? '\r\n' : 'Connection: close\r\n\r\n');
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
  let i = 0;
  for (; i < fields.length && isPseudo(fields[i]); i += 2) if (!take(found, fields[i], fields[i + 1])) return `${fields[i]} is not known, or there twice`;
  for (; i < fields.length; i += 2) if (isPseudo(fields[i])) return 'a pseudo-header field comes behind others';
  return found;
}

function isPseudo(name: string): boolean {
  return name.charCodeAt(0) === COLON;
}

/** @returns false when it is not known, or was there already. */
function take(found: Pseudo, name: string, value: string): boolean {
  let before: string;
  switch (name) {
    case ':method':
      before = found.method;
      found.method = value;
      break;
    case ':path':
      before = found.path;
      found.path = value;
      break;
    case ':authority':
      before = found.authority;
      found.authority = value;
      break;
    case ':scheme':
      before = found.scheme;
      found.scheme = value;
      break;
    case ':protocol':
      before = found.protocol;
      found.protocol = value;
      break;
    default:
      return false;
  }
  return before === '';
}

/** Piece by piece: a string that is put together first would be copied once more. */
function line(out: HeadWriter, name: string, value: string): void {
  out.text(name);
  out.text(': ');
  out.text(value);
  out.text('\r\n');
}

/** Writes trailer fields as the lines behind the last chunk, without the empty line. @returns why they are refused, or null. */
export function writeTrailerLines(out: HeadWriter, fields: readonly string[]): string | null {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === '' || !all(fields[i], TOKEN)) return 'a trailer name is not a token';
    if (!all(fields[i + 1], VALUE)) return 'a trailer value has a control character';
    line(out, fields[i], fields[i + 1]);
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
