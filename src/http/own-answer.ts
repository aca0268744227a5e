import { FAILURE, REJECT } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import { FIELD } from './fields.ts';
import type { FieldBlock } from './fields.ts';

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};

/** Error types of RFC 9209 §2.3 for faults that have one; the others are `http_request_error` or `proxy_internal_response`. */
const STATUS_ERRORS = new Map<Fault, string>([
  [REJECT.unavailable, 'destination_unavailable'],
  [REJECT.noRoute, 'destination_not_found'],
  [REJECT.backendsFull, 'connection_limit_reached'],
  [REJECT.connections, 'connection_limit_reached'],
  [FAILURE.dialFailed, 'connection_refused'],
  [FAILURE.dialTimeout, 'connection_timeout'],
  [FAILURE.reset, 'connection_terminated'],
  [FAILURE.badResponse, 'http_protocol_error'],
  [FAILURE.headTimeout, 'http_response_timeout'],
  [FAILURE.idleTimeout, 'http_response_timeout'],
  [FAILURE.truncated, 'http_response_incomplete'],
]);

export interface AnswerStyle {
  readonly json: boolean;
  readonly close: boolean;
  /** The request was HEAD: no body. */
  readonly head: boolean;
  /** A current `Date: …` line with CRLF. */
  readonly date: Buffer;
}

/** An answer of the proxy itself: small, plain text or JSON, with Proxy-Status (RFC 9209) and the reason. */
export function ownAnswer(fault: Fault, style: AnswerStyle): Buffer {
  const body = style.json
    ? `${JSON.stringify({ status: fault.status, code: fault.code, detail: fault.text })}\n`
    : `${fault.status} ${REASONS[fault.status]}: ${fault.text}\n`;
  const type = STATUS_ERRORS.get(fault) ?? (fault.blame === 'client' ? 'http_request_error' : 'proxy_internal_response');
  const head =
    `HTTP/1.1 ${fault.status} ${REASONS[fault.status]}\r\n` +
    `Content-Type: ${style.json ? 'application/json' : 'text/plain'}; charset=utf-8\r\nContent-Length: ${body.length}\r\n` +
    `Proxy-Status: switchyard; error=${type}; details="${fault.code}"\r\nCache-Control: no-store\r\n` +
    (fault.status === 503 ? 'Retry-After: 1\r\n' : '') +
    (fault.status === 405 ? 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n' : '') +
    (style.close ? 'Connection: close\r\n' : '');
  return Buffer.from(`${head}${style.date.toString('latin1')}\r\n${style.head ? '' : body}`, 'latin1');
}

/** Whether the client asks for JSON. */
export function wantsJson(fields: FieldBlock, buf: Buffer): boolean {
  const at = fields.find(FIELD.accept);
  return at !== -1 && fields.value(buf, at).includes('application/json');
}
