import { CHALLENGE, REDIRECT, REJECT, type Fault } from '../errors/catalogue.ts';
import { requestScheme } from '../http/forward-request.ts';
import { pathEnd } from '../http/path.ts';
import type { Place } from '../http/redirect.ts';
import { BODY, type RequestHead } from '../http/request-head.ts';
import { CHALLENGES, EDGE, REQUESTS } from '../ledger/layout.ts';
import { challengeAnswer } from './_challenge.ts';
import { stickyKey } from './_choose.ts';
import type { ExchangeRecord } from './_record.ts';
import { TRAIT } from './_traits.ts';
import { RulesTurn } from './_turn.ts';
import { ANY_UPSTREAM } from './callers.ts';
import type { Context } from './context.ts';
import { CompiledRoute, type CompiledMaintenance, type CompiledRules } from './rules.ts';

/**
 * Steps 2 and 3 of a request's life, route and guard: which upstream it is for, and whether it may go there.
 * Nothing is claimed yet; all of it happens in one tick, with the head's bytes at hand.
 * @returns why it is refused, or null.
 */
export function guard(ctx: Context, exchange: ExchangeRecord, head: RequestHead, buf: Buffer): Fault | null {
  const { rate } = ctx.table.edge.limits;
  ctx.ledger.count(EDGE.requests + (exchange.down.alone ? head.minor : REQUESTS.http2), 1);
  if (rate !== null && !ctx.callers.admit(exchange.down.address, ANY_UPSTREAM, rate)) return tooMany(exchange, ctx.callers.retryAfter);
  if (ctx.challenges !== null) {
    const text = challengeAnswer(ctx.challenges, head, buf);
    if (text !== null) {
      exchange.details = { text };
      ctx.ledger.count(EDGE.challenges + CHALLENGES.http, 1);
      return CHALLENGE;
    }
  }
  if ((exchange.traits & TRAIT.trace) !== 0) return REJECT.methodRefused;
  if (head.maxForwards === 0) return REJECT.maxForwards;
  const route = ctx.table.routes.find(head, buf);
  if (!(route instanceof CompiledRoute)) return route;
  const upstream = ctx.table.upstreams.get(route.upstream)!;
  exchange.upstream = upstream;
  const { limits, sticky } = upstream.policy;
  const place = route.rules === null ? null : enter(exchange, route.rules, head, buf);
  if (limits.rate !== null && !ctx.callers.admit(exchange.down.address, upstream.seed, limits.rate)) return tooMany(exchange, ctx.callers.retryAfter);
  let { maintenance } = upstream;
  exchange.bodyLimit = limits.body;
  if (route.rules !== null && place !== null) {
    const fault = followRules(ctx, exchange, route.rules, place, head, buf);
    if (fault !== null) return fault;
    if (route.rules.body !== undefined) exchange.bodyLimit = route.rules.body;
    if (route.rules.maintenance !== undefined) ({ maintenance } = route.rules);
  }
  if (maintenance !== null && !maintenance.admits(exchange.down.address)) return close(exchange, maintenance);
  if (exchange.bodyLimit !== null && head.body === BODY.length && head.length > exchange.bodyLimit) return REJECT.bodyTooLarge;
  if (sticky.cookie !== null || sticky.header !== null) stickyKey(exchange, head, buf);
  if (upstream.steering !== null) upstream.steering.read(exchange, head, buf);
  if (head.upgrade !== -1) {
    exchange.traits |= TRAIT.upgrade;
    exchange.protocols = head.fields.value(buf, head.upgrade).toLowerCase();
  }
  return null;
}

/** From here on the rules of the route are those of the request, whatever it is answered. @returns where the client sent it. */
function enter(exchange: ExchangeRecord, rules: CompiledRules, head: RequestHead, buf: Buffer): Place {
  const { address, forwarder } = exchange.down;
  const place = placeOf(head, buf, forwarder.localHost, requestScheme(head, buf, forwarder));
  exchange.turn = new RulesTurn(rules, { client: address, host: place.host, scheme: place.scheme, requestId: exchange.requestId });
  return place;
}

/** What the rules of the route decide by the head alone: whether the method is served, where it is to be found instead, which path goes on. */
function followRules(ctx: Context, exchange: ExchangeRecord, rules: CompiledRules, place: Place, head: RequestHead, buf: Buffer): Fault | null {
  if (!rules.serves(buf, head.start, head.methodEnd)) {
    exchange.details = { allow: rules.allow };
    return REJECT.methodRefused;
  }
  if (rules.redirect !== null) {
    const location = rules.redirect.location(place);
    if (location === null) return REJECT.ambiguousPath;
    if (location !== '') {
      exchange.details = { status: rules.redirect.status, location };
      ctx.ledger.count(EDGE.redirects, 1);
      return REDIRECT;
    }
  }
  if (rules.rewrite === null || place.path === '*') return null;
  const turn = exchange.turn!;
  turn.path = rules.rewrite.apply(place.path);
  turn.pathEnd = head.targetEnd - place.query.length;
  turn.prefix = rules.rewrite.prefix;
  return turn.path === null ? REJECT.ambiguousPath : null;
}

function tooMany(exchange: ExchangeRecord, retryAfter: number): Fault {
  exchange.details = { retryAfter };
  return REJECT.rateLimited;
}

function close(exchange: ExchangeRecord, { status, retryAfter, page }: CompiledMaintenance): Fault {
  exchange.details = { status, retryAfter, page };
  return REJECT.maintenance;
}

/** Where the client sent the request, as far as it says so. */
function placeOf(head: RequestHead, buf: Buffer, localHost: string, scheme: string): Place {
  const end = pathEnd(buf, head.targetStart, head.targetEnd);
  const colon = localHost.lastIndexOf(':');
  const named = head.authorityStart !== -1;
  return {
    scheme,
    host: named ? buf.toString('latin1', head.authorityStart, head.hostEnd) : localHost.slice(0, colon),
    port: named ? buf.toString('latin1', head.hostEnd + 1, Math.max(head.hostEnd + 1, head.authorityEnd)) : localHost.slice(colon + 1),
    path: head.serverWide ? '*' : head.targetStart === end ? '/' : buf.toString('latin1', head.targetStart, end),
    query: buf.toString('latin1', end, head.targetEnd),
  };
}
