import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Agent, request } from 'undici';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { messageOf } from '../errors/message.ts';
import { credentialsOf } from '../http/credentials.ts';
import type { EventType } from '../pool/events.ts';
import type { WebhookPolicy } from '../pool/webhook.ts';
import { Courier } from './courier.ts';
import type { Answered, CourierPorts } from './courier.ts';
import { Outbox } from './outbox.ts';
import type { Delivery, Origin } from './outbox.ts';

/** An event as receivers get it; the same members as in the stream of events, with the delivery's id. */
export interface TellableEvent {
  readonly type: EventType;
  readonly upstream: string | null;
  readonly version: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** How it stands with a webhook. Counts are since the start of the proxy; times ISO 8601. */
export interface WebhookView {
  name: string;
  /** Without what may be secret in it: path and query. */
  url: string;
  events: string[];
  /** null = of all. */
  upstreams: string[] | null;
  pending: number;
  /** When the event happened that has waited the longest. */
  oldestPendingAt: string | null;
  nextAttemptAt: string | null;
  delivered: number;
  failedAttempts: number;
  /** Given up since the start, and those that are kept for a redelivery. */
  givenUp: number;
  dead: number;
  lastSuccessAt: string | null;
  lastErrorAt: string | null;
  lastError: string | null;
}

export interface WebhookMetrics {
  readonly name: string;
  readonly delivered: number;
  readonly failed: number;
  readonly dead: number;
  readonly pending: number;
  /** Seconds since the event that has waited the longest; 0 = none waits. */
  readonly oldest: number;
}

interface Receiver {
  readonly outbox: Outbox;
  courier: Courier;
}

const CONNECT_MS = 5_000;
const MOST_ANSWER = 64 * 1024;

/** Tells receivers of events: each in an outbox of its own on disk, signed, in order, until it is taken or too old. */
export class Webhooks {
  private readonly dir: string;
  private readonly warn: (message: string) => void;
  private readonly receivers = new Map<string, Receiver>();
  private readonly agent = new Agent({ connect: { timeout: CONNECT_MS }, connections: 8, pipelining: 1 });
  private readonly ports: CourierPorts;

  /** @param stateDir has a folder `webhooks` for the outboxes, made when it is needed. */
  constructor(stateDir: string, warn: (message: string) => void) {
    this.dir = join(stateDir, 'webhooks');
    this.warn = warn;
    this.ports = {
      now: Date.now,
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      random: Math.random,
      post: (url, fields, body, signal) => post(this.agent, url, fields, body, signal),
      warn,
    };
  }

  /**
   * Tells these from now on. What waits for one that is there no more stays on disk, and goes on when it is back.
   * @param seq the last decision in the journal: a new receiver is told of what comes after it
   */
  set(policies: readonly WebhookPolicy[], seq: number): void {
    const wanted = new Set(policies.map(({ name }) => name));
    for (const [name, { courier, outbox }] of this.receivers) {
      if (wanted.has(name)) continue;
      courier.close();
      outbox.close();
      this.receivers.delete(name);
    }
    for (const policy of policies) {
      const known = this.receivers.get(policy.name);
      if (known !== undefined && isDeepStrictEqual(known.courier.policy, policy)) continue;
      known?.courier.close();
      const outbox = known?.outbox ?? new Outbox(join(this.dir, `${policy.name}.jsonl`), seq, this.warn);
      const courier = new Courier(policy, outbox, this.ports);
      if (known !== undefined) {
        Object.assign(courier.state, known.courier.state);
        // Its settings are others: what has failed by the old ones may succeed at once.
        courier.hurry();
      }
      this.receivers.set(policy.name, { outbox, courier });
    }
  }

  /** Puts an event into the outbox of each receiver that wants it. `id` names it when it is in no journal. */
  take(event: TellableEvent, origin: Origin | null, id: string, at: number): void {
    for (const { outbox, courier } of this.receivers.values()) {
      if (!wants(courier.policy, event)) continue;
      const item = deliveryOf(event, origin, id, at);
      if (outbox.has(item)) continue;
      try {
        outbox.put(item);
      } catch (error) {
        this.warn(`webhook ${courier.policy.name}: an event is not on disk: ${messageOf(error)}`);
      }
      courier.take(item);
    }
  }

  views(): WebhookView[] {
    return [...this.receivers.values()].map(viewOf);
  }

  metrics(): WebhookMetrics[] {
    return [...this.receivers.values()].map(({ outbox, courier: { policy, state } }) => {
      return { name: policy.name, delivered: state.delivered, failed: state.failed, dead: state.dead, pending: outbox.waiting.size, oldest: ageOf(outbox) };
    });
  }

  /** Tries at once what waits, and once more what was given up. @returns how many were given up. */
  redeliver(name: string): { again: number; view: WebhookView } {
    const receiver = this.receivers.get(name);
    if (receiver === undefined) {
      const known = [...this.receivers.keys()].join(', ') || 'none';
      throw new Refusal(REFUSAL.notFound, `There is no webhook ${name}; there is ${known}.`);
    }
    const again = receiver.outbox.again();
    for (const item of again) receiver.courier.take(item);
    receiver.courier.hurry();
    return { again: again.length, view: viewOf(receiver) };
  }

  async close(): Promise<void> {
    for (const { courier, outbox } of this.receivers.values()) {
      courier.close();
      outbox.close();
    }
    this.receivers.clear();
    await this.agent.destroy();
  }
}

function wants({ events, upstreams }: WebhookPolicy, { type, upstream }: TellableEvent): boolean {
  return events.includes(type) && (upstreams === null || (upstream !== null && upstreams.includes(upstream)));
}

function deliveryOf({ type, upstream, version, data }: TellableEvent, origin: Origin | null, name: string, at: number): Delivery {
  const id = origin === null ? `evt_${name}` : `evt_${at.toString(36)}-${origin.seq}-${origin.n}`;
  const body = JSON.stringify({ id, at: new Date(at).toISOString(), type, upstream, version, data });
  return { id, upstream, at, body, origin: origin === null ? null : { seq: origin.seq, n: origin.n } };
}

/** When the event happened that has waited the longest; Infinity = none waits. */
function oldestOf({ waiting }: Outbox): number {
  let oldest = Infinity;
  for (const { at } of waiting.values()) oldest = Math.min(oldest, at);
  return oldest;
}

function ageOf(outbox: Outbox): number {
  return Math.max(0, (Date.now() - Math.min(oldestOf(outbox), Date.now())) / 1_000);
}

function viewOf({ outbox, courier: { policy, state } }: Receiver): WebhookView {
  const { origin, pathname, search } = new URL(policy.url);
  return {
    name: policy.name,
    url: origin + (pathname === '/' && search === '' ? '/' : '/…'),
    events: [...policy.events],
    upstreams: policy.upstreams === null ? null : [...policy.upstreams],
    pending: outbox.waiting.size,
    oldestPendingAt: outbox.waiting.size === 0 ? null : iso(oldestOf(outbox)),
    nextAttemptAt: state.nextAttempt === null ? null : iso(state.nextAttempt),
    delivered: state.delivered,
    failedAttempts: state.failed,
    givenUp: state.dead,
    dead: outbox.dead.size,
    lastSuccessAt: state.lastSuccess === null ? null : iso(state.lastSuccess),
    lastErrorAt: state.lastFailure === null ? null : iso(state.lastFailure.at),
    lastError: state.lastFailure?.why ?? null,
  };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

async function post(agent: Agent, url: string, fields: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<Answered> {
  const headers = { 'content-type': 'application/json', 'user-agent': 'switchyard', ...credentialsOf(new URL(url)), ...fields };
  const answer = await request(url, { method: 'POST', headers, body, dispatcher: agent, signal });
  // What the receiver says beside its status is of no use; it is read so that the connection can be used again.
  await answer.body.dump({ limit: MOST_ANSWER, signal }).catch(() => undefined);
  const seconds = /^\d{1,6}$/.exec(String(answer.headers['retry-after'] ?? ''));
  return { status: answer.statusCode, retryAfter: seconds === null ? null : Number(seconds[0]) * 1000 };
}
