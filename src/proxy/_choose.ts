import { REJECT } from '../errors/catalogue.ts';
import type { Fault } from '../errors/catalogue.ts';
import { FULL, NONE, pick, pickOne } from '../balance/pick.ts';
import type { RequestHead } from '../http/request-head.ts';
import { STEERED } from '../ledger/layout.ts';
import { bucketOf } from '../pool/split.ts';
import type { Context } from './context.ts';
import type { ExchangeRecord } from './_record.ts';
import { cookieValue, headerValue } from './_named.ts';
import { TRAIT } from './_traits.ts';
import type { UpstreamTarget, VersionTarget } from './targets.ts';

/**
 * Chooses version and backend from the table that is current now and claims them, in one tick: no
 * other thread or callback comes between reading the generation and the claim (invariant 2).
 * @returns why nothing was claimed, or null.
 */
export function choose(ctx: Context, exchange: ExchangeRecord): Fault | null {
  ctx.refresh();
  const upstream = ctx.table.upstreams.get(exchange.upstream!.name);
  if (upstream === undefined) return REJECT.noRoute;
  // The load is of the name, not of this table's object: what was counted up there is counted down there.
  exchange.upstream = upstream;
  if (upstream.held) return REJECT.holdFull;
  const { steering } = upstream;
  if (steering === null) return claim(ctx, exchange, bySplit(upstream, exchange));
  const named = steering.named(exchange);
  // Who names a version that is of no use gets what everybody gets.
  if (named !== null && claim(ctx, exchange, named) === null) return steered(ctx, exchange, named);
  const version = bySplit(upstream, exchange);
  const fault = claim(ctx, exchange, version);
  if (fault === null) steering.say(exchange, version!, true);
  return fault;
}

function steered(ctx: Context, exchange: ExchangeRecord, version: VersionTarget): null {
  const previewed = (exchange.traits & TRAIT.preview) !== 0;
  // A sticky cookie that an attempt before this one was to set is of another version.
  exchange.extra = '';
  exchange.upstream!.steering!.say(exchange, version, false);
  if (version.weight === 0) ctx.ledger.steered(exchange.backend!.slot, previewed ? STEERED.preview : STEERED.pin);
  return null;
}

/**
 * Claims a backend of another version for an asset that this one does not have.
 * @returns whether there is one; else nothing was done.
 */
export function chooseOther(ctx: Context, exchange: ExchangeRecord): boolean {
  ctx.refresh();
  const upstream = ctx.table.upstreams.get(exchange.upstream!.name);
  const other = upstream?.steering?.other(exchange.version!) ?? null;
  if (upstream === undefined || upstream.held || other === null) return false;
  exchange.tried.length = 0;
  if (claim(ctx, exchange, other) !== null) return false;
  exchange.upstream = upstream;
  exchange.extra = other.says;
  ctx.ledger.steered(exchange.backend!.slot, STEERED.asset);
  return true;
}

function claim(ctx: Context, exchange: ExchangeRecord, version: VersionTarget | null): Fault | null {
  if (version === null) return REJECT.unavailable;
  const index = exchange.stuck === null ? balance(ctx, exchange, version) : stick(ctx, exchange, version);
  if (index === NONE) return REJECT.unavailable;
  if (index === FULL) return REJECT.backendsFull;
  const backend = version.backends[index];
  ctx.ledger.claim(backend.slot, version.slot, ctx.timers.epoch);
  exchange.backend = backend;
  exchange.version = version;
  return null;
}

function balance(ctx: Context, exchange: ExchangeRecord, { rotation }: VersionTarget): number {
  const hash = rotation.maglev === null ? 0 : bucketOf(exchange.upstream!.seed, exchange.key ?? exchange.down.address);
  return pick(rotation, ctx.ledger, exchange.tried, hash, Math.random);
}

/** The backend that a client is bound to. One that is full it waits for, where requests wait; else it gets another this once. */
function stick(ctx: Context, exchange: ExchangeRecord, version: VersionTarget): number {
  const at = version.marks.indexOf(exchange.stuck!);
  const found = at === -1 ? NONE : pickOne(version.rotation, ctx.ledger, exchange.tried, at);
  if (found >= 0) return found;
  if (found === FULL) {
    if (exchange.upstream!.queue !== null) return FULL;
    exchange.traits |= TRAIT.away;
  }
  return balance(ctx, exchange, version);
}

function bySplit(upstream: UpstreamTarget, exchange: ExchangeRecord): VersionTarget | null {
  const { live, ends, policy } = upstream;
  if (live.length === 0) return null;
  let chosen = live.length === 1 ? live[0] : null;
  // A retry stays on its version while that is live; so does a client whose cookie is bound to one.
  const wanted = exchange.version?.id ?? exchange.bound;
  if (chosen === null && wanted !== null) chosen = live.find((version) => version.id === wanted) ?? null;
  if (chosen === null) {
    const bucket = bucketOf(upstream.seed, exchange.key ?? exchange.down.address);
    let i = 0;
    while (i < ends.length - 1 && bucket >= ends[i]) i++;
    chosen = live[i];
  }
  exchange.extra = '';
  if (policy.sticky.cookie !== null && exchange.bound !== chosen.id) bindCookie(policy.sticky.cookie, exchange, chosen.id);
  return chosen;
}

/** A cookie's value is `<key>.<version>`: the key is the client's for ever, the version heals when it is gone. */
function bindCookie(name: string, exchange: ExchangeRecord, version: string): void {
  exchange.extra = `Set-Cookie: ${name}=${exchange.key}.${version}; Path=/; HttpOnly; SameSite=Lax\r\n`;
}

const KEY = /^([0-9a-f]{16})\.([A-Za-z0-9._-]{1,63})$/;

/** Reads the split key of the request: the sticky cookie (one is made up when there is none), or the header. */
export function stickyKey(exchange: ExchangeRecord, head: RequestHead, buf: Buffer): void {
  const { cookie, header } = exchange.upstream!.policy.sticky;
  if (cookie !== null) {
    const match = KEY.exec(cookieValue(head, buf, cookie));
    exchange.key = match === null ? null : match[1];
    exchange.bound = match === null ? null : match[2];
  }
  if (exchange.key === null && header !== null) exchange.key = headerValue(head, buf, header.toLowerCase());
  if (exchange.key === null && cookie !== null) exchange.key = randomKey();
}

function randomKey(): string {
  const half = (): string => ((Math.random() * 2 ** 32) >>> 0).toString(16).padStart(8, '0');
  return half() + half();
}
