import { setTimeout as sleep } from 'node:timers/promises';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import type { Launches } from '../launch/launches.ts';
import type { OutputAsk, OutputOf, OutputView } from './operations.ts';

/** Between two looks for something new. */
const LOOK_MS = 200;
const NO_OFFSETS: ReadonlyMap<number, number> = new Map();

/**
 * What processes of a version have printed last.
 * @throws Refusal when nothing is known of them
 */
export async function outputView(launches: Launches, upstream: string, version: string, { replica, lines }: OutputAsk): Promise<OutputView> {
  for (;;) {
    const launch = launches.outputLaunch(upstream, version);
    const replicas = await Promise.all(
      asked(launches, upstream, version, replica).map(async (each): Promise<OutputOf> => {
        // Before the lines: what is printed meanwhile is told twice rather than not at all.
        const { bytes, dropped } = launches.outputCounts(upstream, version, each);
        return { replica: each, lines: await launches.output(upstream, version, each, lines), bytes, dropped, missed: 0 };
      }),
    );
    if (launches.outputLaunch(upstream, version) !== launch) continue;
    const cursor = cursorOf(
      launch,
      replicas.map((one) => [one.replica, one.bytes]),
    );
    return { upstream, version, running: launches.get(upstream, version) !== null, cursor, replicas };
  }
}

/**
 * What they have printed after a cursor; waits for something when there is nothing yet. Of a version that was launched anew since then it
 * is all that the new launch has printed.
 * @throws Refusal when nothing is known of them, or their driver cannot tell
 */
export async function outputSince(launches: Launches, upstream: string, version: string, ask: OutputAsk, signal: AbortSignal): Promise<OutputView> {
  const known = readCursor(ask.after ?? '');
  const until = performance.now() + ask.waitMs;
  for (;;) {
    const launch = launches.outputLaunch(upstream, version);
    const from = known.launch === null || launch === null || known.launch === launch ? known.offsets : NO_OFFSETS;
    const running = launches.get(upstream, version) !== null;
    const found = await Promise.all(
      asked(launches, upstream, version, ask.replica).map(async (replica) => {
        const { lines, at, missed } = await launches.outputSince(upstream, version, replica, from.get(replica) ?? 0);
        const { bytes, dropped } = launches.outputCounts(upstream, version, replica);
        return { at, one: { replica, lines: [...lines], bytes, dropped, missed } };
      }),
    );
    // Launched anew while it was read: nobody knows what is whose.
    if (launches.outputLaunch(upstream, version) !== launch) continue;
    const quiet = found.every(({ one }) => one.lines.length === 0);
    if (!quiet || !running || performance.now() >= until || signal.aborted) {
      const cursor = cursorOf(
        launch,
        found.map(({ at, one }) => [one.replica, at]),
      );
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

/** `<launch>/1:4711,2:0`: of each replica how many bytes of that launch are known. */
function cursorOf(launch: string | null, offsets: readonly (readonly [number, number])[]): string {
  return `${launch === null ? '' : `${launch}/`}${offsets.map(([replica, at]) => `${replica}:${at}`).join(',')}`;
}

function readCursor(cursor: string): { launch: string | null; offsets: ReadonlyMap<number, number> } {
  const [offsets = '', launch = null] = cursor.split('/').toReversed();
  return { launch, offsets: new Map(offsets === '' ? [] : offsets.split(',').map((each) => each.split(':').map(Number) as [number, number])) };
}
