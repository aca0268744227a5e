import { REJECT } from '../errors/catalogue.ts';
import type { Context } from './context.ts';
import type { Exchange } from './request.ts';
import type { UpstreamTarget, WaitingRoom } from './targets.ts';

interface Queue {
  readonly upstream: UpstreamTarget;
  readonly waiting: Set<Exchange>;
}

/** Of those that wait for a place, how many are asked in vain before the others wait on: they may want another version. */
const MOST_ASKED = 16;

/**
 * Requests that wait at the door of an upstream: while it is held, or (if it allows it) while no backend is available or
 * each is at its limit. Bounded: this thread's share of what the upstream allows. First in, first out.
 */
export class HoldQueues {
  private readonly queues = new Map<string, Queue>();
  private readonly ctx: Context;
  private readonly threads: number;
  private waking = false;
  private polling = false;

  constructor(ctx: Context, threads: number) {
    this.ctx = ctx;
    this.threads = threads;
  }

  /** @returns false when the room is full. */
  enter(upstream: UpstreamTarget, room: WaitingRoom, exchange: Exchange): boolean {
    const queue = this.queues.get(upstream.name) ?? { upstream, waiting: new Set() };
    if (queue.waiting.size >= Math.ceil(room.most / this.threads)) return false;
    queue.waiting.add(exchange);
    this.queues.set(upstream.name, queue);
    this.ctx.ledger.waiting(queue.upstream.slot, 1);
    upstream.load.waiting++;
    if (room === upstream.queue) this.poll();
    return true;
  }

  leave(name: string, exchange: Exchange): void {
    const queue = this.queues.get(name);
    if (queue === undefined || !queue.waiting.delete(exchange)) return;
    this.ctx.ledger.waiting(queue.upstream.slot, -1);
    queue.upstream.load.waiting--;
    if (queue.waiting.size === 0) this.queues.delete(name);
  }

  /** A place on a backend of an upstream is free again: for the first who waits here, or on another thread by as good a chance. */
  freed({ slot, load, queue }: UpstreamTarget): void {
    if (queue === null || this.waking || Math.random() * this.ctx.ledger.waitingOf(slot) >= load.waiting) return;
    this.waking = true;
    // Not now: an answer is being written in the scratch that a refusal would use.
    queueMicrotask(() => {
      this.waking = false;
      this.release();
    });
  }

  /** Places that other threads have left are looked for while anybody waits for one. */
  private poll(): void {
    if (this.polling) return;
    this.polling = true;
    this.ctx.soon(() => {
      this.polling = false;
      this.release();
      for (const { upstream } of this.queues.values()) if (upstream.queue !== null) this.poll();
    });
  }

  /** Lets go on who can; called after each change of table and every tick. */
  release(): void {
    if (this.queues.size === 0) return;
    for (const [name, { waiting }] of this.queues) {
      const upstream = this.ctx.table.upstreams.get(name);
      let vain = 0;
      // Those that come while these go on, behind them on the same connection, wait for the next time.
      for (const exchange of Array.from(waiting)) {
        if (upstream === undefined) exchange.unhold(REJECT.noRoute);
        else if (upstream.held) break;
        else if (!exchange.unhold(null)) {
          // It may have come while the upstream was held, and wait for a place only now.
          if (upstream.queue !== null) this.poll();
          if (++vain >= (upstream.queue === null ? 1 : MOST_ASKED)) break;
        }
      }
    }
  }
}
