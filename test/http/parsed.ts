import { BODY, RequestHead } from '../../src/http/request-head.ts';
import type { HeadLimits } from '../../src/http/request-head.ts';
import { ResponseHead } from '../../src/http/response-head.ts';
import type { Asked } from '../../src/http/response-head.ts';
import type { FieldBlock } from '../../src/http/fields.ts';

/** The defaults; the codec is told its limits. */
export const LIMITS: HeadLimits = { head: 32_768, headers: 100, target: 8_192 };
export const PLAIN: Asked = { head: false, upgrade: false };

/** Bytes that stand before and behind a message in its buffer: whoever reads them reads what is not his. */
const BEFORE = 7;
export const POISONS = ['\r\n\r\n\r\n\r\n', 'aaaaaaaaaaaa', ': \t;"1', '\n\r\n'] as const;

export function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** The bytes [0, to) of `bytes` in the middle of a larger buffer, with something misleading around them. */
function embedded(bytes: Buffer, to: number, poison: string): Buffer {
  return Buffer.concat([latin1(poison.padEnd(BEFORE, poison).slice(0, BEFORE)), bytes.subarray(0, to), latin1(poison)]);
}

const FRAMING = Object.fromEntries(Object.entries(BODY).map(([name, value]) => [value, name]));

function linesOf(fields: FieldBlock, buf: Buffer): string[] {
  return Array.from({ length: fields.count }, (_, i) => `${buf.toString('latin1', fields.spans[i * 4], fields.spans[i * 4 + 1])}=${fields.value(buf, i)}`);
}

/** What a request head was understood to say, free of offsets. */
export interface RequestMeaning {
  readonly method: string;
  readonly target: string;
  readonly minor: number;
  readonly authority: string | null;
  readonly host: string | null;
  readonly absolute: boolean;
  readonly body: string;
  readonly length: number;
  readonly keepAlive: boolean;
  readonly upgrade: string | null;
  readonly expectContinue: boolean;
  readonly trailers: boolean;
  readonly fields: readonly string[];
  /** Bytes of the head, ignored empty lines before it included. */
  readonly size: number;
}

export function requestMeaning(head: RequestHead, buf: Buffer, from = 0): RequestMeaning {
  const text = (start: number, end: number): string => buf.toString('latin1', start, end);
  return {
    method: text(head.start, head.methodEnd),
    target: text(head.targetStart, head.targetEnd),
    minor: head.minor,
    authority: head.authorityStart === -1 ? null : text(head.authorityStart, head.authorityEnd),
    host: head.authorityStart === -1 ? null : text(head.authorityStart, head.hostEnd),
    absolute: head.absolute,
    body: FRAMING[head.body],
    length: head.length,
    keepAlive: head.keepAlive,
    upgrade: head.upgrade === -1 ? null : head.fields.value(buf, head.upgrade),
    expectContinue: head.expectContinue,
    trailers: head.trailers,
    fields: linesOf(head.fields, buf),
    size: head.end - from,
  };
}

/** What came of the bytes: the meaning of a whole head, the code of a fault, or `more`. */
export type RequestVerdict = RequestMeaning | string;

/**
 * Reads a request head that arrives in the pieces that `cuts` (ascending offsets) make of it, the way a connection does:
 * in one growing buffer, with one parser.
 */
export function readRequest(bytes: Buffer | string, cuts: readonly number[] = [], limits = LIMITS, poison: string = POISONS[0]): RequestVerdict {
  const all = typeof bytes === 'string' ? latin1(bytes) : bytes;
  const head = new RequestHead(limits);
  head.begin(BEFORE);
  for (const to of [...cuts, all.length]) {
    const buf = embedded(all, to, poison);
    if (head.parse(buf, BEFORE + to)) return requestMeaning(head, buf, BEFORE);
    if (head.fault !== null) return head.fault.code;
  }
  return 'more';
}

/** A head that has to be valid, with its parser, for what is written from it. */
export function parsedRequest(text: string): { head: RequestHead; buf: Buffer } {
  const head = new RequestHead(LIMITS);
  const buf = latin1(text);
  head.begin(0);
  if (!head.parse(buf, buf.length)) throw new Error(`not a request head (${head.fault?.code ?? 'more'}): ${JSON.stringify(text)}`);
  return { head, buf };
}

export interface ResponseMeaning {
  readonly status: number;
  readonly reason: string;
  readonly minor: number;
  readonly body: string;
  readonly length: number;
  readonly keepAlive: boolean;
  readonly keepAliveSeconds: number;
  readonly dated: boolean;
  readonly contentType: string | null;
  readonly fields: readonly string[];
  readonly size: number;
}

export function responseMeaning(head: ResponseHead, buf: Buffer, from = 0): ResponseMeaning {
  return {
    status: head.status,
    reason: buf.toString('latin1', head.reasonStart, head.reasonEnd),
    minor: head.minor,
    body: FRAMING[head.body],
    length: head.length,
    keepAlive: head.keepAlive,
    keepAliveSeconds: head.keepAliveSeconds,
    dated: head.dated,
    contentType: head.contentType === -1 ? null : head.fields.value(buf, head.contentType),
    fields: linesOf(head.fields, buf),
    size: head.end - from,
  };
}

/** As `readRequest`; a refused head is its problem in words. */
export function readResponse(bytes: Buffer | string, asked = PLAIN, cuts: readonly number[] = [], poison: string = POISONS[0]): ResponseMeaning | string {
  const all = typeof bytes === 'string' ? latin1(bytes) : bytes;
  const head = new ResponseHead();
  head.begin(BEFORE);
  for (const to of [...cuts, all.length]) {
    const buf = embedded(all, to, poison);
    if (head.parse(buf, BEFORE + to, asked)) return responseMeaning(head, buf, BEFORE);
    if (head.problem !== null) return head.problem;
  }
  return 'more';
}

export function parsedResponse(text: string, asked = PLAIN): { head: ResponseHead; buf: Buffer } {
  const head = new ResponseHead();
  const buf = latin1(text);
  head.begin(0);
  if (!head.parse(buf, buf.length, asked)) throw new Error(`not a response head (${head.problem ?? 'more'}): ${JSON.stringify(text)}`);
  return { head, buf };
}

/** Every offset inside `length` bytes: the message arrives byte by byte. */
export function everyByte(length: number): number[] {
  return Array.from({ length: Math.max(0, length - 1) }, (_, i) => i + 1);
}
