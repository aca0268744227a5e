import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { Inputs } from './inputs.ts';
import type { Done, Order } from './messages.ts';
import { loadSeeds } from './seeds.ts';

/** Between two looks at the heap, and at the clock. */
const HEAP_EVERY = 10_000;
const CLOCK_EVERY = 100;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function work({ target, seed, first, stride, end, until, corpus, progress }: Order): Done {
  const inputs = new Inputs(loadSeeds(corpus));
  const at = new Float64Array(progress);
  const heap: number[] = [];
  let done = 0;
  for (let index = first; index < end; index += stride) {
    at[0] = index;
    const found = inputs.run({ target, seed, index });
    done++;
    if (found !== null) return { inputs: done, judged: inputs.judged, found, heap };
    if (done % HEAP_EVERY === 0) {
      collect();
      heap.push(getHeapStatistics().used_heap_size);
    }
    if (done % CLOCK_EVERY === 0 && Date.now() > until) break;
  }
  return { inputs: done, judged: inputs.judged, found: null, heap };
}

parentPort!.postMessage(work(workerData as Order));
