import { EDGE } from '../ledger/layout.ts';
import type { ThreadLedger } from '../ledger/thread.ts';

/** A client that is not read from while there is too much unread. */
export interface HeldBack {
  proceed(): void;
}

/**
 * The bytes of request bodies that lie in a thread because their backends take no more, of all its HTTP/2 connections. (A client with
 * HTTP/1.1 has one request at a time, and is not read from then.)
 */
export class UnreadBodies {
  private readonly ledger: ThreadLedger;
  /** Bytes that may lie here. */
  private readonly most: () => number;
  private readonly held = new Set<HeldBack>();
  private bytes = 0;

  constructor(ledger: ThreadLedger, most: () => number) {
    this.ledger = ledger;
    this.most = most;
  }

  get isFull(): boolean {
    return this.bytes > this.most();
  }

  change(by: number): void {
    this.bytes += by;
    this.ledger.count(EDGE.unread, by);
    if (by > 0 || this.held.size === 0 || this.isFull) return;
    const all = [...this.held];
    this.held.clear();
    for (const one of all) one.proceed();
  }

  /** It goes on when there is room again. */
  hold(one: HeldBack): void {
    if (this.held.has(one)) return;
    this.held.add(one);
    this.ledger.count(EDGE.heldBack, 1);
  }

  forget(one: HeldBack): void {
    this.held.delete(one);
  }
}
