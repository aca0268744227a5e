import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream, type ClientSessionRequestOptions, type Settings } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { LossError } from '../dial/loss.ts';
import { FAILURE } from '../errors/catalogue.ts';

/** Requests on one connection, if the backend allows as many. */
const MOST_STREAMS = 256;
/** Bytes that a backend may send ahead on one stream, and on all of a connection. */
const STREAM_WINDOW = 256 * 1024;
const SESSION_WINDOW = 4 * 1024 * 1024;
/** Megabytes that the runtime may hold for one connection before it refuses further streams. */
const MOST_MEMORY_MB = 100;
const MOST_HEAD_BYTES = 65_536;
const MOST_FIELDS = 256;
const SWEEP_MS = 5_000;
const IDLE_MS = 60_000;
/** A connection on which nothing has come for so long while a request waited is asked whether it is there. */
const SILENT_MS = 1_000;
const PING_MS = 5_000;

/** What the pool hears of a connection. */
export interface SessionOwner {
  /** Requests that a new connection is given at a time, to begin with. */
  readonly trust: number;
  /** It may be used. */
  ready(session: H2Session): void;
  /** A request on it is over. */
  released(session: H2Session): void;
  /** It was sent away with only so many of its requests looked at. */
  sentAway(seen: number): void;
  /** It takes no more requests. `error` when it never took any. */
  over(session: H2Session, error: Error | null): void;
  /** It counts as open no more. */
  closed(): void;
}

/** One HTTP/2 connection to a backend. It is used once the backend's SETTINGS have come: then it is known to speak HTTP/2, and how many streams it takes. */
export class H2Session {
  /** Requests on it now. */
  streams = 0;
  usable = false;
  /** What broke it. */
  error: Error | null = null;
  private limit = 0;
  /** Requests that it is given at a time until it has answered so many: a backend that has sent some away may do so again. */
  private trust = 0;
  private lastSeen = Infinity;
  private spoken = false;
  private asked = 0;
  private told = false;
  private ended = false;
  private counted = true;
  private heardAt = 0;
  private idleSince: number;
  private pinging = false;
  private session: ClientHttp2Session | null = null;
  private readonly lingering = new Set<ClientHttp2Stream>();
  private readonly socket: Socket;
  private readonly owner: SessionOwner;
  private readonly sweep: NodeJS.Timeout;

  /** @param socket is on its way; over TLS it says `secureConnect`. */
  constructor(socket: Socket, scheme: 'http' | 'https', owner: SessionOwner) {
    this.socket = socket;
    this.owner = owner;
    this.idleSince = performance.now();
    this.sweep = setInterval(() => this.look(), SWEEP_MS);
    this.sweep.unref();
    const early = (error: Error): void => this.end(unspoken(error));
    socket.on('error', early);
    socket.once(scheme === 'https' ? 'secureConnect' : 'connect', () => {
      if (scheme === 'https' && (socket as TLSSocket).alpnProtocol !== 'h2') return this.end(new LossError(FAILURE.noHttp2, false));
      socket.off('error', early);
      this.begin(socket, scheme);
    });
  }

  private begin(socket: Socket, scheme: 'http' | 'https'): void {
    const session = connectHttp2(`${scheme}://backend`, {
      createConnection: () => socket,
      maxSessionMemory: MOST_MEMORY_MB,
      maxHeaderListPairs: MOST_FIELDS,
      maxReservedRemoteStreams: 0,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW, maxHeaderListSize: MOST_HEAD_BYTES },
    });
    this.session = session;
    session.on('remoteSettings', ({ maxConcurrentStreams }: Settings) => {
      this.limit = Math.min(maxConcurrentStreams ?? MOST_STREAMS, MOST_STREAMS);
      if (!this.spoken) {
        session.setLocalWindowSize(SESSION_WINDOW);
        this.trust = this.owner.trust;
      }
      this.spoken = true;
      this.usable = !this.told;
      if (this.usable) this.owner.ready(this);
    });
    session.on('goaway', (_code: number, lastStreamId: number) => {
      this.lastSeen = Math.min(this.lastSeen, lastStreamId);
      const seen = (lastStreamId + 1) / 2;
      if (this.asked > seen) this.owner.sentAway(Math.floor(seen));
      // Those who wait hear of it, or a backend that sends everybody away at once would be dialled without end.
      this.retire(this.asked > 0 ? null : new LossError(FAILURE.streamRefused, true));
    });
    session.on('error', (error) => (this.error = this.spoken ? error : unspoken(error)));
    session.on('close', () => this.end(this.error ?? (this.spoken ? null : new LossError(FAILURE.noHttp2, false))));
  }

  /** A backend that is going away takes nothing from the frame on that says so, which is before its event. */
  get hasRoom(): boolean {
    return this.usable && !this.session!.closed && this.streams + this.lingering.size < Math.min(this.limit, this.trust);
  }

  /** The connection has ended. */
  get gone(): boolean {
    return this.ended || this.session?.destroyed === true;
  }

  /** @returns null when the connection has just ended. */
  request(fields: string[], options: ClientSessionRequestOptions): ClientHttp2Stream | null {
    const { session } = this;
    if (session === null || session.closed || session.destroyed) return null;
    this.asked++;
    try {
      return session.request(fields, options);
    } catch {
      return null;
    }
  }

  /** A bridge takes a place on it. */
  take(): void {
    this.streams++;
  }

  release(): void {
    this.streams--;
    this.idleSince = performance.now();
    if (this.told && this.streams === 0) this.closeBooks();
    this.owner.released(this);
  }

  /** The answer is whole, but the stream not closed yet: its last frame may have nothing in it. A reset would count against us there. */
  linger(stream: ClientHttp2Stream): void {
    this.lingering.add(stream);
    stream.resume();
    stream.once('close', () => {
      this.lingering.delete(stream);
      this.owner.released(this);
    });
    this.release();
  }

  /** A request on it has been answered. */
  answered(): void {
    if (this.trust >= this.limit) return;
    this.trust++;
    this.owner.released(this);
  }

  /** It is given as many requests as it takes. */
  confide(): void {
    this.trust = Infinity;
  }

  heard(): void {
    this.heardAt = performance.now();
  }

  /** Whether the backend has said that it has not looked at this stream (RFC 9113 §6.8). */
  neverSaw(id: number | undefined): boolean {
    return id === undefined || id > this.lastSeen;
  }

  /** A request that began then was given up without an answer: is anybody there? */
  doubt(since: number): void {
    const { session } = this;
    if (this.pinging || session === null || session.destroyed || this.heardAt > since || performance.now() - since < SILENT_MS) return;
    this.pinging = true;
    let waits = true;
    const late = (): void => {
      if (waits) this.end(new Error('a PING was not answered'));
    };
    // A thread that was held up reads first what has arrived.
    const deadline = setTimeout(() => setImmediate(late), PING_MS);
    const answered = (error: Error | null): void => {
      waits = false;
      clearTimeout(deadline);
      this.pinging = false;
      if (error === null) this.heard();
    };
    if (!session.ping(answered)) clearTimeout(deadline);
  }

  private look(): void {
    for (const stream of this.lingering) stream.close();
    if (this.streams === 0 && performance.now() - this.idleSince > IDLE_MS) this.retire();
  }

  /** Takes no more requests; ends when those under way have. */
  retire(error: Error | null = null): void {
    this.tell(error);
    if (this.streams === 0) this.closeBooks();
    if (this.session === null) this.end(null);
    else if (!this.session.closed) this.session.close();
  }

  /** Ends it now, with all that is on it. */
  end(error: Error | null): void {
    if (this.ended) return;
    this.ended = true;
    this.error ??= error;
    clearInterval(this.sweep);
    this.tell(this.spoken ? null : this.error);
    this.closeBooks();
    this.session?.destroy();
    this.socket.destroy();
  }

  private closeBooks(): void {
    if (!this.counted) return;
    this.counted = false;
    this.owner.closed();
  }

  private tell(error: Error | null): void {
    this.usable = false;
    if (this.told) return;
    this.told = true;
    this.owner.over(this, error);
  }
}

/** What has gone wrong before the backend has said a word of HTTP/2. */
function unspoken(error: Error): Error {
  const { code = '' } = error as NodeJS.ErrnoException;
  return code.startsWith('ERR_HTTP2') || code.includes('NO_APPLICATION_PROTOCOL') ? new LossError(FAILURE.noHttp2, false) : error;
}
