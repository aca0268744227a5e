import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** A file of output is begun anew past this many bytes; one more of the size is kept beside it. */
export const OUTPUT_BYTES = 1 << 20;
const MOST_LINE = 4_096;

/** Opens the file that takes the output of a program; whatever was in it stays. */
export function openOutput(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return openSync(path, 'a', 0o600);
}

/**
 * Begins a file that has grown too large anew, in place: who writes to it has it open for appending, and goes on at its new end.
 * The last OUTPUT_BYTES are kept in `<path>.1`. What is written between the copy and the cut is lost.
 */
export function rotate(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= OUTPUT_BYTES) return;
  const file = openSync(path, 'r+');
  try {
    writeFileSync(`${path}.1.new`, lastBytes(file, OUTPUT_BYTES), { mode: 0o600 });
    renameSync(`${path}.1.new`, `${path}.1`);
    ftruncateSync(file, 0);
  } finally {
    closeSync(file);
  }
}

/** The last lines that were written, oldest first; long ones are cut. */
export function tail(path: string, lines: number): string[] {
  let text = '';
  for (const name of [path, `${path}.1`]) {
    text = read(name) + text;
    if (text.split('\n').length > lines + 1) break;
  }
  const all = text.split('\n');
  if (all.at(-1) === '') all.pop();
  return all.slice(-lines).map((line) => (line.length > MOST_LINE ? `${line.slice(0, MOST_LINE)}…` : line));
}

function read(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
  try {
    return lastBytes(file, OUTPUT_BYTES).toString();
  } finally {
    closeSync(file);
  }
}

function lastBytes(file: number, most: number): Buffer {
  const { size } = fstatSync(file);
  const buffer = Buffer.alloc(Math.min(size, most));
  const got = readSync(file, buffer, 0, buffer.length, Math.max(0, size - most));
  return buffer.subarray(0, got);
}
