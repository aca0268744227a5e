/** The two messages of grpc.health.v1.Health/Check, by hand: each has one field. */

const SERVING = 1;
const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** Statuses of gRPC that a health check meets. */
const CODES: Readonly<Record<string, string>> = {
  '5': 'NOT_FOUND: the service is not known there',
  '12': 'UNIMPLEMENTED: the backend has no health service (grpc.health.v1)',
  '14': 'UNAVAILABLE',
  '16': 'UNAUTHENTICATED',
};

/**
 * A HealthCheckRequest as gRPC frames it: 0 (not compressed), the length in 4 bytes, the message. The message is field 1 of wire type 2
 * (0x0a), the length of the name as a varint, the name; nothing at all for ''.
 */
export function checkRequest(service: string): Buffer {
  const name = Buffer.from(service, 'utf8');
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, value >> 7];
}

/**
 * What is wrong with the answer of a gRPC health check, or null.
 * @param code grpc-status, from the trailers or, when there is nothing but a head, from there
 * @param body a HealthCheckResponse in its frame: field 1 of wire type 0 (0x08) is the status; absent = 0, UNKNOWN
 */
export function checkComplaint(httpStatus: number, code: unknown, message: unknown, body: Buffer): string | null {
  if (httpStatus !== 200) return `status ${httpStatus}, expected 200 (is it a gRPC server?)`;
  if (typeof code !== 'string') return 'no grpc-status: it is no gRPC server';
  if (code !== '0') return `grpc-status ${CODES[code] ?? code}${typeof message === 'string' && !(code in CODES) ? ` (${message.slice(0, 60)})` : ''}`;
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return 'the message of the answer is not valid';
  if (body.length === 5) return `the service says ${STATUSES[0]}`;
  if (body[5] !== 0x08 || body.length < 7) return 'the message of the answer is not valid';
  return body[6] === SERVING ? null : `the service says ${STATUSES[body[6]] ?? body[6]}`;
}
