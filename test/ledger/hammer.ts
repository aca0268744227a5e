/** A data thread that does nothing but claim and settle, as fast as it can, always on the slot that the generation names. */
import { parentPort, workerData } from 'node:worker_threads';
import { KIND, OUTCOME, ThreadLedger } from '../../src/ledger/thread.ts';
import type { Kind, Outcome } from '../../src/ledger/thread.ts';
import { randomFrom } from '../swap/random.ts';

export interface Task {
  readonly buffer: SharedArrayBuffer;
  readonly thread: number;
  /** Slots that are claimed in turn: generation g names slots[g % slots.length]. */
  readonly slots: readonly number[];
  readonly version: number;
}

/** The generation at which everything is settled and the thread ends. */
export const LAST = 1_000_000;

const MOST = 12;
const OUTCOMES = Object.values(OUTCOME);

interface Claim {
  readonly slot: number;
  readonly kind: Kind;
}

function hammer({ buffer, thread, slots, version }: Task): number {
  const ledger = new ThreadLedger(buffer, thread);
  const random = randomFrom(thread + 1);
  const claims: Claim[] = [];
  let acked = -1;
  let started = 0;
  for (;;) {
    const generation = ledger.generation();
    if (generation !== acked) {
      ledger.ack(generation);
      acked = generation;
    }
    if (generation !== LAST && claims.length < MOST && random() < 0.55) {
      const kind = random() < 0.7 ? KIND.http : random() < 0.5 ? KIND.stream : KIND.tunnel;
      const slot = slots[generation % slots.length];
      ledger.claim(slot, version, 1);
      ledger.become(slot, kind);
      claims.push({ slot, kind });
      started++;
    } else if (claims.length > 0) {
      const [{ slot, kind }] = claims.splice(Math.floor(random() * claims.length), 1);
      const outcome: Outcome = OUTCOMES[Math.floor(random() * OUTCOMES.length)];
      ledger.settle(slot, version, outcome, kind);
    } else if (generation === LAST) return started;
  }
}

parentPort?.postMessage(hammer(workerData as Task));
