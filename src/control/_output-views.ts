import { setTimeout as sleep } from 'node:timers/promises';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { Launches } from '../launch/launches.ts';
import type { OutputAsk, OutputOf, OutputView } from './operations.ts';

/** Between two looks for something new. */
const LOOK_MS = 200;

/**
 * What processes of a version have printed last.
 * @throws Refusal when nothing is known of them
 */
export async function outputView(launches: Launches, upstream: string, version: string, { replica, lines }: OutputAsk): Promise<OutputView> {
  const replicas = await Promise.all(
    asked(launches, upstream, version, replica).map(async (each): Promise<OutputOf> => {
      // Before the lines: what is printed meanwhile is told twice rather than not at all.
      const { bytes, dropped } = launches.outputCounts(upstream, version, each);
      return { replica: each, lines: await launches.output(upstream, version, each, lines), bytes, dropped, missed: 0 };
    }),
  );
  const cursor = cursorOf(replicas.map((one) => [one.replica, one.bytes]));
  return { upstream, version, running: launches.get(upstream, version) !== null, cursor, replicas };
}

/**
 * What they have printed after a cursor; waits for something when there is nothing yet.
 * @throws Refusal when nothing is known of them, or their driver cannot tell
 */
export async function outputSince(launches: Launches, upstream: string, version: string, ask: OutputAsk, signal: AbortSignal): Promise<OutputView> {
  const from = offsetsOf(ask.after ?? '');
  const until = performance.now() + ask.waitMs;
  for (;;) {
    const running = launches.get(upstream, version) !== null;
    const found = await Promise.all(
      asked(launches, upstream, version, ask.replica).map(async (replica) => {
        const { lines, at, missed } = await launches.outputSince(upstream, version, replica, from.get(replica) ?? 0);
        const { bytes, dropped } = launches.outputCounts(upstream, version, replica);
        return { at, one: { replica, lines: [...lines], bytes, dropped, missed } };
      }),
    );
    const quiet = found.every(({ one }) => one.lines.length === 0);
    if (!quiet || !running || performance.now() >= until || signal.aborted) {
      const cursor = cursorOf(found.map(({ at, one }) => [one.replica, at]));
      return { upstream, version, running, cursor, replicas: found.map(({ one }) => one) };
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

function asked(launches: Launches, upstream: string, version: string, replica: number | null): number[] {
  const found = launches.replicasWithOutput(upstream, version).filter((each) => replica === null || each === replica);
  if (found.length > 0) return found;
  throw new Refusal(REFUSAL.notFound, `Version ${version} of ${upstream} has no output${replica === null ? '' : ` of a process ${replica}`}.`);
}

/** `1:4711,2:0`: of each replica how many bytes are known. */
function cursorOf(offsets: readonly (readonly [number, number])[]): string {
  return offsets.map(([replica, at]) => `${replica}:${at}`).join(',');
}

function offsetsOf(cursor: string): Map<number, number> {
  return new Map(cursor === '' ? [] : cursor.split(',').map((each) => each.split(':').map(Number) as [number, number]));
}
