import { REJECT, type Fault } from '../errors/catalogue.ts';
import { BODY, type RequestHead } from '../http/request-head.ts';
import { stickyKey } from './_choose.ts';
import type { ExchangeRecord } from './_record.ts';
import { TRAIT } from './_traits.ts';
import type { Context } from './context.ts';

/**
 * Steps 2 and 3 of a request's life, route and guard: which upstream it is for, and whether it may go there.
 * Nothing is claimed yet; all of it happens in one tick, with the head's bytes at hand.
 * @returns why it is refused, or null.
 */
export function guard(ctx: Context, exchange: ExchangeRecord, head: RequestHead, buf: Buffer): Fault | null {
  if ((exchange.traits & TRAIT.trace) !== 0) return REJECT.methodRefused;
  const name = ctx.table.routes.find(head, buf);
  if (typeof name !== 'string') return name;
  const upstream = ctx.table.upstreams.get(name)!;
  exchange.upstream = upstream;
  const { limits, sticky } = upstream.policy;
  if (limits.body !== null && head.body === BODY.length && head.length > limits.body) return REJECT.bodyTooLarge;
  if (sticky.cookie !== null || sticky.header !== null) stickyKey(exchange, head, buf);
  if (head.upgrade !== -1) exchange.traits |= TRAIT.upgrade;
  return null;
}
