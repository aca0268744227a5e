import type { Followed } from './driver.ts';
import { boundsOf, lastLines, linesOf, readFrom, tail } from './_segments.ts';
import type { Piece } from './_segments.ts';

/** Of the output of each replica in memory. */
export const RING_BYTES = 64 * 1024;
/** Most that one answer to who follows the output holds. */
const MOST_FOLLOWED = 256 * 1024;

/** The end of a replica's output in memory, read from its files as they grow: what is asked most needs no disk. */
export class OutputRing {
  private readonly base: string;
  private at: number;
  private bytes: Buffer = Buffer.alloc(0);

  constructor(base: string) {
    this.base = base;
    this.at = Math.max(0, boundsOf(base).to - RING_BYTES);
    this.pump();
  }

  /** Reads what is new. */
  pump(): void {
    const end = this.at + this.bytes.length;
    const { to } = boundsOf(this.base);
    // Begun again, by another launch of this version.
    if (to < end) [this.at, this.bytes] = [0, Buffer.alloc(0)];
    if (to === end) return;
    const from = Math.max(this.at + this.bytes.length, to - RING_BYTES);
    const { at, bytes } = readFrom(this.base, from);
    const all = at === this.at + this.bytes.length ? Buffer.concat([this.bytes, bytes]) : bytes;
    // A copy: part of a buffer would keep all of it.
    this.bytes = Buffer.from(all.subarray(-RING_BYTES));
    this.at = at + bytes.length - this.bytes.length;
  }

  /** The last lines; from the files when they are more than are in memory. */
  last(lines: number): string[] {
    const here = this.held(lines);
    return here.length >= lines || this.at === 0 ? here : tail(this.base, lines);
  }

  /** The last lines as far as they are in memory. */
  held(lines: number): string[] {
    return lastLines({ at: this.at, bytes: this.bytes }, lines);
  }

  /** Whole lines from an offset on. */
  since(from: number): Followed {
    const inRing = from >= this.at && from <= this.at + this.bytes.length;
    return inRing ? followed({ at: from, bytes: this.bytes.subarray(from - this.at) }, from) : followSegments(this.base, from);
  }
}

/** Lines from an offset on, out of the files. @param ended nothing comes any more: the last line is whole as it is */
export function followSegments(base: string, from: number, ended = false): Followed {
  const { from: first, to } = boundsOf(base);
  // An offset of an earlier launch of this version says nothing here.
  const begin = from > to ? first : from;
  const piece = readFrom(base, begin, MOST_FOLLOWED);
  return followed(piece, begin, ended && piece.at + piece.bytes.length >= to);
}

function followed({ at, bytes }: Piece, from: number, ended = false): Followed {
  const end = ended ? bytes.length : bytes.lastIndexOf(10) + 1;
  // A line that is longer than all that is read at once is told in pieces.
  const whole = end === 0 && bytes.length >= MOST_FOLLOWED ? bytes : bytes.subarray(0, end);
  return { lines: linesOf(whole), at: at + whole.length, missed: Math.max(0, at - from) };
}
