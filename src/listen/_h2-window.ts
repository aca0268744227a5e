import type { ServerHttp2Session } from 'node:http2';

/** What a client is let send that could not send anything: a frame. */
const NUDGE = 16_384;
/** All that it is given so is taken off what a window can be (2³¹ − 1) for good; past that the connection takes no new streams. */
const MOST_NUDGED = 2 ** 30;

/**
 * The window of a connection (RFC 9113 §6.9), which may be made smaller and larger again. nghttp2 makes it smaller by not giving back what
 * comes, and larger by giving back more with the next bytes that come. So a client that may send nothing at all is let send a little first.
 */
export class SessionWindow {
  private readonly session: ServerHttp2Session;
  /** What nghttp2 has given in all, beside what it gives back. */
  private given: number;
  private size: number;

  constructor(session: ServerHttp2Session, size: number) {
    this.session = session;
    this.given = this.size = size;
    session.setLocalWindowSize(size);
  }

  /** The client may send less than a frame. */
  get isShut(): boolean {
    return !this.session.destroyed && (this.session.state.localWindowSize ?? NUDGE) < NUDGE;
  }

  /** @returns whether it was shut and is opened. */
  set(size: number): boolean {
    const { session } = this;
    const opens = size > this.size;
    this.size = size;
    if (session.destroyed) return false;
    session.setLocalWindowSize(size);
    if (!opens || !this.isShut) return false;
    this.nudge();
    return true;
  }

  private nudge(): void {
    const { session } = this;
    this.given += NUDGE;
    // It says only what is above all that was given before; and nothing, until something else is to be sent.
    session.setLocalWindowSize(this.given);
    session.setLocalWindowSize(this.size);
    session.ping(ignore);
    if (this.given > MOST_NUDGED && !session.closed) session.close();
  }
}

function ignore(): void {
  // That it was sent is all that matters.
}
