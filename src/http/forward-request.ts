import { ReservedFields } from './client-identity.ts';
import type { FieldEdits } from './edit-fields.ts';
import { CLAIM, CLAIM_OF, accountOf, believed, schemeSaid } from './claims.ts';
import { CONNECTION, FIELD } from './fields.ts';
import { forwardedNode } from './forwarded.ts';
import type { Endpoints } from './proxy-protocol.ts';
import { BODY } from './request-head.ts';
import type { RequestHead } from './request-head.ts';
import type { Words } from './template.ts';
import type { HeadWriter } from './writer.ts';

/** What the proxy says about a client in the forwarding fields; one a connection. */
export interface Forwarder {
  readonly ends: Endpoints;
  /** The peer is a trusted proxy: what it said in forwarding fields is kept and added to. */
  readonly trusted: boolean;
  /** Address of the peer, as in X-Forwarded-For. */
  readonly address: string;
  readonly scheme: string;
  readonly port: number;
  /** Host value for an HTTP/1.0 request that has none. */
  readonly localHost: string;
  /** Field lines that are the same for every request of an untrusted peer, up to the host in Forwarded. */
  readonly fixed: Buffer;
  /** Field lines that tell whose certificate the client has shown; '' = none. */
  readonly identity: string;
  /** Names that only the proxy says. */
  readonly reserved: ReservedFields;
}

const NOTHING_RESERVED = new ReservedFields();

/** What is said about the client of a connection with these ends. */
export function forwarderOf(ends: Endpoints, trusted: boolean, reserved = NOTHING_RESERVED): Forwarder {
  const { address, localAddress, localPort: port, secure, identity = '' } = ends;
  const scheme = secure ? 'https' : 'http';
  const localHost = `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${port}`;
  return { ends, trusted, address, scheme, port, localHost, fixed: forwardingFields(address, scheme, port), identity, reserved };
}

/** Fields that are the same for every request of an untrusted peer, up to the host in Forwarded. */
function forwardingFields(address: string, scheme: string, port: number): Buffer {
  return Buffer.from(
    `X-Forwarded-For: ${address}\r\nX-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Port: ${port}\r\nForwarded: for=${forwardedNode(address)};proto=${scheme};host="`,
    'latin1',
  );
}

/** By the version of the request as it came (RFC 9110 §7.6.3). */
const VIA = ['Via: 1.0 switchyard\r\n', 'Via: 1.1 switchyard\r\n'] as const;

const DROP = 1;
/** Kept from a trusted proxy only. */
const TRUSTED = 2;

/** What becomes of each FIELD on its way to a backend. */
const RULE = new Uint8Array(32);
for (const id of [
  FIELD.alias,
  FIELD.connection,
  FIELD.transferEncoding,
  FIELD.keepAlive,
  FIELD.proxyConnection,
  FIELD.te,
  FIELD.upgrade,
  FIELD.http2Settings,
  FIELD.forwarded,
  FIELD.xForwardedFor,
])
  RULE[id] = DROP;
for (const id of [
  FIELD.via,
  FIELD.xForwardedHost,
  FIELD.xForwardedProto,
  FIELD.xForwardedPort,
  FIELD.xRequestId,
  FIELD.traceparent,
  FIELD.tracestate,
  FIELD.xRealIp,
  FIELD.xForwardedPrefix,
])
  RULE[id] = TRUSTED;

/** What the rules of its route change of one request. */
export interface RequestTurn {
  readonly edits: FieldEdits | null;
  readonly words: Words;
  /** The path that goes on; null = as it came. */
  readonly path: string | null;
  /** Where the query begins in the bytes that were parsed. */
  readonly pathEnd: number;
  /** What was stripped from the front of the path; '' = nothing. */
  readonly prefix: string;
}

/**
 * Writes the head that goes to a backend, from what was parsed: one Host, one framing field, our own
 * forwarding fields, nothing hop-by-hop (RFC 9110 §7.6.1). Runs of untouched field lines are copied
 * as they are, in their order and case.
 * @param random 40 random bytes from `at`: the request id, and the ids of `traceparent`, unless a trusted proxy sent them.
 * @param turn the rules of its route; null = none.
 */
export function writeRequest(
  out: HeadWriter,
  head: RequestHead,
  src: Buffer,
  by: Forwarder,
  random: Buffer,
  at: number,
  turn: RequestTurn | null = null,
): void {
  out.copy(src, head.start, head.methodEnd + 1);
  writeTarget(out, head, src, turn);
  out.text(' HTTP/1.1\r\n');
  const edits = turn === null ? null : turn.edits;
  if (edits !== null && edits.host !== null) out.text(`Host: ${edits.host}\r\n`);
  else if (head.absolute || head.authorityStart === -1) {
    out.text('Host: ');
    writeHost(out, head, src, by);
    out.text('\r\n');
  }
  const kept = by.trusted ? believed(head.fields, src) : 0;
  const sized = copyFields(out, head, src, by, kept, turn);
  if (head.body === BODY.chunked) out.text('Transfer-Encoding: chunked\r\n');
  else if (head.body === BODY.length && !sized) out.text(`Content-Length: ${head.length}\r\n`);
  if (head.maxForwards > 0) out.text(`Max-Forwards: ${head.maxForwards - 1}\r\n`);
  writeConnection(out, head, src);
  out.text(VIA[head.minor]);
  if (by.trusted) writeTrusted(out, head, src, by, kept);
  else {
    out.bytes(by.fixed);
    writeHost(out, head, src, by);
    out.text('"\r\nX-Forwarded-Host: ');
    writeHost(out, head, src, by);
    out.text('\r\n');
  }
  if (by.identity !== '') out.text(by.identity);
  if (turn !== null) writeTurn(out, head, src, kept, turn);
  if ((kept & CLAIM.requestId) === 0) {
    out.text('X-Request-Id: ');
    out.hex(random, at, at + 16);
    out.text('\r\n');
  }
  if ((kept & CLAIM.trace) === 0) {
    out.text('traceparent: 00-');
    out.hex(random, at + 16, at + 32);
    out.text('-');
    out.hex(random, at + 32, at + 40);
    out.text('-00\r\n');
  }
  out.text('\r\n');
}

function writeTarget(out: HeadWriter, head: RequestHead, src: Buffer, turn: RequestTurn | null): void {
  let from = head.targetStart;
  if (turn !== null && turn.path !== null) {
    out.text(turn.path);
    from = turn.pathEnd;
  } else if (from === head.targetEnd || (src[from] !== 0x2f && src[from] !== 0x2a)) out.text(head.serverWide ? '*' : '/');
  out.copy(src, from, head.targetEnd);
}

function writeTurn(out: HeadWriter, head: RequestHead, src: Buffer, kept: number, { edits, words, prefix }: RequestTurn): void {
  if (prefix !== '') out.text(`X-Forwarded-Prefix: ${(kept & CLAIM.prefix) === 0 ? '' : prefixBefore(head, src)}${prefix}\r\n`);
  if (edits !== null) out.text(edits.written(words));
}

/** What a trusted proxy has stripped already; only a plain path counts. */
function prefixBefore({ fields }: RequestHead, src: Buffer): string {
  const at = fields.find(FIELD.xForwardedPrefix);
  const value = at === -1 ? '' : fields.value(src, at);
  return /^(?:\/[\w.~%@:=-]+)+$/.test(value) ? value : '';
}

function writeHost(out: HeadWriter, head: RequestHead, src: Buffer, by: Forwarder): void {
  if (head.authorityStart === -1) out.text(by.localHost);
  else out.copy(src, head.authorityStart, head.authorityEnd);
}

/**
 * Copies the fields that go on, in runs.
 * @param kept CLAIM bits of what a trusted proxy is believed. @returns whether Content-Length was among them.
 */
function copyFields(out: HeadWriter, head: RequestHead, src: Buffer, { reserved }: Forwarder, kept: number, turn: RequestTurn | null): boolean {
  const { fields } = head;
  const { ids, spans, count } = fields;
  const nominated = (head.connection & CONNECTION.other) !== 0;
  const reserves = !reserved.none;
  let sized = false;
  let run = -1;
  for (let i = 0; i < count; i++) {
    const id = ids[i];
    let drop = RULE[id] === DROP || (RULE[id] === TRUSTED && (kept & CLAIM_OF[id]) === 0);
    // Only names the proxy does not know can be removed by naming them: never Host, Content-Length, credentials or our own fields.
    if (id === FIELD.other) drop = nominated && fields.nominates(src, spans[i * 4], spans[i * 4 + 1]);
    else if (id === FIELD.host) drop = head.absolute;
    else if (id === FIELD.contentLength) drop = src[spans[i * 4 + 2]] === 0x30 && spans[i * 4 + 3] - spans[i * 4 + 2] > 1;
    else if (id === FIELD.expect) drop = !head.expectContinue;
    else if (id === FIELD.trailer) drop = head.body !== BODY.chunked;
    else if (id === FIELD.maxForwards) drop = head.maxForwards !== -1;
    if (reserves) drop ||= reserved.has(src, spans[i * 4], spans[i * 4 + 1]);
    if (turn !== null) drop ||= (id === FIELD.xForwardedPrefix && turn.prefix !== '') || turn.edits?.drops(src, spans[i * 4], spans[i * 4 + 1]) === true;
    if (drop) {
      if (run !== -1) out.copy(src, run, spans[i * 4]);
      run = -1;
      continue;
    }
    if (run === -1) run = spans[i * 4];
    if (id === FIELD.contentLength) sized = true;
  }
  if (run !== -1) out.copy(src, run, fields.end - 2);
  return sized;
}

function writeConnection(out: HeadWriter, head: RequestHead, src: Buffer): void {
  if (head.upgrade !== -1) out.text(`Connection: Upgrade\r\nUpgrade: ${head.fields.value(src, head.upgrade)}\r\n`);
  else if (head.trailers) out.text('Connection: TE\r\nTE: trailers\r\n');
}

/** Behind a trusted proxy: its account goes on with its own address at the end; what it did not say, we say. */
function writeTrusted(out: HeadWriter, head: RequestHead, src: Buffer, by: Forwarder, kept: number): void {
  const own = head.authorityStart === -1 ? by.localHost : src.toString('latin1', head.authorityStart, head.authorityEnd);
  const { chain, forwarded, scheme, host } = accountOf(head.fields, src, kept, { scheme: by.scheme, host: own });
  let text = `X-Forwarded-For: ${chain}${by.address}\r\n`;
  if ((kept & CLAIM.proto) === 0) text += `X-Forwarded-Proto: ${scheme}\r\n`;
  if ((kept & CLAIM.port) === 0) text += `X-Forwarded-Port: ${scheme === by.scheme ? by.port : portOf(host, scheme)}\r\n`;
  if ((kept & CLAIM.host) === 0) text += `X-Forwarded-Host: ${host}\r\n`;
  out.text(`${text}Forwarded: ${forwarded}for=${forwardedNode(by.address)};proto=${by.scheme};host="${own}"\r\n`);
}

/** The port that a client of another scheme than ours has used. */
function portOf(host: string, scheme: string): string {
  return /:(\d+)$/.exec(host)?.[1] ?? (scheme === 'https' ? '443' : '80');
}

/** The scheme the client used: as a trusted proxy says, else the connection's own. */
export function requestScheme({ fields }: RequestHead, src: Buffer, by: Forwarder): string {
  return by.trusted ? schemeSaid(fields, src, by.scheme) : by.scheme;
}
