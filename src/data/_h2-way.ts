import { connect, type Socket } from 'node:net';
import type { TlsClient } from '../dial/tls.ts';
import type { BackendSocket, DialOwner, Way } from '../proxy/way.ts';
import { H2Bridge, type H2Sessions } from './_h2-bridge.ts';
import { H2Session, type SessionOwner } from './_h2-session.ts';

/** Connections to one backend by one thread; past what they carry, requests wait for a place until their dial deadline. */
const MOST_SESSIONS = 16;
/** So long after requests were sent away new connections are given no more of them than the last one took, until they have answered those. */
const CAUTIOUS_MS = 500;
const KEEP_ALIVE_MS = 60_000;

/** HTTP/2 to one backend: few connections, each with many requests. */
export class H2Way implements Way, H2Sessions, SessionOwner {
  readonly shared = true;
  readonly scheme: 'http' | 'https';
  private readonly host: string;
  private readonly port: number;
  private readonly tls: TlsClient | null;
  private readonly count: (change: 1 | -1) => void;
  /** Those that take requests, or will. */
  private readonly sessions = new Set<H2Session>();
  private readonly waiting = new Set<H2Bridge>();
  trust = Infinity;
  private caution: NodeJS.Timeout | undefined;
  private ticket: Buffer | undefined;
  private retired = false;

  /** @param count counts open connections. */
  constructor(tls: TlsClient | null, host: string, port: number, count: (change: 1 | -1) => void) {
    this.tls = tls;
    this.scheme = tls === null ? 'http' : 'https';
    this.host = host;
    this.port = port;
    this.count = count;
  }

  dial(owner: DialOwner): BackendSocket {
    const bridge = new H2Bridge(this, owner);
    const session = this.free();
    if (session === null) {
      this.waiting.add(bridge);
      this.grow();
    } else {
      session.take();
      bridge.open(session, false);
    }
    return bridge;
  }

  warm(): void {
    if (this.sessions.size === 0) this.grow();
  }

  retire(): void {
    this.retired = true;
    for (const session of this.sessions) if (session.streams === 0 && this.waiting.size === 0) session.retire();
  }

  forget(bridge: H2Bridge): void {
    this.waiting.delete(bridge);
    if (this.waiting.size > 0) return;
    // Nobody waits for those that never got ready.
    for (const session of this.sessions) if (!session.usable) session.end(null);
  }

  private free(): H2Session | null {
    for (const session of this.sessions) if (session.hasRoom) return session;
    return null;
  }

  private grow(): void {
    if (this.sessions.size >= MOST_SESSIONS) return;
    for (const session of this.sessions) if (!session.usable) return;
    this.count(1);
    this.sessions.add(new H2Session(this.connect(), this.scheme, this));
  }

  private connect(): Socket {
    const { host, port, tls } = this;
    if (tls === null) return connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    const socket = tls.connect(host, port, { session: this.ticket });
    socket.on('session', (ticket: Buffer) => (this.ticket = ticket));
    return socket;
  }

  ready(session: H2Session): void {
    for (const bridge of this.waiting) {
      if (!session.hasRoom) break;
      this.waiting.delete(bridge);
      session.take();
      bridge.open(session, true);
    }
    if (this.waiting.size > 0) this.grow();
  }

  released(session: H2Session): void {
    if (this.waiting.size > 0 && session.hasRoom) this.ready(session);
    else if (this.retired && session.streams === 0) session.retire();
  }

  /** All that wait would go to the next connection, and be sent away again: it is not given more than this one has taken. */
  sentAway(seen: number): void {
    this.trust = Math.max(1, seen);
    clearTimeout(this.caution);
    this.caution = setTimeout(() => this.confide(), CAUTIOUS_MS);
    this.caution.unref();
  }

  private confide(): void {
    this.trust = Infinity;
    for (const session of this.sessions) {
      session.confide();
      if (this.waiting.size > 0 && session.hasRoom) this.ready(session);
    }
  }

  over(session: H2Session, error: Error | null): void {
    this.sessions.delete(session);
    if (this.waiting.size === 0) return;
    if (error === null) return this.grow();
    // As long as others carry requests, a place may become free there.
    for (const other of this.sessions) if (other.usable) return;
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const bridge of waiting) bridge.lose(error);
  }

  closed(): void {
    this.count(-1);
  }
}
