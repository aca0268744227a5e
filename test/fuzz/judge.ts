/**
 * A second reader of HTTP/1.x, written from RFC 9110 and 9112 with regular expressions over latin1 text, and with
 * nothing of src/http: what it says of a message does not depend on the code it judges. It reads strictly; in
 * what the proxy has written (`own`) it allows nothing but the one canonical form.
 */
export type Field = readonly [name: string, value: string];

export interface Message {
  readonly start: readonly string[];
  readonly fields: readonly Field[];
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  /** What there is of the body, without framing. */
  readonly body: string;
  readonly trailers: readonly Field[];
  /** Offset after the head, and after the message as far as it is there. */
  readonly headEnd: number;
  readonly end: number;
  /** Nothing of it is missing. */
  readonly complete: boolean;
  /** What is wrong with the body behind a good head; null = nothing so far. */
  readonly fault: string | null;
}

/** A message; or why its head is none; or null when bytes of the head are missing. */
export type Judgement = Message | string | null;

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const TEXT = String.raw`[\t\x20-\x7e\x80-\xff]`;
const REQUEST_LINE = new RegExp(String.raw`^(${TOKEN}) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])$`);
const STATUS_LINE = new RegExp(String.raw`^HTTP/1\.([01]) ([1-5]\d\d) (${TEXT}*)$`);
const FIELD_LINE = new RegExp(String.raw`^(${TOKEN}):[\t ]*(${TEXT}*)$`);
const CONNECTION = new RegExp(String.raw`^[\t ,]*(?:${TOKEN}[\t ]*(?:,[\t ,]*|$))*$`);
const REG_NAME = String.raw`(?:[\w.~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+`;
const HOST = new RegExp(String.raw`^(?:\[[0-9A-Fa-f:.]+\]|${REG_NAME})(?::\d{0,5})?$`);
const ABSOLUTE = /^https?:\/\/([^/?]+)(.*)$/i;
const QUOTED = String.raw`"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\${TEXT})*"`;
const SIZE_LINE = new RegExp(`^([0-9A-Fa-f]{1,14})((?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)*)$`);
const OWN_SIZE = /^(?:0|[1-9a-f][0-9a-f]*)$/;
const LENGTH = /^\d+$/;
/** Never in what the proxy forwards. */
const HOP_BY_HOP = /^(?:keep-alive|proxy-connection|http2-settings)$/;
const ALIAS =
  /^(?:content_length|transfer_encoding|x_forwarded_(?:for|host|proto|port)|x_request_id|x_real_ip|content_type|cache_control|max_forwards|proxy_connection|keep_alive|http2_settings)$/;
const FORBIDDEN_TRAILER = /^(?:content-length|transfer-encoding|host|connection|authorization|set-cookie|trailer|te|upgrade|expect|forwarded|x-forwarded-.*)$/;

export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([known]) => known.toLowerCase() === name).map(([, value]) => value);
}

/** Field lines of a head without its start line, or why they are none. */
function fieldsOf(lines: readonly string[]): Field[] | string {
  const fields: Field[] = [];
  for (const line of lines) {
    const match = FIELD_LINE.exec(line);
    if (match === null) return `field line ${JSON.stringify(line.slice(0, 80))}`;
    fields.push([match[1], match[2].replace(/[\t ]+$/, '')]);
  }
  return fields;
}

interface Framing {
  readonly kind: Message['framing'];
  readonly length: number;
}

/** Framing by the fields alone (RFC 9112 §6.3), with `none` where nothing is said. */
function framingOf(fields: readonly Field[], minor: string, own: boolean): Framing | string {
  const lengths = valuesOf(fields, 'content-length');
  const codings = valuesOf(fields, 'transfer-encoding');
  if (lengths.length + codings.length > 1) return 'more than one framing field';
  if (codings.length === 1) {
    if (codings[0].toLowerCase() !== 'chunked' || minor === '0') return `Transfer-Encoding ${codings[0]} in HTTP/1.${minor}`;
    return { kind: 'chunked', length: 0 };
  }
  if (lengths.length === 0) return { kind: 'none', length: 0 };
  if (!LENGTH.test(lengths[0]) || !Number.isSafeInteger(Number(lengths[0]))) return `Content-Length ${lengths[0]}`;
  if (own && String(Number(lengths[0])) !== lengths[0]) return `Content-Length ${lengths[0]} is not canonical`;
  return { kind: 'length', length: Number(lengths[0]) };
}

interface Head {
  readonly start: RegExpExecArray;
  readonly fields: readonly Field[];
  readonly end: number;
}

function headOf(text: string, at: number, startLine: RegExp): Head | string | null {
  const stop = text.indexOf('\r\n\r\n', at);
  if (stop === -1) return null;
  const lines = text.slice(at, stop).split('\r\n');
  const start = startLine.exec(lines[0]);
  if (start === null) return `start line ${JSON.stringify(lines[0].slice(0, 80))}`;
  const fields = fieldsOf(lines.slice(1));
  if (typeof fields === 'string') return fields;
  const wrong = valuesOf(fields, 'connection').find((value) => !CONNECTION.test(value));
  return wrong === undefined ? { start, fields, end: stop + 4 } : `Connection ${wrong}`;
}

type Body = Pick<Message, 'body' | 'trailers' | 'end' | 'complete' | 'fault'>;

function bodyOf(text: string, at: number, { kind, length }: Framing, own: boolean): Body {
  if (kind === 'none') return { body: '', trailers: [], end: at, complete: true, fault: null };
  if (kind === 'chunked') return chunksOf(text, at, own);
  const end = kind === 'close' ? text.length : Math.min(text.length, at + length);
  return { body: text.slice(at, end), trailers: [], end, complete: kind === 'length' && end === at + length, fault: null };
}

function chunksOf(text: string, from: number, own: boolean): Body {
  let body = '';
  let at = from;
  const stopped = (fault: string | null): Body => ({ body, trailers: [], end: text.length, complete: false, fault });
  for (;;) {
    const line = text.indexOf('\r\n', at);
    if (line === -1) return stopped(null);
    const size = SIZE_LINE.exec(text.slice(at, line));
    if (size === null || (own && !OWN_SIZE.test(text.slice(at, line)))) return stopped(`chunk line ${JSON.stringify(text.slice(at, Math.min(line, at + 60)))}`);
    const bytes = Number.parseInt(size[1], 16);
    if (!Number.isSafeInteger(bytes)) return stopped(`chunk size ${size[1]}`);
    at = line + 2;
    if (bytes === 0) break;
    body += text.slice(at, at + bytes);
    if (text.length < at + bytes + 2) return stopped(null);
    if (text.slice(at + bytes, at + bytes + 2) !== '\r\n') return stopped('chunk data without CRLF behind it');
    at += bytes + 2;
  }
  if (text.startsWith('\r\n', at)) return { body, trailers: [], end: at + 2, complete: true, fault: null };
  const stop = text.indexOf('\r\n\r\n', at);
  if (stop === -1) return stopped(null);
  const trailers = fieldsOf(text.slice(at, stop).split('\r\n'));
  if (typeof trailers === 'string') return stopped(`trailer ${trailers}`);
  const forbidden = own ? trailers.find(([name]) => FORBIDDEN_TRAILER.test(name.toLowerCase().replaceAll('_', '-'))) : undefined;
  return forbidden === undefined ? { body, trailers, end: stop + 4, complete: true, fault: null } : stopped(`trailer ${forbidden[0]}`);
}

/** What no message of the proxy may carry, on either side. */
function strayField(fields: readonly Field[], connections: readonly string[]): string | null {
  for (const [name, value] of fields) {
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.test(lower)) return `${name} went on`;
    if (ALIAS.test(lower)) return `${name} went on: it aliases a name that is trusted`;
    if (lower === 'connection' && !connections.includes(value)) return `Connection: ${value}`;
  }
  return valuesOf(fields, 'connection').length > 1 ? 'two Connection fields' : null;
}

function targetFault(method: string, target: string, own: boolean): string | null {
  if (/^connect$/i.test(method)) return method;
  if (target.startsWith('/') || (target === '*' && method === 'OPTIONS')) return null;
  const absolute = ABSOLUTE.exec(target);
  return !own && absolute !== null && HOST.test(absolute[1]) ? null : `target ${target.slice(0, 80)}`;
}

/** The target that goes on: of an absolute one its path and query (RFC 9112 §3.2.2, and §3.2.4 for `*`). */
export function forwardedTarget(method: string, target: string): string {
  const rest = ABSOLUTE.exec(target)?.[2];
  if (rest === undefined || rest.startsWith('/')) return rest ?? target;
  return rest === '' && method === 'OPTIONS' ? '*' : `/${rest}`;
}

/**
 * The request at `at`.
 * @param own it is one that the proxy has written.
 */
export function judgeRequest(text: string, at: number, own: boolean): Judgement {
  let from = at;
  if (!own) for (let i = 0; i < 2 && text.startsWith('\r\n', from); i++) from += 2;
  const head = headOf(text, from, REQUEST_LINE);
  if (head === null || typeof head === 'string') return head;
  const [, method, target, minor] = head.start;
  const { fields } = head;
  const wrong = targetFault(method, target, own);
  if (wrong !== null) return wrong;
  const hosts = valuesOf(fields, 'host');
  if (hosts.length > 1 || (minor === '1' && hosts.length === 0)) return `${hosts.length} Host fields`;
  if (hosts.length === 1 && !HOST.test(hosts[0])) return `Host ${hosts[0]}`;
  if (valuesOf(fields, 'expect').some((value) => value.toLowerCase() !== '100-continue')) return 'an expectation';
  const framing = framingOf(fields, minor, own);
  if (typeof framing === 'string') return framing;
  if (own) {
    const stray = minor === '1' ? strayField(fields, ['Upgrade', 'TE']) : `HTTP/1.${minor}`;
    if (stray !== null) return stray;
    if (valuesOf(fields, 'upgrade').length !== (valuesOf(fields, 'connection').includes('Upgrade') ? 1 : 0)) return 'Upgrade without Connection';
  }
  return { start: [method, target, minor], fields, framing: framing.kind, headEnd: head.end, ...bodyOf(text, head.end, framing, own) };
}

export interface Question {
  readonly method: string;
  readonly upgrade: boolean;
}

/** The answer at `at` to a request. A body without framing goes on to the end of `text` and is never complete by itself. */
export function judgeResponse(text: string, at: number, asked: Question, own: boolean): Judgement {
  const head = headOf(text, at, STATUS_LINE);
  if (head === null || typeof head === 'string') return head;
  const [, minor, status, reason] = head.start;
  const { fields } = head;
  const said = framingOf(fields, minor, own);
  if (typeof said === 'string') return said;
  if (status === '101' && !asked.upgrade) return '101 that nobody asked for';
  const bodiless = asked.method === 'HEAD' || status.startsWith('1') || status === '204' || status === '304';
  if (own) {
    const stray = minor === '1' ? strayField(fields, status === '101' ? ['Upgrade'] : ['close', 'keep-alive']) : `HTTP/1.${minor}`;
    if (stray !== null) return stray;
    if (said.kind !== 'none' && (status.startsWith('1') || status === '204')) return `a framing field in ${status}`;
  }
  const framing: Framing = bodiless ? { kind: 'none', length: 0 } : said.kind === 'none' ? { kind: 'close', length: 0 } : said;
  return { start: [status, reason, minor], fields, framing: framing.kind, headEnd: head.end, ...bodyOf(text, head.end, framing, own) };
}
