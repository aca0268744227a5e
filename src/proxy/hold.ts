import { REJECT } from '../errors/catalogue.ts';
import type { Context } from './context.ts';
import type { Exchange } from './request.ts';
import type { UpstreamTarget } from './targets.ts';

interface Queue {
  /** Row of the upstream in the ledger. */
  readonly slot: number;
  readonly waiting: Set<Exchange>;
}

/**
 * Requests that wait at the door of an upstream: while it is held, or (if it allows it) while no
 * backend is available. Bounded: this thread's share of the upstream's queue. First in, first out.
 */
export class HoldQueues {
  private readonly queues = new Map<string, Queue>();
  private readonly ctx: Context;
  private readonly threads: number;

  constructor(ctx: Context, threads: number) {
    this.ctx = ctx;
    this.threads = threads;
  }

  /** @returns false when the queue is full. */
  enter({ name, slot, policy }: UpstreamTarget, exchange: Exchange): boolean {
    const queue = this.queues.get(name) ?? { slot, waiting: new Set() };
    if (queue.waiting.size >= Math.ceil(policy.hold.queue / this.threads)) return false;
    queue.waiting.add(exchange);
    this.queues.set(name, queue);
    this.ctx.ledger.waiting(queue.slot, 1);
    return true;
  }

  leave(name: string, exchange: Exchange): void {
    const queue = this.queues.get(name);
    if (queue === undefined || !queue.waiting.delete(exchange)) return;
    this.ctx.ledger.waiting(queue.slot, -1);
    if (queue.waiting.size === 0) this.queues.delete(name);
  }

  /** Lets go on who can; called after each change of table and every tick. */
  release(): void {
    if (this.queues.size === 0) return;
    for (const [name, { waiting }] of this.queues) {
      const upstream = this.ctx.table.upstreams.get(name);
      // Those that come while these go on, behind them on the same connection, wait for the next time.
      for (const exchange of Array.from(waiting)) {
        if (upstream === undefined) exchange.unhold(REJECT.noRoute);
        else if (upstream.held || !exchange.unhold(null)) break;
      }
    }
  }
}
