import { parentPort, workerData } from 'node:worker_threads';
import { ClientTable } from '../ledger/clients.ts';
import { KIND, ThreadLedger } from '../ledger/thread.ts';
import { TcpListener } from '../listen/tcp.ts';
import type { ListenerSpec } from '../listen/tcp.ts';
import { ChallengeContexts } from '../listen/tls-contexts.ts';
import type { PendingChallenges } from '../pool/acme.ts';
import { AccessLog } from '../proxy/access-log.ts';
import { Callers } from '../proxy/callers.ts';
import { Context } from '../proxy/context.ts';
import { UpstreamConnection } from '../proxy/upstream.ts';
import { RunningClock } from './_clock.ts';
import { dial, eventBatch } from './dial.ts';
import { Finish } from './finish.ts';
import { Intake } from './intake.ts';
import type { Prepared } from './intake.ts';
import type { TlsPolicy } from '../pool/tls.ts';
import type { FromThread, ThreadBirth, ToThread } from './messages.ts';
import { TICK_MS, Wheel } from './wheel.ts';

/** What a peer may take at most to hang up after it was asked to; closes are spread so that the last still has its time. */
const GOODBYE_MS = 2_000;

/** Deadlines that pass in one turn of the event loop: some 2 ms. */
const MOST_EXPIRED = 32;

/** Entry of a data thread: its listeners, its upstream connections, the current table. No I/O but proxying. */
class DataThread {
  private readonly port = parentPort!;
  private readonly birth = workerData as ThreadBirth;
  private readonly clock = new RunningClock(performance.now());
  private readonly wheel = new Wheel(this.clock.now, Date.now());
  private readonly intake: Intake;
  private readonly ctx: Context;
  private readonly listeners: TcpListener[] = [];
  /** What was told of certificates, by position: it may come while the listeners are still being opened. */
  private readonly newest = new Map<number, TlsPolicy>();
  /** Asked in TLS handshakes. */
  private challenges: ChallengeContexts | null = null;
  private next: Prepared | null = null;
  private finish: Finish | null = null;

  constructor() {
    const ledger = new ThreadLedger(this.birth.ledger, this.birth.thread);
    this.intake = new Intake((slot, change) => ledger.sockets(slot, change), this.birth.threads);
    const first = this.intake.compile(this.birth.table);
    const log = new AccessLog(first.table.edge.accessLog, (batch) => this.say({ type: 'log', batch }));
    const callers = new Callers(new ClientTable(this.birth.clients, this.birth.thread), ledger);
    this.ctx = new Context({
      ledger,
      callers,
      timers: this.wheel,
      log,
      dial,
      batch: eventBatch,
      table: first.table,
      threads: this.birth.threads,
      onTable: () => this.moved(),
    });
    ledger.ack(first.table.generation);
    this.port.on('message', (message: ToThread) => this.hear(message));
    setInterval(() => this.tick(), TICK_MS);
    this.say({ type: 'ready' });
  }

  private say(message: FromThread): void {
    this.port.postMessage(message);
  }

  /**
   * Deadlines are looked at once what has arrived is read: a thread that was held up finds both that the time is over and
   * the bytes that came in time.
   */
  private tick(): void {
    this.wheel.look(this.clock.look(performance.now()), Date.now());
    setImmediate(() => this.turn());
  }

  private turn(): void {
    this.expire();
    this.ctx.refresh();
    this.ctx.hold.release();
    this.ctx.log.flush();
    this.finish?.tick(this.wheel.now);
  }

  /** Thousands of clients may be due at once; between two parts of them the others have their turn. */
  private expire(): void {
    if (this.wheel.advance(this.wheel.now, this.wheel.epoch, MOST_EXPIRED)) setImmediate(() => this.expire());
  }

  private hear(message: ToThread): void {
    switch (message.type) {
      case 'prepare':
        // A generation that is committed already is moved to before its successor takes its place.
        this.ctx.refresh();
        this.next = this.intake.compile(message.delta);
        this.ctx.prepare(this.next.table);
        return this.say({ type: 'prepared', generation: message.delta.generation });
      case 'commit':
        return this.ctx.refresh();
      case 'listen':
        void this.listen(message.listeners);
        return undefined;
      case 'tls':
        for (const [at, tls] of message.policies) {
          this.newest.set(at, tls);
          this.listeners.at(at)?.entrance.renew(tls);
        }
        this.reserve();
        return this.say({ type: 'renewed', renewal: message.renewal });
      case 'challenges':
        this.challenge(message.pending);
        return this.say({ type: 'renewed', renewal: message.renewal });
      case 'cut':
        return this.cut(message.versionSlot, message.kind, message.spreadMs);
      case 'finish':
        this.ctx.closing = true;
        this.finish = new Finish(this.ctx, this.listeners, message.drainMs, (cut) => {
          this.ctx.log.flush();
          this.say({ type: 'stopped', cut });
        });
        return undefined;
    }
  }

  /** Called in the tick in which the thread moves to a new table. */
  private moved(): void {
    const { next } = this;
    this.next = null;
    if (next === null) return;
    for (const backend of next.retired) {
      backend.retired = true;
      for (const connection of backend.idle.splice(0)) connection.destroy();
      for (const connection of backend.bound) connection.expired();
      backend.way?.retire();
    }
    for (const backend of next.warm) if (backend.idle.length === 0) UpstreamConnection.warm(this.ctx, backend);
    // Not now: a request may be in the middle of its pick, and its head in the scratch that another would use.
    queueMicrotask(() => this.ctx.hold.release());
  }

  private challenge({ answers, certificates }: PendingChallenges): void {
    this.ctx.challenges = answers.size === 0 ? null : answers;
    this.challenges = certificates.size === 0 ? null : new ChallengeContexts(certificates);
    for (const { entrance } of this.listeners) entrance.challenges = this.challenges;
  }

  /** What one listener says of its clients, no client of another may say of itself. */
  private reserve(): void {
    this.ctx.reserved.set(this.listeners.flatMap(({ entrance: { clientAuth } }) => (clientAuth === null ? [] : [clientAuth.fields])));
  }

  private async listen(specs: readonly ListenerSpec[]): Promise<void> {
    const ports: number[] = [];
    for (const [at, spec] of specs.entries()) this.listeners.push(new TcpListener(this.ctx, { ...spec, tls: this.newest.get(at) ?? spec.tls }));
    for (const { entrance } of this.listeners) entrance.challenges = this.challenges;
    this.reserve();
    for (const [at, listener] of this.listeners.entries()) {
      try {
        ports.push(await listener.listen(specs[at]));
      } catch (error) {
        return this.say({ type: 'listen-failed', listener: specs[at], code: (error as NodeJS.ErrnoException).code ?? String(error) });
      }
    }
    this.say({ type: 'listening', ports });
  }

  private cut(versionSlot: number, kind: 'requests' | 'tunnels', spreadMs: number): void {
    if (kind === 'requests') this.ctx.shadows.cut(versionSlot);
    const long: { closePolitely(grace: number): void; inFlightOn(slot: number): number | null }[] = [];
    for (const client of this.ctx.clients) {
      const found = client.exchange.inFlightOn(versionSlot);
      if (found === null) continue;
      if (found === KIND.http) {
        if (kind === 'requests') client.exchange.kill();
      } else if (kind === 'tunnels') long.push(client.exchange);
    }
    const goodbye = Math.min(GOODBYE_MS, Math.max(spreadMs / 2, TICK_MS));
    const window = Math.max(0, spreadMs - goodbye);
    for (const [i, exchange] of long.entries()) {
      const close = (): void => {
        const found = exchange.inFlightOn(versionSlot);
        if (found !== null && found !== KIND.http) exchange.closePolitely(goodbye);
      };
      setTimeout(close, (window * i) / long.length);
    }
  }
}

new DataThread();
