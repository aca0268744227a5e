import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Puts a file in place as a whole, for the proxy's own eyes: at any instant there is the old one or the new one. The folder is made when it is missing. */
export function writeWhole(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.tmp`;
  const file = openSync(draft, 'w', 0o600);
  try {
    writeAll(file, Buffer.from(text), 0);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
  syncFolder(dirname(path));
}

/** Takes a file away; on disk when this returns. One that is not there is no error. */
export function removeWhole(path: string): void {
  rmSync(path, { force: true });
  syncFolder(dirname(path));
}

/** Writes all of it, from `at` on. */
export function writeAll(file: number, bytes: Buffer, at: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done, bytes.length - done, at + done);
}

/** On disk when it returns: which names are in the folder. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
