import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * What a program has printed, as files: each is named by the offset of its first byte in all that was ever printed there.
 *
 *     1.log.000000000000000      full
 *     1.log.000000000524800      being written
 *
 * A file is full from SEGMENT_BYTES on and never twice as long; the last SEGMENTS are kept.
 */
export const SEGMENT_BYTES = 512 * 1024;
export const SEGMENTS = 3;
const DIGITS = 15;
const MOST_LINE = 4_096;
/** Of the files, what is read at once. */
const MOST_READ = 2 * SEGMENTS * SEGMENT_BYTES;

export interface Segment {
  readonly at: number;
  readonly size: number;
  readonly path: string;
}

/** Bytes from `at` on. */
export interface Piece {
  readonly at: number;
  readonly bytes: Buffer;
}

export function segmentPath(base: string, at: number): string {
  return `${base}.${String(at).padStart(DIGITS, '0')}`;
}

/** Oldest first. */
export function segmentsOf(base: string): Segment[] {
  const begin = `${basename(base)}.`;
  return namesIn(dirname(base))
    .filter((name) => name.startsWith(begin) && /^\d+$/.test(name.slice(begin.length)))
    .toSorted()
    .flatMap((name) => {
      const path = join(dirname(base), name);
      // Who writes them may have dropped it just now.
      const size = statSync(path, { throwIfNoEntry: false })?.size;
      return size === undefined ? [] : [{ at: Number(name.slice(begin.length)), size, path }];
    });
}

/** Where the kept bytes begin and end; both 0 when nothing was printed. */
export function boundsOf(base: string): { from: number; to: number } {
  const all = segmentsOf(base);
  const last = all.at(-1);
  return { from: all.at(0)?.at ?? 0, to: last === undefined ? 0 : last.at + last.size };
}

/** What was printed from an offset on, or from the first that is kept; the oldest `most` bytes of that. */
export function readFrom(base: string, from: number, most: number = MOST_READ): Piece {
  const all = segmentsOf(base);
  const parts: Buffer[] = [];
  let at: number | null = null;
  let left = most;
  for (const segment of all) {
    const begin = Math.max(from, segment.at);
    if (left <= 0 || begin >= segment.at + segment.size) continue;
    const part = bytesOf(segment.path, begin - segment.at, Math.min(left, segment.at + segment.size - begin));
    if (part.length === 0) continue;
    at ??= begin;
    parts.push(part);
    left -= part.length;
  }
  return { at: at ?? from, bytes: Buffer.concat(parts) };
}

/** The last lines that were written, oldest first; long ones are cut. */
export function tail(base: string, lines: number): string[] {
  return lastLines(readFrom(base, 0), lines);
}

/** The last lines of a piece; the first is left out when its beginning is not in it. */
export function lastLines({ at, bytes }: Piece, lines: number): string[] {
  const all = linesOf(at === 0 ? bytes : bytes.subarray(bytes.indexOf(10) + 1));
  return all.slice(-lines);
}

/** Whole lines, and the last without its end. */
export function linesOf(bytes: Buffer): string[] {
  const all = bytes.toString().split('\n');
  if (all.at(-1) === '') all.pop();
  return all.map((line) => (line.length > MOST_LINE ? `${line.slice(0, MOST_LINE)}…` : line));
}

export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function bytesOf(path: string, at: number, most: number): Buffer {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
  try {
    const buffer = Buffer.alloc(most);
    return buffer.subarray(0, readSync(file, buffer, 0, most, at));
  } finally {
    closeSync(file);
  }
}
