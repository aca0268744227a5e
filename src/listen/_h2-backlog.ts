import type { UnreadBodies } from '../proxy/unread.ts';

/** Parts of the window that it is opened or closed by: for each read it would be a call and a frame. */
const STEPS = 8;

/** A stream that is not read now. */
export interface StalledStream {
  /** Bytes of its body that are here. */
  readonly unread: number;
}

interface Window {
  /** The client may send less than a frame. */
  readonly isShut: boolean;
  /** @returns whether it was shut and is opened. */
  set(size: number): boolean;
}

/**
 * The bytes of bodies that a connection has here because the backends of their streams take no more. The streams' own windows would let
 * them be streams × 256 KiB, and node:http2 gives back the window of the connection for what comes, taken or not. So that window (RFC 9113
 * §5.2) is made smaller by what lies here: the client may send the rest of it, and the two together are never more than `most`, but for
 * the one read in which a stream comes to a halt.
 */
export class Backlog {
  /** Bytes that lay here when that was looked at last. */
  bytes = 0;
  private readonly stalled = new Set<StalledStream>();
  /** Those that are read again, while something of what they had lies here still: they may stall again before it is gone. */
  private readonly leaving = new Set<StalledStream>();
  private readonly most: number;
  private readonly step: number;
  private readonly window: Window;
  private readonly all: UnreadBodies;
  /** Size of the window. */
  private size: number;

  /** @param window of the connection, which has the size of `most`. */
  constructor(most: number, all: UnreadBodies, window: Window) {
    this.most = most;
    this.step = Math.ceil(most / STEPS);
    this.size = most;
    this.all = all;
    this.window = window;
  }

  stall(stream: StalledStream): void {
    this.leaving.delete(stream);
    this.stalled.add(stream);
  }

  flow(stream: StalledStream): void {
    if (this.stalled.delete(stream) && stream.unread > 0) this.leaving.add(stream);
  }

  get isShort(): boolean {
    return this.size < this.most;
  }

  /** Others have to wait for those that are stalled. */
  get isShut(): boolean {
    return this.isShort && this.window.isShut;
  }

  /** So many bytes of bodies are about to be read: some may be of stalled streams, and the window would be given back for them at once. */
  expect(coming: number): void {
    if (coming === 0 || this.isEmpty) return;
    this.measure();
    const room = this.roomBeside(this.bytes + coming);
    if (room < this.size) this.set(room);
  }

  private get isEmpty(): boolean {
    return this.stalled.size + this.leaving.size === 0;
  }

  /** Bytes have come, or were taken. @returns whether there is room again for who had to wait. */
  settle(): boolean {
    if (this.isEmpty && this.bytes === 0 && !this.isShort) return false;
    this.measure();
    const room = this.roomBeside(this.bytes);
    // A step less stays: it would be taken back with the next read.
    return room > this.size + this.step && this.set(room);
  }

  /** The connection is over. */
  close(): void {
    this.stalled.clear();
    this.leaving.clear();
    this.measure();
  }

  private measure(): void {
    const before = this.bytes;
    this.bytes = 0;
    for (const { unread } of this.stalled) this.bytes += unread;
    for (const stream of this.leaving) {
      const { unread } = stream;
      if (unread === 0) this.leaving.delete(stream);
      this.bytes += unread;
    }
    if (this.bytes !== before) this.all.change(this.bytes - before);
  }

  private roomBeside(bytes: number): number {
    const steps = Math.floor((this.most - bytes) / this.step);
    return steps >= STEPS ? this.most : Math.max(0, steps * this.step);
  }

  private set(size: number): boolean {
    this.size = size;
    return this.window.set(size);
  }
}
