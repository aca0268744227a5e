import { signedFields } from '../http/signature.ts';
import type { WebhookPolicy } from '../pool/webhook.ts';
import type { Delivery, Outbox } from './outbox.ts';

/** What a receiver has answered; `retryAfter` in milliseconds, when it says so. */
export interface Answered {
  readonly status: number;
  readonly retryAfter: number | null;
}

export interface CourierPorts {
  /** Epoch milliseconds. */
  now(): number;
  after(ms: number, run: () => void): () => void;
  /** From 0 to below 1. */
  random(): number;
  /** Resolves with what the receiver says; rejects when it cannot be reached, or not in time. */
  post(url: string, fields: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<Answered>;
  warn(message: string): void;
}

/** Attempts since the start of the proxy, and how the last ones went. Times are epoch milliseconds. */
export interface CourierState {
  delivered: number;
  failed: number;
  dead: number;
  lastSuccess: number | null;
  lastFailure: { readonly at: number; readonly why: string } | null;
  /** When the next attempt of one that has failed is due. */
  nextAttempt: number | null;
}

/** Events of one upstream, in their order: one is under way, the others wait behind it. */
interface Lane {
  readonly ids: string[];
  busy: boolean;
  retryAt: number | null;
  cancel: () => void;
}

/** At a time, to one receiver. */
const MOST_LANES = 8;
const MOST_RETRY_AFTER = 3_600_000;

/** Brings to one receiver what is in its outbox: in order for each upstream, again until it has been taken or is too old. */
export class Courier {
  readonly policy: WebhookPolicy;
  readonly state: CourierState = { delivered: 0, failed: 0, dead: 0, lastSuccess: null, lastFailure: null, nextAttempt: null };
  private readonly outbox: Outbox;
  private readonly ports: CourierPorts;
  private readonly lanes = new Map<string, Lane>();
  private readonly closing = new AbortController();
  private open = 0;

  constructor(policy: WebhookPolicy, outbox: Outbox, ports: CourierPorts) {
    this.policy = policy;
    this.outbox = outbox;
    this.ports = ports;
    for (const item of outbox.waiting.values()) this.line(item);
    for (const lane of this.lanes.values()) this.goOn(lane);
    this.go();
  }

  /** Takes on what was put into the outbox. */
  take(item: Delivery): void {
    this.line(item);
    if (this.outbox.waiting.size > this.policy.queue) this.giveUpOldest();
    this.go();
  }

  /** Tries at once what waits for its next attempt, as if it had not been tried before. */
  hurry(): void {
    for (const lane of this.lanes.values()) {
      lane.cancel();
      lane.retryAt = null;
    }
    this.attempt(() => this.outbox.beginAnew());
    this.setNextAttempt();
    this.go();
  }

  close(): void {
    this.closing.abort();
    for (const lane of this.lanes.values()) lane.cancel();
  }

  private line({ id, upstream }: Delivery): void {
    const name = upstream ?? '';
    const lane = this.lanes.get(name) ?? { ids: [], busy: false, retryAt: null, cancel: () => undefined };
    this.lanes.set(name, lane);
    lane.ids.push(id);
  }

  private giveUpOldest(): void {
    for (const item of this.outbox.waiting.values()) {
      const lane = this.lanes.get(item.upstream ?? '');
      // The one that is under way may have arrived.
      if (lane === undefined || (lane.busy && lane.ids[0] === item.id)) continue;
      lane.ids.splice(lane.ids.indexOf(item.id), 1);
      this.bury(item, `more than ${this.policy.queue} deliveries waited`);
      return;
    }
  }

  private bury(item: Delivery, why: string): void {
    this.state.dead++;
    this.attempt(() => this.outbox.giveUp(item, why, this.ports.now()));
    this.ports.warn(`webhook ${this.policy.name}: delivery ${item.id} is given up: ${why}`);
  }

  /** What the disk refuses is told, and does not end the delivery. */
  private attempt(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.ports.warn(`webhook ${this.policy.name}: the outbox cannot be written: ${messageOf(error)}`);
    }
  }

  private go(): void {
    for (const [name, lane] of this.lanes) {
      if (this.open >= MOST_LANES || this.closing.signal.aborted) return;
      if (lane.ids.length === 0 && !lane.busy) this.lanes.delete(name);
      else if (!lane.busy && lane.retryAt === null) void this.deliver(lane);
    }
  }

  private async deliver(lane: Lane): Promise<void> {
    const item = this.outbox.waiting.get(lane.ids[0]);
    lane.busy = true;
    this.open++;
    const failure = item === undefined ? null : await this.send(item);
    this.open--;
    lane.busy = false;
    if (this.closing.signal.aborted) return;
    if (failure === null) this.arrived(lane, item);
    else this.failed(lane, item!, failure);
    this.setNextAttempt();
    this.go();
  }

  /** @returns null = it was taken. */
  private async send({ id, body }: Delivery): Promise<{ why: string; retryAfter: number | null } | null> {
    const { url, secret, timeout } = this.policy;
    const message = { id, timestamp: Math.floor(this.ports.now() / 1000), body };
    const late = new AbortController();
    const cancel = this.ports.after(timeout, () => late.abort());
    try {
      const signal = AbortSignal.any([this.closing.signal, late.signal]);
      const { status, retryAfter } = await this.ports.post(url, signedFields(message, secret), body, signal);
      return status >= 200 && status < 300 ? null : { why: `the receiver answered ${status}`, retryAfter };
    } catch (error) {
      return { why: late.signal.aborted ? `no answer within ${timeout} ms` : messageOf(error), retryAfter: null };
    } finally {
      cancel();
    }
  }

  private arrived(lane: Lane, item: Delivery | undefined): void {
    lane.ids.shift();
    if (item === undefined) return;
    this.state.delivered++;
    this.state.lastSuccess = this.ports.now();
    this.attempt(() => this.outbox.done(item.id));
  }

  private failed(lane: Lane, item: Delivery, { why, retryAfter }: { why: string; retryAfter: number | null }): void {
    const { attempts, maxAge, backoff } = this.policy;
    const now = this.ports.now();
    this.state.failed++;
    this.state.lastFailure = { at: now, why };
    const tried = (this.outbox.triesOf(item.id)?.attempts ?? 0) + 1;
    if (tried >= attempts || now - item.at >= maxAge) {
      lane.ids.shift();
      this.bury(item, `${why}, after ${tried} ${tried === 1 ? 'attempt' : 'attempts'}`);
      return;
    }
    const pause = Math.min(backoff.max, backoff.base * 2 ** Math.min(tried - 1, 30)) * (0.8 + 0.4 * this.ports.random());
    const wait = Math.max(pause, Math.min(retryAfter ?? 0, MOST_RETRY_AFTER));
    this.attempt(() => this.outbox.failed(item.id, { attempts: tried, next: now + wait }));
    this.rest(lane, wait);
  }

  /** After a start of the proxy: what was to be tried later is not tried at once. */
  private goOn(lane: Lane): void {
    const next = this.outbox.triesOf(lane.ids[0])?.next ?? 0;
    // A clock that was set back in between must not make it wait for ever.
    const wait = Math.min(next - this.ports.now(), Math.max(MOST_RETRY_AFTER, this.policy.backoff.max));
    if (wait > 0) this.rest(lane, wait);
    this.setNextAttempt();
  }

  private rest(lane: Lane, wait: number): void {
    lane.retryAt = this.ports.now() + wait;
    lane.cancel = this.ports.after(wait, () => {
      lane.retryAt = null;
      this.setNextAttempt();
      this.go();
    });
  }

  private setNextAttempt(): void {
    const due = [...this.lanes.values()].map(({ retryAt }) => retryAt).filter((at) => at !== null);
    this.state.nextAttempt = due.length === 0 ? null : Math.min(...due);
  }
}

function messageOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  return error instanceof Error && error.message !== '' ? error.message : String(code ?? error);
}
