import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { sample, start } from './measure.ts';
import type { Running } from './measure.ts';
import type { Load } from './load.ts';
import { usage } from './processes.ts';
import type { Processes } from './processes.ts';
import type { Scenario } from './scenarios.ts';
import type { Subject } from './subjects/subject.ts';

const HOLD = fileURLToPath(new URL('servers/hold.ts', import.meta.url));
const HELD_WITHIN = 60_000;
/** After the last connection, for what is collected or given back when nothing happens. */
const SETTLE_MS = 1_000;

/** Memory of one process with and without idle connections. */
export interface IdleSample {
  /** Resident bytes for each connection. */
  readonly bytesPerConnection: number;
  /** Resident bytes with all of them. */
  readonly rss: number;
}

/** Resolves with the first line the holder prints, once all connections are there. */
function held(
  processes: Processes,
  port: number,
  scenario: Scenario,
): { child: ReturnType<Processes['start']>; all: Promise<{ open: number; failed: number }> } {
  const child = processes.start(process.execPath, [HOLD, String(port), scenario.path, String(scenario.connections)], 'load');
  child.stderr?.resume();
  const all = new Promise<{ open: number; failed: number }>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('not all connections were there in time')), HELD_WITHIN);
    if (child.stdout !== null) createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line) as { open: number; failed: number }));
    child.once('exit', () => reject(new Error('the holder of connections has ended')));
    child.once('exit', () => clearTimeout(timer));
  });
  return { child, all };
}

/** A subject started for this alone, warmed so that its code and pools are there; then the connections, each after one request. */
export async function idle(
  processes: Processes,
  subject: Subject,
  backend: Running,
  dir: string,
  scenario: Scenario,
  load: Load,
  seconds: number,
): Promise<IdleSample> {
  const running = await start(processes, subject, { backendPort: backend.place.port, parent: dir, core: 'subject', path: scenario.path });
  try {
    await sample(running, backend, { ...scenario, kind: 'requests', connections: 100 }, load, seconds);
    const before = usage(running.child.pid ?? 0).rss;
    const { child, all } = held(processes, running.place.port, scenario);
    try {
      const { open, failed } = await all;
      if (open !== scenario.connections) throw new Error(`${failed} of ${scenario.connections} connections were not kept`);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      const { rss } = usage(running.child.pid ?? 0);
      return { bytesPerConnection: Math.max(0, rss - before) / scenario.connections, rss };
    } finally {
      await processes.stop(child);
    }
  } finally {
    await processes.stop(running.child);
  }
}
