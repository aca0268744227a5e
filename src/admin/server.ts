import { createServer, STATUS_CODES } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { WebSocketServer } from 'ws';
import type { Operations } from '../control/operations.ts';
import { Refusal, REFUSAL } from '../errors/catalogue.ts';
import { readBody } from './_body.ts';
import { callerOf, checkInputs, targetOf } from './_call.ts';
import type { Answer, Endpoint, Stream } from './_endpoint.ts';
import { EventsQuery } from './_inputs.ts';
import { Guard, isLoopback } from './_guard.ts';
import type { AdminToken } from './_guard.ts';
import { fingerprintOf, IdempotencyStore } from './_idempotency.ts';
import { invalid, problemAnswer } from './_problem.ts';
import { plainIssues } from './_issues.ts';
import { streamWebSocket } from './_stream.ts';
import { matchEndpoint } from './endpoints.ts';

/** Each worker that reports holds one. */
const MAX_CONNECTIONS = 2_048;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 60_000;
const MAX_HEAD_BYTES = 16 * 1024;
/** Consumers send nothing but control frames. */
const MAX_MESSAGE_BYTES = 4 * 1024;
/** How long calls that are being answered may go on after close(), in milliseconds. */
const CLOSE_GRACE_MS = 2_000;
const CLOSE_SWEEP_MS = 20;

/** Takes one line of the admin API's log: who did what, and what failed inside. Tokens are never in it. */
export type AdminLog = (level: 'info' | 'error', message: string, facts: Readonly<Record<string, unknown>>) => void;

export interface AdminOptions {
  /** Address or name to listen on; anything but loopback needs a token. */
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Empty = everybody who can reach it may do everything. */
  readonly tokens: readonly AdminToken[];
  readonly operations: Operations;
  /** The text of GET /metrics. */
  readonly metrics: () => Promise<{ contentType: string; text: string }>;
  /** Names that the Host field may carry, beside loopback, `host` and the address of the connection. */
  readonly allowedHosts?: readonly string[];
  readonly log: AdminLog;
  /** Epoch milliseconds; defaults to the wall clock. */
  readonly now?: () => number;
}

export interface AdminServer {
  readonly address: { readonly host: string; readonly port: number };
  /** Stops listening, ends streams and long polls, and resolves once every connection is closed (at most about 2 s). */
  close(): Promise<void>;
}

/** What every request of a server shares. */
interface Room {
  readonly options: AdminOptions;
  readonly guard: Guard;
  readonly keys: IdempotencyStore;
  readonly closing: AbortController;
}

/**
 * Starts the admin API.
 * @throws Refusal `invalid` when the address is not loopback and there is no token, or when it cannot be listened on.
 */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const { host, port, tokens, allowedHosts = [] } = options;
  if (tokens.length === 0 && !isLoopback(host)) {
    const message = `expected a token because ${host} can be reached from other machines: set admin.token, or listen on 127.0.0.1`;
    throw invalid([{ path: 'admin.token', message }]);
  }
  const room: Room = {
    options,
    guard: new Guard(tokens, [host, ...allowedHosts]),
    keys: new IdempotencyStore(options.now ?? Date.now),
    closing: new AbortController(),
  };
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: MAX_HEAD_BYTES,
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
    },
    (request, response) => void answerRequest(room, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false, clientTracking: true });
  server.on('upgrade', (request, socket: Duplex, head) => upgrade(room, sockets, request, socket, head));
  server.on('clientError', refuseBroken);
  await listen(server, host, port);
  server.on('error', (error) => options.log('error', 'admin listener failed', { stack: error.stack }));
  const bound = server.address() as AddressInfo;
  return { address: { host: bound.address, port: bound.port }, close: () => closeServer(server, sockets, room.closing) };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      const why = error.code === 'EADDRINUSE' ? 'another process listens on it already' : error.message;
      reject(invalid([{ path: 'admin', message: `cannot listen on ${host}:${port}: ${why}` }]));
    };
    server.once('error', fail);
    server.listen({ host, port }, () => {
      server.off('error', fail);
      resolve();
    });
  });
}

async function closeServer(server: Server, sockets: WebSocketServer, closing: AbortController): Promise<void> {
  if (closing.signal.aborted) return;
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  closing.abort();
  // A connection whose answer ends only now would stay open for as long as keep-alive allows.
  const sweep = setInterval(() => server.closeIdleConnections(), CLOSE_SWEEP_MS);
  const cut = setTimeout(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
  }, CLOSE_GRACE_MS);
  await closed;
  clearTimeout(cut);
  clearInterval(sweep);
}

/** One request, from its head to the end of its answer. Never rejects. */
async function answerRequest(room: Room, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  response.on('error', () => gone.abort());
  let answer: Answer | Stream;
  try {
    answer = await decide(room, request, AbortSignal.any([gone.signal, room.closing.signal]));
  } catch (error) {
    answer = refusalAnswer(room, request, error);
  }
  if (gone.signal.aborted) return;
  if ('stream' in answer) answer.stream(request, response);
  else await send(request, response, answer, room.closing.signal.aborted);
}

function refusalAnswer(room: Room, request: IncomingMessage, error: unknown): Answer {
  if (error instanceof Refusal) {
    return problemAnswer(error, error.fault === REFUSAL.unauthorized ? { 'www-authenticate': 'Bearer realm="switchyard"' } : {});
  }
  const stack = error instanceof Error ? error.stack : String(error);
  room.options.log('error', 'admin call failed', { method: request.method, path: targetOf(request).path, stack });
  return problemAnswer(new Refusal(REFUSAL.internal));
}

/** Guards, routes, checks and does what is asked for. */
async function decide(room: Room, request: IncomingMessage, signal: AbortSignal): Promise<Answer | Stream> {
  room.guard.checkOrigin(request);
  const target = targetOf(request);
  const match = matchEndpoint(request.method ?? 'GET', target.path);
  const by = room.guard.authorize(request, match.kind === 'found' ? match.endpoint.scope : 'read');
  if (match.kind === 'none') throw new Refusal(REFUSAL.notFound, `There is nothing at ${target.path.slice(0, 100)}. GET /v1/openapi.json lists what there is.`);
  if (match.kind === 'method') {
    const refusal = new Refusal(REFUSAL.methodNotAllowed, `${request.method} is not allowed here, only ${match.allow}.`);
    return problemAnswer(refusal, { allow: match.allow });
  }
  const bytes = await readBody(request);
  const run = async (): Promise<Answer | Stream> => perform(room, request, match.endpoint, match.params, target.query, bytes, by, signal);
  const key = request.headers['idempotency-key'];
  if (request.method !== 'POST' || typeof key !== 'string') return run();
  const owner = by.split('/')[0];
  // No POST answers with a stream.
  return room.keys.once(owner, key, fingerprintOf('POST', request.url ?? '', bytes), run as () => Promise<Answer>);
}

async function perform(
  room: Room,
  request: IncomingMessage,
  row: Endpoint,
  params: Record<string, string>,
  query: URLSearchParams,
  bytes: Buffer,
  by: string,
  signal: AbortSignal,
): Promise<Answer | Stream> {
  const { operations, metrics, log } = room.options;
  const inputs = checkInputs(row, params, query, bytes);
  const caller = row.conditional === true ? callerOf(request, by, inputs.params.upstream, operations) : { by };
  const answer = await row.handle({ ...inputs, caller, operations, metrics, signal });
  if (row.scope === 'operate' && 'status' in answer) log('info', row.id, { by, ...inputs.params, status: answer.status });
  return answer;
}

async function send(request: IncomingMessage, response: ServerResponse, answer: Answer, closing: boolean): Promise<void> {
  const body = answer.text?.body ?? (answer.json === undefined ? null : JSON.stringify(answer.json));
  response.statusCode = answer.status;
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  // A body that was not read to its end would be taken for the next request.
  if (closing || !request.complete) response.setHeader('connection', 'close');
  if (body !== null) {
    response.setHeader('content-type', answer.text?.type ?? 'application/json');
    response.setHeader('content-length', Buffer.byteLength(body));
  }
  response.end(body ?? undefined);
  if (!request.complete) await discard(request, response);
}

/** Reads on for a moment after a refusal, so that the client sees the answer and not a reset. */
async function discard(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const timer = setTimeout(() => request.destroy(), 1_000);
  request.resume();
  try {
    await Promise.all([finished(request), finished(response)]);
  } catch {
    request.destroy();
  } finally {
    clearTimeout(timer);
  }
}

/** GET /v1/events on upgrade; everything else is refused with a problem. */
function upgrade(room: Room, sockets: WebSocketServer, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on('error', () => socket.destroy());
  try {
    room.guard.checkOrigin(request);
    const { path, query } = targetOf(request);
    const match = matchEndpoint(request.method ?? 'GET', path);
    room.guard.authorize(request, 'read');
    if (match.kind !== 'found' || match.endpoint.id !== 'events') throw new Refusal(REFUSAL.notFound, 'Only /v1/events can be upgraded to a WebSocket.');
    const checked = EventsQuery.safeParse(Object.fromEntries(query), { reportInput: true });
    if (!checked.success) throw invalid(plainIssues(checked.error, 'query'));
    const { operations } = room.options;
    if (checked.data.upstream !== undefined) operations.upstream(checked.data.upstream);
    const lastEventId = request.headers['last-event-id'];
    const after = checked.data.lastEventId ?? (typeof lastEventId === 'string' ? lastEventId : null);
    sockets.handleUpgrade(request, socket, head, (client) => {
      streamWebSocket(operations, { upstream: checked.data.upstream, after }, client, room.closing.signal);
    });
  } catch (error) {
    endRaw(socket, refusalAnswer(room, request, error));
  }
}

function endRaw(socket: Duplex, { status, headers = {}, text }: Answer): void {
  const body = text?.body ?? '';
  const fields = { ...headers, 'content-type': text?.type ?? 'text/plain', 'content-length': Buffer.byteLength(body), connection: 'close' };
  const lines = Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines}\r\n${body}`);
}

/** Bytes that are not HTTP, a head that is too large, or one that took too long. */
function refuseBroken(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable || (socket as Socket).bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const [status, detail] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'The request head is larger than 16 KiB.']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'The request did not arrive in time.']
        : [400, 'The request is not valid HTTP/1.1.'];
  endRaw(socket, problemAnswer(new Refusal({ ...REFUSAL.invalid, status }, detail)));
}
