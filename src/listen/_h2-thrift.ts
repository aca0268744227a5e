import type { Socket } from 'node:net';
import { Deadline } from '../proxy/deadline.ts';
import type { Expiring, Timers } from '../proxy/deadline.ts';

/** Bytes of request bodies that a stream may have on the way without our having taken them. */
export const STREAM_WINDOW = 262_144;
/** Of all streams, also those that are over by now: what they may send still is forgotten past that. */
const MOST_WINDOWS = 128 * STREAM_WINDOW;
/** What a client may send beside requests: so many bytes at once, and a second. */
const BURST = 131_072;
const A_SECOND = 32_768;
/** Of that, frames that carry nothing of a request: so many bytes at once, and a second; and for each stream. Each costs some µs. */
const BESIDE_BURST = 16_384;
const BESIDE_A_SECOND = 8_192;
const BESIDE_A_STREAM = 128;
/** What of them comes to less is looked at later. */
const BESIDE_UNSEEN = 1_024;
/** Of each stream, beside its head, for the frames that go with it. */
const FOR_A_STREAM = 4_096;
/** Of each piece of a body, beside itself: the head of its frame, and what a tunnel's messages need. */
const FOR_A_PIECE = 32;
/** Of what we send, one part in so many may come back as window updates. */
const ANSWERED = 4;
/** How often that is looked at: while much comes, and otherwise. */
const BUSY_BYTES = 16_384;
const BUSY_MS = 50;
const QUIET_MS = 1_000;
const UNSEEN = 262_144;

/**
 * Frames that ask for nothing (pings, settings, window updates, empty or unknown ones) cost as much as those that do, and
 * most of them are never seen here. So what is counted is bytes: those that came, without those that served a request.
 */
export class Thrift implements Expiring {
  private readonly socket: Socket;
  private readonly timers: Timers;
  private readonly deadline: Deadline;
  private readonly wasted: () => void;
  /** Of the connection. */
  private readonly window: number;
  private useful = 0;
  /** Bytes of bodies that may come, by the windows of streams. */
  private windows = 0;
  private read = 0;
  private written = 0;
  private debt = 0;
  private unseen = 0;
  private at: number;
  /** The same of frames beside requests. */
  private readonly besideBurst: number;
  private besideDebt = 0;
  private besideGranted = 0;
  private besideWritten = 0;
  private besideAt: number;

  /** @param share of what is forgiven, for this client. @param window of its connection. @param wasted called when there was too much. */
  constructor(socket: Socket, timers: Timers, { share, window }: { share: number; window: number }, wasted: () => void) {
    this.socket = socket;
    this.window = window;
    this.besideBurst = BESIDE_BURST * share;
    this.besideAt = timers.now;
    this.timers = timers;
    this.wasted = wasted;
    this.at = timers.now;
    this.deadline = new Deadline(this);
    timers.arm(this.deadline, BUSY_MS);
  }

  stream(): void {
    this.useful += FOR_A_STREAM;
    this.besideGranted += BESIDE_A_STREAM;
    this.widen(STREAM_WINDOW);
  }

  private widen(bytes: number): void {
    this.windows = Math.min(MOST_WINDOWS, this.windows + bytes);
  }

  /** Bytes of bodies: they are of use, whether they wait here or their stream is over, as far as they were invited. */
  data(bytes: number): void {
    const invited = Math.min(bytes, this.windows);
    this.windows -= invited;
    this.useful += invited;
  }

  /** Bytes of heads, which have limits of their own. */
  head(bytes: number): void {
    this.useful += bytes;
  }

  /** Part of a body was taken. */
  piece(bytes: number): void {
    this.useful += FOR_A_PIECE;
    this.widen(bytes);
  }

  /** Bytes have come: when they are many, that is looked at before the next do. */
  came(bytes: number): void {
    this.unseen += bytes;
    if (this.unseen > UNSEEN) this.expired();
  }

  /** Frames that carry nothing of a request have come. */
  cameBeside(bytes: number): void {
    this.besideDebt += bytes;
    if (this.besideDebt < BESIDE_UNSEEN) return;
    const { bytesWritten } = this.socket;
    const { now } = this.timers;
    const granted = this.besideGranted + (bytesWritten - this.besideWritten) / ANSWERED + ((now - this.besideAt) * BESIDE_A_SECOND) / 1000;
    this.besideDebt = Math.max(0, this.besideDebt - granted);
    this.besideGranted = 0;
    this.besideWritten = bytesWritten;
    this.besideAt = now;
    if (this.besideDebt > this.besideBurst) this.wasted();
  }

  expired(): void {
    this.unseen = 0;
    const { bytesRead, bytesWritten } = this.socket;
    const { now } = this.timers;
    const came = bytesRead - this.read;
    const granted = this.useful + (bytesWritten - this.written) / ANSWERED + ((now - this.at) * A_SECOND) / 1000;
    this.debt = Math.max(0, this.debt + came - granted);
    this.read = bytesRead;
    this.written = bytesWritten;
    this.useful = 0;
    this.at = now;
    if (this.debt > BURST + this.window) this.wasted();
    else this.timers.arm(this.deadline, came > BUSY_BYTES ? BUSY_MS : QUIET_MS);
  }

  end(): void {
    this.timers.drop(this.deadline);
  }
}
