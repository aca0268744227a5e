import { REJECT } from '../errors/catalogue.ts';
import { EDGE } from '../ledger/layout.ts';
import type { Context } from './context.ts';
import type { Exchange } from './request.ts';

/**
 * Requests that wait at the door of an upstream: while it is held, or (if it allows it) while no
 * backend is available. Bounded: this thread's share of the upstream's queue. First in, first out.
 */
export class HoldQueues {
  private readonly queues = new Map<string, Set<Exchange>>();
  private readonly ctx: Context;
  private readonly threads: number;

  constructor(ctx: Context, threads: number) {
    this.ctx = ctx;
    this.threads = threads;
  }

  /** @returns false when the queue is full. */
  enter(name: string, exchange: Exchange, limit: number): boolean {
    const queue = this.queues.get(name) ?? new Set();
    if (queue.size >= Math.ceil(limit / this.threads)) return false;
    queue.add(exchange);
    this.queues.set(name, queue);
    this.ctx.ledger.count(EDGE.held, 1);
    return true;
  }

  leave(name: string, exchange: Exchange): void {
    const queue = this.queues.get(name);
    if (queue === undefined || !queue.delete(exchange)) return;
    this.ctx.ledger.count(EDGE.held, -1);
    if (queue.size === 0) this.queues.delete(name);
  }

  /** Lets go on who can; called after each change of table and every tick. */
  release(): void {
    if (this.queues.size === 0) return;
    for (const [name, queue] of this.queues) {
      const upstream = this.ctx.table.upstreams.get(name);
      for (const exchange of queue) {
        if (upstream === undefined) exchange.unhold(REJECT.noRoute);
        else if (upstream.held || !exchange.unhold(null)) break;
      }
    }
  }
}
