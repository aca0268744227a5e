import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { LaunchSpec } from '../config/launch.ts';
import { removeWhole, writeWhole } from '../disk/whole.ts';
import type { Followed, Handle } from './driver.ts';
import { boundsOf, namesIn, tail } from './_segments.ts';
import { followSegments } from './_ring.ts';

export interface OutputCounts {
  readonly bytes: number;
  readonly dropped: number;
}

/** What is known of one replica. `intended`: it is about to be started, or was when the proxy died; nobody knows its handle. */
export interface ReplicaRecord {
  readonly state: 'intended' | 'running' | 'ended';
  readonly port: number | null;
  /** `host:port`; null before it is known, or when it has none. */
  readonly address: string | null;
  /** null but for `running`. */
  readonly handle: Handle | null;
}

/** One version that was launched. Plain data; `env` may hold secrets. */
export interface LaunchRecord {
  readonly upstream: string;
  readonly version: string;
  /** Of this launch and no other: marks what it has started. */
  readonly id: string;
  readonly by: string;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly spec: LaunchSpec;
  readonly replicas: readonly ReplicaRecord[];
}

const Texts = z.record(z.string(), z.string());

const SpecSchema: z.ZodType<LaunchSpec> = z.object({
  driver: z.enum(['process', 'docker', 'exec']),
  replicas: z.number(),
  command: z.array(z.string()),
  cwd: z.string().nullable(),
  env: Texts,
  startTimeout: z.number(),
  stopTimeout: z.number(),
  attempts: z.number(),
  image: z.string().nullable(),
  port: z.number(),
  network: z.string().nullable(),
  pull: z.enum(['missing', 'always', 'never']),
  socket: z.string(),
  options: z.record(z.string(), z.unknown()),
});

const RecordSchema: z.ZodType<LaunchRecord> = z.object({
  upstream: z.string(),
  version: z.string(),
  id: z.string(),
  by: z.string(),
  at: z.number(),
  spec: SpecSchema,
  replicas: z.array(
    z.object({
      state: z.enum(['intended', 'running', 'ended']),
      port: z.number().nullable(),
      address: z.string().nullable(),
      handle: z.record(z.string(), z.union([z.string(), z.number()])).nullable(),
    }),
  ),
});

/**
 * What was launched, on disk (0600), so that after a crash nothing that was started is left over, and nothing else is ended.
 *
 *     stateDir/launches/
 *       <upstream>@<version>.json   written before a program is started, and again when it is known which one it is
 *       output/                     what programs have printed, and the id of the launch that they are of
 */
export class LaunchRecords {
  readonly dir: string;

  constructor(stateDir: string) {
    this.dir = join(stateDir, 'launches');
  }

  /** @param warn told of a file that cannot be read; it stays where it is. */
  all(warn: (message: string) => void): LaunchRecord[] {
    const records: LaunchRecord[] = [];
    for (const name of namesIn(this.dir).filter((each) => each.endsWith('.json'))) {
      const path = join(this.dir, name);
      try {
        records.push(RecordSchema.parse(JSON.parse(readFileSync(path, 'utf8'))));
      } catch (error) {
        warn(`${path} is damaged, so that what it launched is not known: ${error instanceof Error ? error.message.split('\n', 1)[0] : String(error)}`);
      }
    }
    return records;
  }

  /** On disk when this returns. */
  write(record: LaunchRecord): void {
    writeWhole(this.pathOf(record), JSON.stringify(record));
  }

  remove(record: LaunchRecord): void {
    removeWhole(this.pathOf(record));
  }

  /** Where the output of a version's replica goes. */
  outputOf(upstream: string, version: string, replica: number): string {
    return join(this.outputFolder(upstream, version), `${replica}.log`);
  }

  lastOutput(upstream: string, version: string, replica: number, lines: number): string[] {
    return tail(this.outputOf(upstream, version, replica), lines);
  }

  /** What was printed from an offset on, of a replica that does not run. */
  outputSince(upstream: string, version: string, replica: number, from: number): Followed {
    return followSegments(this.outputOf(upstream, version, replica), from, true);
  }

  /** How much was printed, and how much of it is not kept any more, in bytes. */
  outputCounts(upstream: string, version: string, replica: number): OutputCounts {
    const { from, to } = boundsOf(this.outputOf(upstream, version, replica));
    return { bytes: to, dropped: from };
  }

  replicasWithOutput(upstream: string, version: string): number[] {
    const found = namesIn(this.outputFolder(upstream, version)).flatMap((name) => /^(\d+)\.log\.\d+$/.exec(name)?.[1] ?? []);
    return [...new Set(found.map(Number))].toSorted((a, b) => a - b);
  }

  versionsWithOutput(upstream: string): string[] {
    const begin = `${encodeURIComponent(upstream)}@`;
    return namesIn(join(this.dir, 'output'))
      .filter((name) => name.startsWith(begin))
      .map((name) => decodeURIComponent(name.slice(begin.length)));
  }

  /** What a launch prints from here on is its own: nothing of an earlier one is left. */
  beginOutput(upstream: string, version: string, launch: string): void {
    this.forgetOutput(upstream, version);
    writeWhole(this.whose(upstream, version), launch);
  }

  /** The launch that has printed the output that is kept; null = it is not known. */
  outputLaunch(upstream: string, version: string): string | null {
    try {
      return readFileSync(this.whose(upstream, version), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  private whose(upstream: string, version: string): string {
    return join(this.outputFolder(upstream, version), 'launch');
  }

  forgetOutput(upstream: string, version: string): void {
    rmSync(this.outputFolder(upstream, version), { recursive: true, force: true });
  }

  private outputFolder(upstream: string, version: string): string {
    return join(this.dir, 'output', `${encodeURIComponent(upstream)}@${encodeURIComponent(version)}`);
  }

  private pathOf({ upstream, version }: LaunchRecord): string {
    return join(this.dir, `${encodeURIComponent(upstream)}@${encodeURIComponent(version)}.json`);
  }
}
