import { bytes, isWord } from './chars.ts';
import { FIELD } from './fields.ts';
import type { FieldBlock } from './fields.ts';

const CONTENT_TYPE = bytes('application/grpc');
const PLUS = 0x2b;
const SEMICOLON = 0x3b;

/** Whether a request is a gRPC call: `application/grpc`, `application/grpc+proto`, … (not gRPC-Web, which is another protocol). */
export function speaksGrpc(fields: FieldBlock, buf: Uint8Array): boolean {
  const at = fields.find(FIELD.contentType);
  if (at === -1) return false;
  const from = fields.spans[at * 4 + 2];
  const end = from + CONTENT_TYPE.length;
  const to = fields.spans[at * 4 + 3];
  return to >= end && isWord(buf, from, end, CONTENT_TYPE) && (to === end || buf[end] === PLUS || buf[end] === SEMICOLON);
}

/** Statuses of gRPC by those of HTTP, as its clients map them themselves; and what is too large, which they call so too. Any other is UNKNOWN. */
const STATUSES: Readonly<Record<number, number>> = { 400: 13, 401: 16, 403: 7, 404: 12, 413: 8, 429: 14, 431: 8, 502: 14, 503: 14, 504: 14 };
const UNKNOWN = 2;

/** How a call that fails with a status of HTTP ends, as fields of its trailers. */
export function grpcFields(status: number, message: string): [string, string][] {
  return [
    ['grpc-status', `${STATUSES[status] ?? UNKNOWN}`],
    ['grpc-message', message.replaceAll(/[^ -$&-~]/gu, (each) => encodeURIComponent(each))],
  ];
}
