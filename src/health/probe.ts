import net from 'node:net';
import { Client, buildConnector } from 'undici';
import type { Dispatcher } from 'undici';
import { lossOf } from '../dial/loss.ts';
import { tlsClientOf } from '../dial/tls.ts';
import { FAILURE } from '../errors/catalogue.ts';
import { proxyHeader } from '../http/proxy-protocol.ts';
import type { Address } from '../pool/address.ts';
import type { HealthPolicy } from '../pool/policy.ts';
import { checkComplaint, checkRequest } from './_grpc.ts';
import { askOverH2 } from './_h2.ts';
import type { Probe } from './evidence.ts';

/** Of an answer's body, more than this is not waited for. */
const BODY_LIMIT = 64 * 1024;
const HEAD_LIMIT = 32 * 1024;

const FIELDS = { 'user-agent': 'switchyard-probe', accept: '*/*' } as const;

type Finding = Pick<Probe, 'ok' | 'status' | 'error'>;

/**
 * Probes a backend once, on a connection of its own that is closed afterwards. The whole probe, body included, ends within
 * `policy.timeout`. Redirects are not followed. Resolves always; what went wrong is in `error`.
 * @param signal ends the probe early
 */
export async function probeOnce(target: Address, policy: HealthPolicy, signal: AbortSignal): Promise<Probe> {
  const at = Date.now();
  const began = performance.now();
  const deadline = new AbortController();
  const end = (): void => deadline.abort();
  const timer = setTimeout(end, policy.timeout);
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  let finding: Finding;
  try {
    const address = { host: target.host, port: policy.port ?? target.port };
    // What listens on another port than the backend's own is asked as an operator would ask it.
    const header = policy.proxyProtocol === false || address.port !== target.port ? null : proxyHeader(policy.proxyProtocol, null);
    finding = await probeBy(address, target, policy, header, deadline.signal);
  } catch (error) {
    const cut = signal.aborted ? 'the probe was stopped' : `no answer within ${policy.timeout} ms`;
    finding = { ok: false, status: null, error: deadline.signal.aborted ? cut : describe(error, policy.tls !== null) };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
  return { at, ms: Math.round((performance.now() - began) * 10) / 10, ...finding };
}

function probeBy(address: Address, target: Address, policy: HealthPolicy, header: Buffer | null, signal: AbortSignal): Promise<Finding> {
  if (policy.kind === 'grpc') return probeGrpc(address, target, policy, signal);
  if (policy.kind === 'tcp') return probeTcp(address, policy, header, signal);
  return policy.protocol === 'h2' ? probeHttp2(address, target, policy, signal) : probeHttp(address, target, policy, header, signal);
}

async function probeHttp2(address: Address, target: Address, policy: HealthPolicy, signal: AbortSignal): Promise<Finding> {
  const question = { method: 'GET', path: policy.path, authority: hostOf(target, policy), fields: FIELDS, body: null, most: BODY_LIMIT } as const;
  const { status, headers } = await askOverH2(address, policy, question, signal);
  const error = complaint({ statusCode: status, headers }, policy);
  return { ok: error === null, status, error };
}

async function probeGrpc(address: Address, target: Address, policy: HealthPolicy, signal: AbortSignal): Promise<Finding> {
  const fields = { 'user-agent': FIELDS['user-agent'], 'content-type': 'application/grpc', te: 'trailers' };
  const path = '/grpc.health.v1.Health/Check';
  const question = { method: 'POST', path, authority: hostOf(target, policy), fields, body: checkRequest(policy.service), most: BODY_LIMIT } as const;
  const { status, headers, trailers, body } = await askOverH2(address, policy, question, signal);
  const said = trailers['grpc-status'] === undefined ? headers : trailers;
  const error = checkComplaint(status, said['grpc-status'], said['grpc-message'], body);
  return { ok: error === null, status: null, error };
}

async function probeHttp(address: Address, target: Address, policy: HealthPolicy, header: Buffer | null, signal: AbortSignal): Promise<Finding> {
  const client = new Client(`${policy.tls === null ? 'http' : 'https'}://${authority(address.host, address.port)}`, {
    connect: connector(address, policy, header),
    headersTimeout: policy.timeout,
    bodyTimeout: policy.timeout,
    maxHeaderSize: HEAD_LIMIT,
  });
  try {
    const headers = { host: hostOf(target, policy), ...FIELDS };
    const answer = await client.request({ path: policy.path, method: 'GET', headers, signal, reset: true });
    await drain(answer);
    const error = complaint(answer, policy);
    return { ok: error === null, status: answer.statusCode, error };
  } finally {
    await client.destroy();
  }
}

/** Makes the connection as those of requests are made: with TLS, or with the header at its begin, if there is one. */
function connector(address: Address, { timeout, tls, protocol }: HealthPolicy, header: Buffer | null): buildConnector.connector {
  if (tls !== null) {
    return (_, callback) => {
      const socket = tlsClientOf(tls, protocol).connect(address.host, address.port);
      socket.once('secureConnect', () => callback(null, socket));
      socket.once('error', (error) => callback(error, null));
    };
  }
  const connect = buildConnector({ timeout });
  if (header === null) return connect;
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error !== null) return callback(error, null);
      socket.write(header);
      callback(null, socket);
    });
}

async function drain({ body }: Dispatcher.ResponseData): Promise<void> {
  let size = 0;
  for await (const chunk of body) {
    size += (chunk as Buffer).length;
    if (size > BODY_LIMIT) return;
  }
}

/** Why an answer does not pass, or null. */
function complaint(
  { statusCode, headers }: Pick<Dispatcher.ResponseData, 'statusCode' | 'headers'>,
  { expectStatus, expectHeader }: HealthPolicy,
): string | null {
  const right = expectStatus === null ? statusCode >= 200 && statusCode < 300 : expectStatus.includes(statusCode);
  if (!right) {
    const note = statusCode >= 300 && statusCode < 400 ? ' (redirects are not followed)' : '';
    return `status ${statusCode}${note}, expected ${expectStatus === null ? '2xx' : expectStatus.join(' or ')}`;
  }
  for (const [name, expected] of Object.entries(expectHeader)) {
    const found = headers[name.toLowerCase()];
    const value = Array.isArray(found) ? found.join(', ') : found;
    if (value !== expected)
      return value === undefined ? `no header ${name}, expected '${expected}'` : `header ${name} is '${value.slice(0, 60)}', expected '${expected}'`;
  }
  return null;
}

/** With TLS it takes the handshake, too. */
async function probeTcp({ host, port }: Address, { tls, protocol }: HealthPolicy, header: Buffer | null, signal: AbortSignal): Promise<Finding> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  signal.throwIfAborted();
  const socket = tls === null ? net.connect({ host, port }) : tlsClientOf(tls, protocol).connect(host, port);
  const stop = (): void => reject(signal.reason);
  signal.addEventListener('abort', stop);
  socket.once(tls === null ? 'connect' : 'secureConnect', () => (header === null ? resolve() : socket.write(header, () => resolve())));
  socket.on('error', reject);
  try {
    await promise;
    return { ok: true, status: null, error: null };
  } finally {
    signal.removeEventListener('abort', stop);
    socket.destroy();
  }
}

function hostOf({ host, port }: Address, policy: HealthPolicy): string {
  return policy.host ?? authority(host, port);
}

function authority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

const CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name could not be looked up',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ETIMEDOUT: 'the connection timed out',
  UND_ERR_SOCKET: 'the connection was closed before the answer was complete',
  UND_ERR_CONNECT_TIMEOUT: 'the connection was not made in time',
  UND_ERR_HEADERS_TIMEOUT: 'the answer did not come in time',
  UND_ERR_BODY_TIMEOUT: 'the answer did not end in time',
  UND_ERR_HEADERS_OVERFLOW: 'the head of the answer is too large',
};

function describe(error: unknown, secure: boolean): string {
  if (!(error instanceof Error)) return 'the probe failed';
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (error.name === 'HTTPParserError') return 'the answer is not valid HTTP';
  const fault = secure ? lossOf(error, false) : null;
  if (fault === FAILURE.tlsUntrusted) return `the certificate is not trusted (${code})`;
  if (fault === FAILURE.tlsName) return `the certificate is of another name (${error.message.slice(0, 200)})`;
  if (fault === FAILURE.tlsFailed) return `the TLS handshake failed (${code})`;
  return CAUSES[code] ?? error.message.slice(0, 100);
}
