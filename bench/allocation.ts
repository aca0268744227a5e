import { fileURLToPath } from 'node:url';
import { loadOf } from './load.ts';
import { sample, start } from './measure.ts';
import type { Running } from './measure.ts';
import type { Processes } from './processes.ts';
import { SCENARIOS } from './scenarios.ts';
import type { HeapLine } from './servers/heap-probe.ts';
import { backend } from './subjects/backend.ts';
import { switchyardWith } from './subjects/switchyard.ts';

/** What the data thread allocates for one request on a kept connection. */
export interface Allocation {
  readonly scenario: string;
  /** Bytes in the heap of V8. */
  readonly heap: number;
  /** Bytes of Buffers outside it, and how many Buffers. */
  readonly buffers: number;
  readonly count: number;
}

const PROBE = fileURLToPath(new URL('servers/heap-probe.ts', import.meta.url));
const ANSWER_MS = 5_000;
/** The code is as fast, and allocates as little, as it gets after so many seconds of load; less will do for few requests. */
const WARM_SECONDS = 1.5;
const WARM_PER_REQUEST = 1e-4;

/** Counts of the one data thread. */
function heapOf(running: Running): Promise<HeapLine> {
  const { child } = running;
  return new Promise((resolve, reject) => {
    let text = '';
    const hear = (more: string): void => {
      text += more;
      const found = /^heap (\{.*\})$/m.exec(text);
      if (found === null) return;
      end();
      resolve(JSON.parse(found[1]) as HeapLine);
    };
    const timer = setTimeout(() => {
      end();
      reject(new Error(`the data thread did not tell what it has allocated: ${running.complaint()}`));
    }, ANSWER_MS);
    const end = (): void => {
      clearTimeout(timer);
      child.stderr?.off('data', hear);
    };
    child.stderr?.on('data', hear);
    child.kill('SIGUSR2');
  });
}

/** Bytes per request, of the scenarios with this name, through a running proxy. */
export async function allocations(processes: Processes, dir: string, names: readonly string[], requests: number): Promise<Allocation[]> {
  const subject = switchyardWith({ name: 'switchyard, heap counted', nodeArgs: ['--import', PROBE] });
  const behind = await start(processes, backend, { backendPort: 0, parent: dir, core: 'load', path: '/small' });
  const running = await start(processes, subject, { backendPort: behind.place.port, parent: dir, core: 'subject', path: '/small' });
  const load = loadOf('autocannon', processes, dir);
  const found: Allocation[] = [];
  const warmUp = Math.min(WARM_SECONDS, requests * WARM_PER_REQUEST);
  for (const scenario of SCENARIOS.filter(({ name }) => names.includes(name))) {
    await sample(running, behind, scenario, load, warmUp);
    const before = await heapOf(running);
    const result = await load.run({ url: `http://127.0.0.1:${running.place.port}`, seconds: 0, scenario, trace: false, amount: requests });
    const after = await heapOf(running);
    if (result.failed > 0) throw new Error(`${result.failed} requests have failed`);
    const each = (key: 'heap' | 'buffers' | 'count'): number => (after[key] - before[key]) / result.requests;
    found.push({ scenario: scenario.name, heap: each('heap'), buffers: each('buffers'), count: each('count') });
  }
  return found;
}
