import { OUTCOME } from '../ledger/thread.ts';
import type { Answer } from './_answer.ts';
import { chooseOther } from './_choose.ts';
import type { ExchangeRecord } from './_record.ts';
import { TRAIT } from './_traits.ts';
import type { Context } from './context.ts';
import type { UpstreamConnection } from './upstream.ts';

/**
 * An asset that its version has answered with 404 may be one of another version: a page that was open at the cutover asks for it.
 * The other version is claimed before this one is let go of; its 404 is passed over, and no more of that is read than is here.
 * @returns whether the request is to be sent to the backend that is claimed now; else nothing has changed.
 */
export function rescue(ctx: Context, exchange: ExchangeRecord, answer: Answer, connection: UpstreamConnection): boolean {
  const { backend, version, kind } = exchange;
  const { keepAlive, keepAliveSeconds } = answer.head;
  exchange.traits &= ~TRAIT.asset;
  if (!exchange.upload.replayable || !chooseOther(ctx, exchange)) return false;
  exchange.traits |= TRAIT.rescued;
  if (answer.skip() && keepAlive) connection.giveBack(keepAliveSeconds);
  else connection.destroy();
  ctx.ledger.settle(backend!.slot, version!.slot, OUTCOME.completed, kind);
  return true;
}
