/**
 * Every error Switchyard can answer with, in one place: a stable code, the HTTP status it is
 * answered with, and who is to blame (which decides how it is counted and whether a retry helps).
 *
 * `operator` faults come out of the admin API and the CLI; `client`, `upstream` and `proxy` faults
 * out of the data plane. A data-plane code is also the `reason` label of
 * `switchyard_rejected_requests_total` or `switchyard_upstream_failures_total`.
 */
export type Blame = 'client' | 'upstream' | 'proxy' | 'operator';

export interface Fault {
  readonly code: string;
  readonly status: number;
  readonly blame: Blame;
  /** One sentence, shown to the person who gets the answer. */
  readonly text: string;
}

function fault(code: string, status: number, blame: Blame, text: string): Fault {
  return Object.freeze({ code, status, blame, text });
}

/** Faults found in a request, or while there is nowhere to send it. Nothing has been claimed. */
export const REJECT = {
  malformed: fault('malformed', 400, 'client', 'The request head is not valid HTTP/1.1.'),
  badMethod: fault('bad-method', 400, 'client', 'The request method is not a token.'),
  badTarget: fault('bad-target', 400, 'client', 'The request target is not valid.'),
  badField: fault('bad-field', 400, 'client', 'A header field is not valid.'),
  badHost: fault('bad-host', 400, 'client', 'The Host header field is missing, repeated or not valid.'),
  badFraming: fault('bad-framing', 400, 'client', 'The length of the request body is ambiguous.'),
  badChunk: fault('bad-chunk', 400, 'client', 'The chunked request body is not valid.'),
  ambiguousPath: fault('ambiguous-path', 400, 'client', 'The path can be read in two ways that lead to different places.'),
  tls: fault('tls-on-plain-port', 400, 'client', 'A TLS handshake was sent to a plain HTTP port.'),
  noRoute: fault('no-route', 404, 'client', 'No route matches this host and path.'),
  methodRefused: fault('method-refused', 405, 'client', 'This method is not served here.'),
  headTimeout: fault('head-timeout', 408, 'client', 'The request head did not arrive in time.'),
  bodyTimeout: fault('body-timeout', 408, 'client', 'The request body did not arrive in time.'),
  bodyTooLarge: fault('body-too-large', 413, 'client', 'The request body is larger than this upstream accepts.'),
  targetTooLong: fault('target-too-long', 414, 'client', 'The request target is too long.'),
  expectation: fault('expectation-failed', 417, 'client', 'Only the expectation 100-continue is supported.'),
  headTooLarge: fault('head-too-large', 431, 'client', 'The request head is too large or has too many fields.'),
  notImplemented: fault('not-implemented', 501, 'client', 'The transfer coding or method is not implemented.'),
  version: fault('version', 505, 'client', 'Only HTTP/1.0 and HTTP/1.1 are spoken here.'),
  connections: fault('connection-limit', 503, 'proxy', 'Too many connections.'),
  unavailable: fault('unavailable', 503, 'proxy', 'No backend is available for this upstream.'),
  backendsFull: fault('backends-full', 503, 'proxy', 'Every backend of this upstream is at its limit.'),
  holdFull: fault('hold-full', 503, 'proxy', 'This upstream is held and its queue is full.'),
  holdTimeout: fault('hold-timeout', 503, 'proxy', 'This upstream is held and the wait ran out.'),
  shuttingDown: fault('shutting-down', 503, 'proxy', 'The proxy is shutting down.'),
  maintenance: fault('maintenance', 503, 'proxy', 'This service is under maintenance.'),
  proxyProtocol: fault('proxy-protocol', 400, 'client', 'A proxy that must begin a connection with a PROXY protocol header did not.'),
  clientConnections: fault('client-connections', 429, 'client', 'Too many connections from this address.'),
  rateLimited: fault('rate-limited', 429, 'client', 'Too many requests from this address.'),
  maxForwards: fault('max-forwards', 200, 'client', 'This is as far as Max-Forwards lets the request go.'),
  h2Malformed: fault('h2-malformed', 400, 'client', 'The head of an HTTP/2 stream is no request.'),
  h2Flood: fault('h2-flood', 429, 'client', 'An HTTP/2 client costs more than it asks for.'),
  h2Protocol: fault('h2-protocol', 400, 'client', 'An HTTP/2 connection broke the rules of the protocol.'),
  queueFull: fault('queue-full', 503, 'proxy', 'Every backend of this upstream is at its limit, and so is the queue for them.'),
  queueTimeout: fault('queue-timeout', 503, 'proxy', 'Every backend of this upstream was at its limit for as long as the request could wait.'),
} as const;

/** The answer of a route that leads elsewhere: no fault, and counted as none. The route says the status. */
export const REDIRECT = fault('redirect', 308, 'client', 'This is to be found at another address.');
/** The answer to a challenge of a certificate authority (RFC 8555 §8.3): no fault either. */
export const CHALLENGE = fault('acme-challenge', 200, 'client', 'The answer to a challenge.');

/** Faults of a backend, after a claim. */
export const FAILURE = {
  dialFailed: fault('dial-failed', 502, 'upstream', 'The connection to the backend could not be made.'),
  dialTimeout: fault('dial-timeout', 504, 'upstream', 'The connection to the backend was not made in time.'),
  reset: fault('reset', 502, 'upstream', 'The backend closed the connection before it answered.'),
  badResponse: fault('bad-response', 502, 'upstream', 'The answer of the backend is not valid HTTP.'),
  headTimeout: fault('response-timeout', 504, 'upstream', 'The backend did not answer in time.'),
  idleTimeout: fault('body-idle', 504, 'upstream', 'The backend stopped sending in the middle of a body.'),
  truncated: fault('truncated', 502, 'upstream', 'The backend ended its answer before it was complete.'),
  killed: fault('drain-deadline', 503, 'proxy', 'The drain deadline of this version has passed.'),
  tlsFailed: fault('tls-failed', 502, 'upstream', 'The TLS handshake with the backend failed.'),
  tlsUntrusted: fault('tls-untrusted', 502, 'upstream', 'The certificate of the backend is not trusted.'),
  tlsName: fault('tls-name-mismatch', 502, 'upstream', 'The certificate of the backend is of another name.'),
  noHttp2: fault('http2-not-spoken', 502, 'upstream', 'The backend does not speak HTTP/2.'),
  streamRefused: fault('stream-refused', 502, 'upstream', 'The backend refused the request before it looked at it.'),
  streamReset: fault('stream-reset', 502, 'upstream', 'The backend reset the request.'),
} as const;

/** Faults of an operator's call, answered as problem+json and mapped to an exit code by the CLI. */
export const REFUSAL = {
  invalid: fault('invalid', 400, 'operator', 'The input is not valid.'),
  unauthorized: fault('unauthorized', 401, 'operator', 'A valid token is needed.'),
  forbidden: fault('forbidden', 403, 'operator', 'This token does not allow that.'),
  foreignOrigin: fault('foreign-origin', 403, 'operator', 'Requests with a foreign Host or Origin are refused.'),
  notFound: fault('not-found', 404, 'operator', 'There is no such thing.'),
  noUpstream: fault('no-such-upstream', 404, 'operator', 'There is no such upstream.'),
  noVersion: fault('no-such-version', 404, 'operator', 'There is no such version.'),
  noSwap: fault('no-such-swap', 404, 'operator', 'There is no such swap.'),
  noDeploy: fault('no-such-deploy', 404, 'operator', 'There is no such deploy.'),
  noReceipt: fault('no-receipt', 404, 'operator', 'This version has not been released yet.'),
  noMember: fault('no-such-member', 404, 'operator', 'There is no such member.'),
  notWorkers: fault('not-of-workers', 409, 'operator', 'This upstream is of another kind.'),
  membersFull: fault('members-full', 409, 'operator', 'This upstream has as many members as it may have.'),
  memberExpired: fault('member-expired', 410, 'operator', 'This member was presumed dead; what it had in hand is counted as killed.'),
  reportRate: fault('too-many-reports', 429, 'operator', 'This member reports too often.'),
  methodNotAllowed: fault('method-not-allowed', 405, 'operator', 'This method is not allowed here.'),
  swapRunning: fault('swap-running', 409, 'operator', 'Another swap of this upstream is running.'),
  noRunningSwap: fault('no-running-swap', 409, 'operator', 'No swap of this upstream is running.'),
  notNow: fault('not-now', 409, 'operator', 'That is not possible in the present state.'),
  nothingKept: fault('nothing-kept', 409, 'operator', 'There is no kept version to go back to.'),
  launchFailed: fault('launch-failed', 409, 'operator', 'Its processes could not be started.'),
  versionExists: fault('version-exists', 409, 'operator', 'This version id is taken by other backends.'),
  keyReused: fault('idempotency-key-reused', 422, 'operator', 'This Idempotency-Key was used for another request.'),
  stale: fault('stale-revision', 412, 'operator', 'It has changed since that revision.'),
  tooLarge: fault('too-large', 413, 'operator', 'The request body is larger than 1 MiB.'),
  slotsExhausted: fault('slots-exhausted', 507, 'operator', 'The ledger has no free backend slots.'),
  internal: fault('internal', 500, 'proxy', 'The control plane failed; the data plane is not affected.'),
} as const;

/** Position of a data-plane fault in the ledger's counters. Append only: the ledger's layout follows it. */
export const REJECT_LIST: readonly Fault[] = Object.values(REJECT);
export const FAILURE_LIST: readonly Fault[] = Object.values(FAILURE);

/** One thing wrong with an input: `path` names the place (`upstreams.web.health.interval`). */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

/** An operator's call that cannot be done, with the facts of this case. */
export class Refusal extends Error {
  readonly fault: Fault;
  readonly errors: readonly Issue[];
  /** Further members of the problem document, for example the id of the running swap. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(why: Fault, detail?: string, facts: Record<string, unknown> = {}, errors: readonly Issue[] = []) {
    super(detail ?? why.text);
    this.name = 'Refusal';
    this.fault = why;
    this.facts = facts;
    this.errors = errors;
  }
}
