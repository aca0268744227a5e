import { statSync } from 'node:fs';
import type { Followed } from './driver.ts';
import { boundsOf, lastLines, linesOf, readFrom, SEGMENT_BYTES, segmentsOf, tail } from './_segments.ts';
import type { Piece, Segment } from './_segments.ts';

/** Of the output of each replica in memory. */
export const RING_BYTES = 64 * 1024;
/** Most that one answer to who follows the output holds. */
const MOST_FOLLOWED = 256 * 1024;

/** The end of a replica's output in memory, read from its files as they grow: what is asked most needs no disk. */
export class OutputRing {
  private readonly base: string;
  private at: number;
  private bytes: Buffer = Buffer.alloc(0);
  /** The file that is being written, as it was at the last look. */
  private newest: Segment | null = null;

  constructor(base: string) {
    this.base = base;
    this.at = Math.max(0, boundsOf(base).to - RING_BYTES);
    this.pump();
  }

  /** Reads what is new. */
  pump(): void {
    if (this.newest !== null && isAsItWas(this.newest)) return;
    const newest = segmentsOf(this.base).at(-1) ?? null;
    const to = newest === null ? 0 : newest.at + newest.size;
    // Begun again, by another launch of this version.
    if (to < this.at + this.bytes.length) [this.at, this.bytes] = [0, Buffer.alloc(0)];
    if (to > this.at + this.bytes.length) this.read(to);
    this.newest = newest;
  }

  private read(to: number): void {
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

/** Of most replicas, nearly always: they say nothing, and need no look into a folder that they share with a hundred others. */
function isAsItWas({ path, size }: Segment): boolean {
  // Behind a full one there may be another.
  return size < SEGMENT_BYTES && statSync(path, { throwIfNoEntry: false })?.size === size;
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
