import type { AnswerTurn } from './answer-rules.ts';
import { CONNECTION, FIELD } from './fields.ts';
import { BODY } from './request-head.ts';
import type { Body } from './request-head.ts';
import type { ResponseHead } from './response-head.ts';
import type { HeadWriter } from './writer.ts';

/** How an answer goes on to the client. */
export interface Delivery {
  /** HTTP/1.minor of the client. */
  readonly minor: number;
  /** Framing towards the client. */
  readonly body: Body;
  /** The client connection ends after this answer. */
  readonly close: boolean;
  /** A current `Date: …` line with CRLF, for answers that have none (RFC 9110 §6.6.1). */
  readonly date: Buffer;
  /** Further field lines, each with CRLF; '' = none. */
  readonly extra: string;
  /** The rules of the route; null = none. */
  readonly turn: AnswerTurn | null;
}

const DROP = new Uint8Array(32);
for (const id of [FIELD.alias, FIELD.connection, FIELD.transferEncoding, FIELD.keepAlive, FIELD.proxyConnection, FIELD.te, FIELD.upgrade, FIELD.http2Settings])
  DROP[id] = 1;

const STATUS_LINE = 'HTTP/1.1 ';

/**
 * Writes the head that goes to the client, from what was parsed: our version, one framing field,
 * nothing hop-by-hop. Set-Cookie lines and all others keep their order (RFC 9110 §5.3).
 */
export function writeResponse(out: HeadWriter, head: ResponseHead, src: Buffer, how: Delivery): void {
  out.text(STATUS_LINE);
  out.copy(src, head.start + STATUS_LINE.length, head.reasonEnd);
  out.text('\r\n');
  const { status } = head;
  const switching = status === 101;
  copyFields(out, head, src, how);
  if (switching) out.text('Connection: Upgrade\r\n');
  else if (status >= 200) {
    if (how.body === BODY.chunked) out.text('Transfer-Encoding: chunked\r\n');
    if (how.close) out.text('Connection: close\r\n');
    else if (how.minor === 0) out.text('Connection: keep-alive\r\n');
    if (!head.dated) out.bytes(how.date);
  }
  if (how.turn !== null && how.turn.answer !== null && status >= 200) out.text(how.turn.answer.written(how.turn.words, head.fields, src));
  if (how.extra !== '') out.text(how.extra);
  out.text('\r\n');
}

function copyFields(out: HeadWriter, head: ResponseHead, src: Buffer, how: Delivery): void {
  const { fields } = head;
  const { ids, spans, count, end } = fields;
  const nominated = (head.connection & CONNECTION.other) !== 0;
  const rules = how.turn === null || head.status < 200 ? null : how.turn.answer;
  const lengthless = head.status < 200 || head.status === 204;
  let run = -1;
  for (let i = 0; i < count; i++) {
    const id = ids[i];
    let drop = DROP[id] === 1;
    if (id === FIELD.other) drop = nominated && fields.nominates(src, spans[i * 4], spans[i * 4 + 1]);
    else if (id === FIELD.contentLength) drop = lengthless || (src[spans[i * 4 + 2]] === 0x30 && spans[i * 4 + 3] - spans[i * 4 + 2] > 1);
    else if (id === FIELD.upgrade) drop = head.status !== 101;
    else if (id === FIELD.trailer) drop = how.body !== BODY.chunked;
    if (rules !== null) drop ||= rules.drops(src, spans[i * 4], spans[i * 4 + 1]);
    if (drop) {
      if (run !== -1) out.copy(src, run, spans[i * 4]);
      run = -1;
      if (id === FIELD.contentLength && !lengthless) out.text(`Content-Length: ${head.length}\r\n`);
    } else if (run === -1) run = spans[i * 4];
  }
  if (run !== -1) out.copy(src, run, end - 2);
}
