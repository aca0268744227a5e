import { closeSync, constants, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { syncFolder, writeAll, writeWhole } from './whole.ts';

const HEAD = '{"crc":"';
const BODY = HEAD.length + 8 + '","line":'.length;

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

function writeLine(value: unknown): string {
  const body = JSON.stringify(value);
  return `${HEAD}${checksum(body)}","line":${body}}\n`;
}

/** @returns undefined for a line that is not whole. */
function readLine(line: string): unknown {
  const body = line.slice(BODY, -1);
  if (!line.startsWith(HEAD) || line.slice(HEAD.length, BODY) !== `${checksum(body)}","line":`) return undefined;
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * A file to which values are appended, a line each, with a checksum. What dies in the middle of a line leaves half of it, which is
 * cut off; a line that was damaged later is left out.
 */
export class LineLog {
  private readonly path: string;
  private file: number;
  private bytes = 0;

  private constructor(path: string, file: number) {
    this.path = path;
    this.file = file;
  }

  /**
   * Opens the file, made with its folder (0600, 0700) when it is missing, and reads what is in it.
   * @param warn told of damaged lines
   */
  static open(path: string, warn: (message: string) => void): { log: LineLog; values: unknown[] } {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const log = new LineLog(path, openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600));
    return { log, values: log.read(warn) };
  }

  /** Bytes in the file. */
  get size(): number {
    return this.bytes;
  }

  private read(warn: (message: string) => void): unknown[] {
    const bytes = readFileSync(this.path);
    const values: unknown[] = [];
    for (let start = 0, line = 1; start < bytes.length; line++) {
      const end = bytes.indexOf(10, start);
      if (end === -1) break;
      const value = readLine(bytes.toString('utf8', start, end));
      if (value === undefined) warn(`${this.path}, line ${line}: the line is damaged and left out`);
      else values.push(value);
      start = end + 1;
      this.bytes = start;
    }
    if (this.bytes < bytes.length) ftruncateSync(this.file, this.bytes);
    fsyncSync(this.file);
    syncFolder(dirname(this.path));
    return values;
  }

  /**
   * Appends values, all of them or none; on disk when this returns.
   * @throws when they cannot be written
   */
  append(...values: readonly unknown[]): void {
    this.add(values);
    fsyncSync(this.file);
  }

  /** Appends without waiting for the disk: a crash of the machine (not of the proxy) may lose it. */
  note(value: unknown): void {
    this.add([value]);
  }

  private add(values: readonly unknown[]): void {
    const bytes = Buffer.from(values.map(writeLine).join(''));
    try {
      writeAll(this.file, bytes, this.bytes);
    } catch (error) {
      ftruncateSync(this.file, this.bytes);
      throw error;
    }
    this.bytes += bytes.length;
  }

  /** Begins the file anew with these values; until that is on disk the old one is there. */
  replace(values: Iterable<unknown>): void {
    const text = Array.from(values, writeLine).join('');
    writeWhole(this.path, text);
    closeSync(this.file);
    this.file = openSync(this.path, constants.O_RDWR);
    this.bytes = Buffer.byteLength(text);
  }

  close(): void {
    if (this.file !== -1) closeSync(this.file);
    this.file = -1;
  }
}
