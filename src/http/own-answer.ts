import { CHALLENGE, FAILURE, REDIRECT, REJECT } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import type { AnswerRules, AnswerTurn } from './answer-rules.ts';
import { bytes } from './chars.ts';
import { FIELD } from './fields.ts';
import type { FieldBlock } from './fields.ts';
import { grpcFields, speaksGrpc } from './grpc.ts';
import { MEDIA_TYPE, type CompiledPage } from './pages.ts';
import type { Words } from './template.ts';

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
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
  [REJECT.queueFull, 'connection_limit_reached'],
  [REJECT.queueTimeout, 'connection_limit_reached'],
  [REJECT.connections, 'connection_limit_reached'],
  [REJECT.clientConnections, 'connection_limit_reached'],
  [FAILURE.dialFailed, 'connection_refused'],
  [FAILURE.dialTimeout, 'connection_timeout'],
  [FAILURE.reset, 'connection_terminated'],
  [FAILURE.badResponse, 'http_protocol_error'],
  [FAILURE.headTimeout, 'http_response_timeout'],
  [FAILURE.idleTimeout, 'http_response_timeout'],
  [FAILURE.truncated, 'http_response_incomplete'],
]);

/** What the client reads: words, JSON, or the trailers of a gRPC call. */
export type AnswerForm = 'text' | 'json' | 'grpc';

export interface AnswerStyle {
  readonly form: AnswerForm;
  readonly close: boolean;
  /** The request was HEAD: no body. */
  readonly head: boolean;
  /** A current `Date: …` line with CRLF. */
  readonly date: Buffer;
  /** What the route of the request says about its answers; null = nothing. */
  readonly turn?: AnswerTurn | null;
  readonly details?: AnswerDetails | null;
  /** The operator's page; null = the proxy's own words. Clients that ask for JSON get it only when it is JSON. */
  readonly page?: CompiledPage | null;
  readonly requestId?: string;
}

/** What a route decides about the proxy's own answer to one request. */
export interface AnswerDetails {
  /** Instead of the fault's. */
  readonly status?: number;
  /** Methods, for a 405. */
  readonly allow?: string;
  readonly location?: string;
  /** Seconds. */
  readonly retryAfter?: number;
  readonly page?: CompiledPage | null;
  /** The whole body, whatever the client likes best. */
  readonly text?: string;
}

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/**
 * An answer of the proxy itself: small, plain text, JSON or the operator's page, with Proxy-Status (RFC 9209) and the reason. A gRPC
 * call fails by a head that is all there is (Trailers-Only).
 */
export function ownAnswer(fault: Fault, style: AnswerStyle): Buffer {
  const { details = null, turn = null } = style;
  const status = details?.status ?? fault.status;
  const isCall = style.form === 'grpc' && status >= 400;
  const said = isCall ? 200 : status;
  const reason = REASONS[said] ?? 'Error';
  const { body, type } = isCall ? TRAILERS_ONLY : content(fault, status, reason, style);
  const fields: [string, string][] = [
    ['Content-Type', type],
    ['Content-Length', `${body.length}`],
    ['Proxy-Status', `switchyard; ${errorType(fault)}details="${fault.code}"`],
  ];
  if (isCall) fields.push(...grpcFields(status, fault.text));
  if (details?.location !== undefined) fields.push(['Location', details.location]);
  else fields.push(['Cache-Control', 'no-store']);
  const retryAfter = details?.retryAfter ?? (status === 503 || status === 429 ? 1 : undefined);
  if (retryAfter !== undefined) fields.push(['Retry-After', `${retryAfter}`]);
  if (status === 405 || fault === REJECT.maxForwards) fields.push(['Allow', details?.allow ?? METHODS]);
  if (style.close) fields.push(['Connection', 'close']);
  const lines = turn?.answer == null ? fields.map(lineOf).join('') : ruled(fields, turn.answer, turn.words);
  const head = Buffer.from(`HTTP/1.1 ${said} ${reason}\r\n${lines}${style.date.toString('latin1')}\r\n`, 'latin1');
  return style.head ? head : Buffer.concat([head, body]);
}

function lineOf([name, value]: readonly [string, string]): string {
  return `${name}: ${value}\r\n`;
}

/** The lines without those that the rules set or remove, and with what they say. */
function ruled(fields: readonly (readonly [string, string])[], answer: AnswerRules, words: Words): string {
  const kept = fields.filter(([name]) => !answer.drops(bytes(name), 0, name.length));
  return kept.map(lineOf).join('') + answer.written(words, null, NOTHING);
}

const NOTHING = new Uint8Array();
const TRAILERS_ONLY = { body: Buffer.alloc(0), type: 'application/grpc' } as const;

/** Error type of RFC 9209; none for what is no error. */
function errorType(fault: Fault): string {
  if (fault === REDIRECT || fault === CHALLENGE || fault === REJECT.maxForwards) return '';
  return `error=${STATUS_ERRORS.get(fault) ?? (fault.blame === 'client' ? 'http_request_error' : 'proxy_internal_response')}; `;
}

function content(fault: Fault, status: number, reason: string, { form, details, page, requestId = '' }: AnswerStyle): { body: Buffer; type: string } {
  const json = form === 'json';
  if (details?.text !== undefined) return { body: Buffer.from(details.text, 'latin1'), type: 'application/octet-stream' };
  const own = details?.page ?? page ?? null;
  if (own !== null && (!json || own.type === 'json')) {
    return { body: own.render({ status: `${status}`, reason, code: fault.code, request_id: requestId }), type: MEDIA_TYPE[own.type] };
  }
  if (json) return { body: Buffer.from(`${JSON.stringify({ status, code: fault.code, detail: fault.text })}\n`, 'latin1'), type: MEDIA_TYPE.json };
  return { body: Buffer.from(`${status} ${reason}: ${fault.text}\n`, 'latin1'), type: MEDIA_TYPE.txt };
}

/** Requests that are refused for this were read as they were meant: the connection goes on. */
const UNDERSTOOD: ReadonlySet<Fault> = new Set([REJECT.noRoute, REJECT.methodRefused, REJECT.rateLimited, REJECT.maxForwards, REDIRECT, CHALLENGE]);

/** Whether the connection of a client ends with this answer. */
export function endsConnection(fault: Fault): boolean {
  return fault.status < 500 && !UNDERSTOOD.has(fault);
}

/** What the client asks for. @param http2 over which alone there are gRPC calls */
export function formFor(fields: FieldBlock, buf: Buffer, http2: boolean): AnswerForm {
  if (http2 && speaksGrpc(fields, buf)) return 'grpc';
  const at = fields.find(FIELD.accept);
  return at !== -1 && fields.value(buf, at).includes('application/json') ? 'json' : 'text';
}
