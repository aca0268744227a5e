import { TOKEN, VALUE } from './chars.ts';
import { FIELD } from './fields.ts';
import { BODY } from './request-head.ts';
import type { Body, RequestHead } from './request-head.ts';
import type { HeadWriter } from './writer.ts';

/** Fields of a request that speak of one connection (RFC 9113 §8.2.2), or are said in another way. */
const DROP = new Uint8Array(64);
for (const id of [FIELD.host, FIELD.connection, FIELD.transferEncoding, FIELD.keepAlive, FIELD.proxyConnection, FIELD.upgrade, FIELD.http2Settings, FIELD.te])
  DROP[id] = 1;

/** The same in an answer, where a backend that sends them is broken. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

/**
 * The head of a request, which this proxy has written as HTTP/1.1, as HTTP/2 says it (RFC 9113 §8.3.1): name, value, name, value, ….
 * @param scheme of the connection that it goes over
 */
export function requestFields(head: RequestHead, buf: Buffer, scheme: 'http' | 'https'): string[] {
  const { fields } = head;
  const text = (from: number, to: number): string => buf.toString('latin1', from, to);
  const all = [':method', text(head.start, head.methodEnd), ':scheme', scheme, ':authority', text(head.authorityStart, head.authorityEnd)];
  all.push(':path', text(head.targetStart, head.targetEnd));
  for (let i = 0; i < fields.count; i++) {
    if (DROP[fields.ids[i]] === 1) continue;
    all.push(text(fields.spans[i * 4], fields.spans[i * 4 + 1]).toLowerCase(), fields.value(buf, i));
  }
  if (head.trailers) all.push('te', 'trailers');
  return all;
}

export interface H2Answer {
  /** Name, value, name, value, …, as they came. */
  readonly fields: readonly string[];
  /** The head has ended the stream. */
  readonly ended: boolean;
  /** It answers a HEAD. */
  readonly head: boolean;
  /** What HTTP/1.1 calls each status; HTTP/2 has no words for them. */
  readonly phrases: Readonly<Record<number, string | undefined>>;
}

/** How the body of an answer goes on as HTTP/1.1; null = this is no head of an answer. */
export type AnswerFraming = { readonly status: number; readonly body: Body; readonly length: number } | null;

/**
 * Writes the head of an answer as HTTP/1.1, for the one strict reader of answers to judge. What could be read as more than one line,
 * or frames the body in another way than the stream does, is refused here. A body without a length is chunked; so is one that
 * trailers may follow (gRPC, or announced), since they have no other place.
 */
export function writeAnswer(out: HeadWriter, { fields, ended, head, phrases }: H2Answer): AnswerFraming {
  const status = fields[0] === ':status' && /^[1-5]\d\d$/.test(fields[1]) ? Number(fields[1]) : 0;
  if (status === 0 || status === 101) return null;
  out.text(`HTTP/1.1 ${status} ${phrases[status] ?? ''}\r\n`);
  let length = -1;
  let trailers = false;
  for (let i = 2; i < fields.length; i += 2) {
    const [name, value] = [fields[i], fields[i + 1]];
    if (!isField(name, value) || CONNECTION_FIELDS.has(name)) return null;
    if (name === 'content-length') {
      if (length !== -1 || !/^\d{1,15}$/.test(value)) return null;
      length = Number(value);
      continue;
    }
    trailers ||= name === 'trailer' || (name === 'content-type' && value.startsWith('application/grpc'));
    out.text(`${name}: ${value}\r\n`);
  }
  const body = framing(status, head, ended, trailers ? -1 : length);
  if (body === BODY.chunked) out.text('Transfer-Encoding: chunked\r\n');
  else if (body === BODY.length) out.text(`Content-Length: ${Math.max(0, length)}\r\n`);
  else if (length !== -1 && status >= 200 && status !== 204) out.text(`Content-Length: ${length}\r\n`);
  // One stream, one request: nothing else comes this way.
  if (status >= 200) out.text('Connection: close\r\n');
  out.text('\r\n');
  return { status, body, length: body === BODY.length ? Math.max(0, length) : 0 };
}

function framing(status: number, head: boolean, ended: boolean, length: number): Body {
  if (head || status < 200 || status === 204 || status === 304) return BODY.none;
  return ended || length !== -1 ? BODY.length : BODY.chunked;
}

function isField(name: string, value: string): boolean {
  return name !== '' && all(name, TOKEN) && all(value, VALUE);
}

function all(text: string, table: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || table[code] !== 1) return false;
  }
  return true;
}
