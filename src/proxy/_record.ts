import { CHALLENGE, FAILURE, REDIRECT, REJECT } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import { CLAIM, believed } from '../http/claims.ts';
import { FIELD } from '../http/fields.ts';
import type { AnswerDetails, AnswerForm, AnswerStyle } from '../http/own-answer.ts';
import type { RequestHead } from '../http/request-head.ts';
import { EDGE } from '../ledger/layout.ts';
import { KIND, OUTCOME } from '../ledger/thread.ts';
import type { Kind, Outcome } from '../ledger/thread.ts';
import { TRAIT } from './_traits.ts';
import type { RulesTurn } from './_turn.ts';
import { Upload } from './_upload.ts';
import type { LogEntry } from './access-log.ts';
import type { Context } from './context.ts';
import type { Downstream } from './downstream.ts';
import { prefaceOf } from './preface.ts';
import type { Preface } from './preface.ts';
import type { BackendTarget, UpstreamLoad, UpstreamTarget, VersionTarget, WaitingRoom } from './targets.ts';

const LEAST_RETRY_BUDGET = 3;
/** How often a request may be refused by backends that did not look at it. */
const MOST_RESENT = 10;
const BACKOFF_MS = 25;
const BACKOFF_SPREAD_MS = 225;

/** What a request waits, in ms, before it comes back to a backend that has failed it. */
export function backoff(): number {
  return BACKOFF_MS + Math.random() * BACKOFF_SPREAD_MS;
}

/** What is known of a request while it lives, and how its books are closed. The life itself is in request.ts. */
export abstract class ExchangeRecord {
  readonly down: Downstream;
  readonly upload: Upload;
  requestId = '';
  upstream: UpstreamTarget | null = null;
  version: VersionTarget | null = null;
  backend: BackendTarget | null = null;
  /** Split key of a sticky cookie or header; null = the client's address. */
  key: string | null = null;
  /** Version that the sticky cookie is bound to. */
  bound: string | null = null;
  /** Version that the request names, by its pin or its preview field. */
  wanted: string | null = null;
  /** Backend that a cookie of the request is bound to. */
  stuck: string | null = null;
  /** Where it waits, or has waited. */
  protected room: WaitingRoom | null = null;
  /** What the client would switch to (its Upgrade field, in lower case), when it asks for an upgrade. */
  protocols = '';
  /** Further field lines of the answer (a sticky cookie). */
  extra = '';
  /** Rules of its route; null = none. */
  turn: RulesTurn | null = null;
  /** What its route decides about the proxy's own answer. */
  details: AnswerDetails | null = null;
  /** Largest body in bytes; null = no limit. */
  bodyLimit: number | null = null;
  /** Slots of backends that could not be connected to. */
  readonly tried: number[] = [];
  kind: Kind = KIND.http;
  /** TRAIT bits of the method. */
  traits = 0;
  protected readonly ctx: Context;
  protected retries = 0;
  /** How often it was sent again because a backend had not looked at it. */
  protected resent = 0;
  protected status = 0;
  /** Why it did not complete, or was refused. */
  protected fault: Fault | null = null;
  protected bytesOut = 0;
  /** It counts as a retry in the upstream's budget. */
  protected retrying = false;
  /** It holds a claim on `backend`. */
  protected claimed = false;
  /** The connection had carried a request before this one. */
  protected reused = false;
  /** The backend has answered something. */
  protected touched = false;
  protected informational = 0;
  /** The connection may be used again, and for how long. */
  protected reusable = false;
  protected keepAliveSeconds = -1;
  /** The client takes no more for now. */
  protected blocked = false;
  /** A stream that is to end at its next event. */
  protected closing = false;
  private load: UpstreamLoad | null = null;
  private startedAt = 0;
  private method = '';
  private host = '';
  private target = '';
  private protocol: LogEntry['protocol'] = '';

  constructor(ctx: Context, down: Downstream) {
    this.ctx = ctx;
    this.down = down;
    this.upload = new Upload(ctx, down);
  }

  /** What connections of this client to the upstream begin with; null = nothing. */
  protected get preface(): Preface | null {
    return prefaceOf(this.upstream!, this.down);
  }

  get isHead(): boolean {
    return (this.traits & TRAIT.head) !== 0;
  }

  protected clear(traits: number): void {
    this.traits = traits;
    this.requestId = '';
    this.upstream = null;
    this.version = null;
    this.backend = null;
    this.key = null;
    this.bound = null;
    this.wanted = null;
    this.stuck = null;
    this.extra = '';
    this.turn = null;
    this.details = null;
    this.bodyLimit = null;
    if (this.tried.length > 0) this.tried.length = 0;
    this.retries = 0;
    this.resent = 0;
    this.kind = KIND.http;
    this.status = 0;
    this.fault = null;
    this.retrying = false;
    this.claimed = this.blocked = this.closing = false;
    this.informational = 0;
    this.bytesOut = 0;
    this.startedAt = performance.now();
  }

  /** Takes what the access log will want; the head's bytes are gone by then. */
  protected describe(head: RequestHead | null, buf: Buffer): void {
    this.method = head === null ? '' : buf.toString('latin1', head.start, head.methodEnd);
    this.target = head === null ? '' : buf.toString('latin1', head.targetStart, head.targetEnd);
    this.protocol = this.down.alone ? (head === null ? '' : head.minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0') : 'HTTP/2';
    this.host = head === null || head.authorityStart === -1 ? '' : buf.toString('latin1', head.authorityStart, head.authorityEnd);
  }

  /** Keeps the id it goes by: what a trusted proxy sent, or ours, 16 random bytes at `at`. */
  protected identify(head: RequestHead | null, buf: Buffer, at: number): void {
    const sent = head !== null && this.down.forwarder.trusted && (believed(head.fields, buf) & CLAIM.requestId) !== 0;
    if (sent) this.requestId = head.fields.value(buf, head.fields.find(FIELD.xRequestId));
    else this.requestId = this.ctx.ids.pool.toString('hex', at, at + 16);
  }

  /** How the proxy's own answer to it looks: the rules and pages of its route. */
  answerStyle(fault: Fault, form: AnswerForm, close: boolean): AnswerStyle {
    const { ctx, turn, details, requestId } = this;
    const status = details?.status ?? fault.status;
    const page = this.upstream?.pages?.find(status) ?? ctx.table.pages?.find(status);
    return { form, close, head: this.isHead, date: ctx.date(), turn, details, requestId, page };
  }

  protected enter(upstream: UpstreamTarget): void {
    this.load = upstream.load;
    this.load.active++;
  }

  /**
   * Whether it may be tried once more, within the upstream's budget; if so it is counted.
   * @param fresh the connection was never made, so nothing was sent. @param stale a used connection was closed under it, before any answer.
   */
  protected mayRetry(fresh: boolean, stale: boolean): boolean {
    const { retries } = this.upstream!.policy;
    // What another version did not have either goes back to where it came from, and is no retry.
    if ((this.traits & TRAIT.rescued) !== 0) {
      this.traits &= ~TRAIT.rescued;
      return this.upload.replayable;
    }
    if (this.retries >= retries.attempts || !this.upload.replayable) return false;
    if (!fresh && !(stale && (this.traits & (TRAIT.idempotent | TRAIT.upgrade)) === TRAIT.idempotent)) return false;
    const { active, retrying } = this.load!;
    if (!fresh && !this.retrying && retrying >= Math.max(LEAST_RETRY_BUDGET, (active * retries.budget) / 100)) {
      this.ctx.ledger.count(EDGE.retriesRefused, 1);
      return false;
    }
    if (!this.retrying) this.load!.retrying++;
    this.retrying = true;
    this.retries++;
    this.ctx.ledger.count(EDGE.retries, 1);
    return true;
  }

  /** Others wait for a place on a backend, and so will this one. */
  protected get queues(): boolean {
    return this.upstream!.queue !== null && this.load!.waiting > 0;
  }

  /** Where a request that was refused for this may wait instead; null = nowhere. */
  protected roomFor(fault: Fault): WaitingRoom | null {
    const { held, policy, door, queue } = this.upstream!;
    if (held || (policy.hold.whenUnavailable && fault === REJECT.unavailable)) return door;
    return fault === REJECT.backendsFull ? queue : null;
  }

  /**
   * Whether it may be sent once more after a backend has refused it unseen (RFC 9113 §8.7); if so it is counted. Nothing has failed
   * by that, so that method, attempts and budget do not matter.
   */
  protected mayResend(): boolean {
    if (this.resent >= MOST_RESENT || !this.upload.replayable) return false;
    this.resent++;
    this.ctx.ledger.resent(this.backend!.slot);
    return true;
  }

  /** It was refused unseen for the first time: the claim that it has is good for another connection, whatever else there is. */
  protected get mayStay(): boolean {
    return this.fault === FAILURE.streamRefused && this.resent === 1;
  }

  /** Ends the claim that it had before the one that it has now. */
  protected letGo(backend: BackendTarget, version: VersionTarget): void {
    const { ledger } = this.ctx;
    // Who has not looked at it has neither had it nor failed.
    if (this.fault === FAILURE.streamRefused) ledger.withdraw(backend.slot, version.slot);
    else ledger.settle(backend.slot, version.slot, OUTCOME.upstreamFailed, this.kind);
  }

  /** Kind of what is in flight on this version, or null. */
  inFlightOn(versionSlot: number): Kind | null {
    return this.claimed && this.version?.slot === versionSlot ? this.kind : null;
  }

  /** Ends the claim, if there is one, counts and logs. */
  protected closeBooks(outcome: Outcome): void {
    const { ctx, backend, version } = this;
    const millis = performance.now() - this.startedAt;
    if (this.load !== null) {
      this.load.active--;
      if (this.retrying) this.load.retrying--;
      if (this.load.waiting > 0) ctx.hold.freed(this.upstream!);
      this.load = null;
    }
    if (this.claimed) {
      if (this.status !== 0) ctx.ledger.answered(backend!.slot, this.status, millis, this.upload.bytes, this.bytesOut, this.kind);
      if (outcome === OUTCOME.upstreamFailed && this.status !== 0 && this.status < 500 && this.kind !== KIND.tunnel) ctx.ledger.broken(backend!.slot);
      ctx.ledger.settle(backend!.slot, version!.slot, outcome, this.kind);
    }
    this.claimed = false;
    if (ctx.log.mode !== 'off') ctx.log.write(this.logEntry(outcome === OUTCOME.clientAborted, millis));
    this.upload.close();
  }

  /** A head that could not be read. */
  refusedUnread(fault: Fault): void {
    const { ctx } = this;
    this.clear(0);
    this.describe(null, NOTHING);
    if (ctx.log.mode !== 'off' || ctx.table.usesIds) this.identify(null, NOTHING, ctx.ids.next());
    this.refused(fault);
  }

  /** A request that was refused before it was sent: counted and logged like any other. */
  refused(fault: Fault): void {
    this.ctx.countRejected(fault);
    this.status = this.details?.status ?? fault.status;
    this.fault = fault === REDIRECT || fault === CHALLENGE ? null : fault;
    if (this.ctx.log.mode !== 'off') this.ctx.log.write(this.logEntry(false, performance.now() - this.startedAt));
  }

  private logEntry(aborted: boolean, millis: number): LogEntry {
    return {
      at: new Date().toISOString(),
      client: this.down.address,
      method: this.method,
      host: this.host,
      target: this.target,
      protocol: this.protocol,
      status: this.status,
      ms: Math.round(millis * 1000) / 1000,
      bytesIn: this.upload.bytes,
      bytesOut: this.bytesOut,
      upstream: this.upstream?.name ?? null,
      version: this.version?.id ?? null,
      backend: this.backend?.address ?? null,
      retries: this.retries + this.resent,
      requestId: this.requestId,
      reason: this.fault?.code ?? (aborted ? 'client-aborted' : null),
    };
  }
}

const NOTHING = Buffer.alloc(0);
