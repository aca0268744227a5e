import { crc32 } from 'node:zlib';
import { EntrySchema } from './_state-schema.ts';
import type { Entry } from './_state-schema.ts';

const HEAD = '{"crc":"';
const CRC_DIGITS = 8;
const BODY = HEAD.length + CRC_DIGITS + '",'.length;

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(CRC_DIGITS, '0');
}

/** One line of the journal, newline included. The checksum covers the bytes after it. */
export function writeEntry(entry: Entry): string {
  const body = JSON.stringify(entry).slice(1);
  return `${HEAD}${checksum(body)}",${body}\n`;
}

/** Reads a line without its newline; a text tells what is wrong with it. */
export function readEntry(line: string): Entry | string {
  const body = line.slice(BODY);
  if (!line.startsWith(HEAD) || line.slice(HEAD.length, BODY) !== `${checksum(body)}",`) return 'the checksum does not match';
  let json: unknown;
  try {
    json = JSON.parse(`{${body}`);
  } catch {
    return 'it is not JSON';
  }
  const read = EntrySchema.safeParse(json);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  return `${issue.path.join('.')}: ${issue.message}`;
}
