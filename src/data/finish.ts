import { KIND } from '../ledger/thread.ts';
import type { TcpListener } from '../listen/tcp.ts';
import type { Context } from '../proxy/context.ts';

/** A listener closes once no connection has come for so long, or at the latest after `ACCEPT_MS`. */
const QUIET_MS = 250;
const ACCEPT_MS = 2_000;
/** An idle connection is closed when its client has had so long to send one more request. */
const IDLE_MS = 1_000;
/** Streams and tunnels are asked to close this long before the deadline. */
const GOODBYE_MS = 3_000;

/** The end of a data thread: answers close their connections, listeners stop, what is in flight ends or is cut at the deadline. */
export class Finish {
  private readonly ctx: Context;
  private readonly listeners: TcpListener[];
  private readonly since: number;
  private readonly until: number;
  private readonly done: (cut: number) => void;
  private listening = true;
  private said = false;
  private asked = false;

  constructor(ctx: Context, listeners: TcpListener[], drainMs: number, done: (cut: number) => void) {
    this.ctx = ctx;
    this.listeners = listeners;
    this.since = ctx.timers.now;
    this.until = this.since + drainMs;
    this.done = done;
  }

  /** Called each tick of the thread. */
  tick(now: number): void {
    if (this.said) return;
    const { clients, arriving } = this.ctx;
    if (this.listening && (now - this.since > ACCEPT_MS || this.listeners.every((listener) => now - Math.max(listener.lastAccept, this.since) > QUIET_MS))) {
      this.listening = false;
      for (const listener of this.listeners) listener.close();
    }
    if (now - this.since > IDLE_MS) {
      for (const client of clients) client.closeIdle(now - IDLE_MS);
      for (const one of arriving) one.closeIdle(now - IDLE_MS);
    }
    if (!this.asked && now > this.until - GOODBYE_MS) this.askLong();
    if (now > this.until) this.cutAll();
    else if (this.listeners.every(({ closed }) => closed) && this.ctx.connections === 0) this.end(0);
  }

  private askLong(): void {
    this.asked = true;
    for (const client of this.ctx.clients) {
      const kind = client.exchange.kind;
      if (client.exchange.inFlight && kind !== KIND.http) client.exchange.closePolitely(GOODBYE_MS);
    }
  }

  private cutAll(): void {
    let cut = 0;
    for (const client of this.ctx.clients) {
      if (client.exchange.inFlight) cut++;
      client.exchange.kill();
      client.close();
    }
    for (const one of this.ctx.arriving) one.close();
    this.end(cut);
  }

  private end(cut: number): void {
    this.said = true;
    this.done(cut);
  }
}
