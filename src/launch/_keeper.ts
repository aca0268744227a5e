import { execFile, spawn } from 'node:child_process';
import { appendFileSync, closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../errors/message.ts';
import { carriers, identifyChild } from './_proc.ts';
import type { Identity } from './_proc.ts';
import { boundsOf, readFrom, SEGMENT_BYTES, SEGMENTS, segmentsOf } from './_segments.ts';

/** In the environment of a keeper: the mark of the replica whose output it keeps. */
const KEEPS = 'SWITCHYARD_KEEPER';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const BLOCK = 1_024;

/**
 * Reads standard input to its end into the files of _segments.ts. It outlives the proxy and ends with the last process that has the
 * pipe open. What cannot be written, on a full disk, is let go: who prints is never held up for it.
 */
const SCRIPT = `
trap '' HUP INT QUIT TERM TSTP
umask 077
base=$1 at=$2
size() { if [ -f "$1" ]; then wc -c <"$1"; else echo 0; fi; }
while :; do
  file=$base.$(printf %015d "$at")
  before=$(size "$file")
  if dd bs=${BLOCK} count=${SEGMENT_BYTES / BLOCK} >>"$file"; then
    after=$(size "$file")
    if [ "$after" -le "$before" ]; then
      # At the end nothing comes any more; or else the file was taken away.
      dd bs=1 count=1 >>"$file"
      [ "$(size "$file")" -gt "$after" ] || exit 0
      continue
    fi
    [ "$after" -lt ${SEGMENT_BYTES} ] && continue
    at=$((at + after))
    set -- "$base".[0-9]*
    while [ $# -ge ${SEGMENTS} ]; do rm -f "$1"; shift; done
  else
    [ "$(dd bs=1 count=1 | wc -c)" -gt 0 ] || exit 0
    dd bs=${BLOCK} count=${SEGMENT_BYTES / BLOCK} >/dev/null
    echo '[some output could not be written to disk]' >>"$file"
  fi
done
`;

function pipeOf(base: string): string {
  return `${base}.pipe`;
}

/**
 * A new named pipe for the output of a replica, and a keeper at its other end.
 * @returns a descriptor to print to. It is open for reading, too, and so is what inherits it: should the keeper die, nobody who
 * prints is ended by SIGPIPE.
 * @throws Error in a few words
 */
export async function openOutput(base: string, mark: string): Promise<{ output: number; keeper: Identity | null }> {
  mkdirSync(dirname(base), { recursive: true, mode: 0o700 });
  rmSync(pipeOf(base), { force: true });
  await promisify(execFile)('mkfifo', ['-m', '600', pipeOf(base)]).catch((error: unknown) => {
    throw new Error(`no pipe could be made for its output: ${messageOf(error)}`);
  });
  const output = openSync(pipeOf(base), 'r+');
  try {
    endLine(base);
    return { output, keeper: await startKeeper(base, mark) };
  } catch (error) {
    closeSync(output);
    throw error;
  }
}

/** Another keeper for a pipe that has lost its own. Who has the pipe open for writing must be there, or it ends at once. */
export async function startKeeper(base: string, mark: string): Promise<Identity | null> {
  // With a writer there is no wait for one.
  const held = openSync(pipeOf(base), 'r+');
  const input = openSync(pipeOf(base), 'r');
  try {
    const child = spawn('/bin/sh', ['-c', SCRIPT, 'switchyard-output', base, String(beginOf(base))], {
      cwd: '/',
      env: { PATH: process.env.PATH ?? PATH, LC_ALL: 'C', [KEEPS]: mark },
      detached: true,
      stdio: [input, 'ignore', 'ignore'],
    });
    const identity = child.pid === undefined ? null : identifyChild(child.pid);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once('spawn', resolve);
    child.on('error', (error) => reject(new Error(`nothing could be started that keeps its output: ${error.message}`)));
    await promise;
    child.unref();
    return identity;
  } finally {
    closeSync(input);
    closeSync(held);
  }
}

/** The keepers that run on this machine, by the mark of what they keep the output of. */
export function keepers(): Map<string, Identity> {
  return carriers(KEEPS);
}

/** A file that is not full is gone on with, so that many short lives do not push each other out. */
function beginOf(base: string): number {
  const last = segmentsOf(base).at(-1);
  if (last === undefined) return 0;
  return last.size < SEGMENT_BYTES ? last.at : last.at + last.size;
}

/** The last words of one life and the first of the next are not one line. */
function endLine(base: string): void {
  const last = segmentsOf(base).at(-1);
  if (last !== undefined && last.size > 0 && readFrom(base, boundsOf(base).to - 1).bytes.at(0) !== 10) appendFileSync(last.path, '\n');
}
