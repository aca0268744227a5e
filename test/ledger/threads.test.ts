import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { ControlLedger, emptyCounts } from '../../src/ledger/control.ts';
import type { Counts } from '../../src/ledger/control.ts';
import { LAST } from './hammer.ts';
import type { Task } from './hammer.ts';

const MONOTONE = ['started', 'completed', 'clientAborted', 'upstreamFailed', 'killed'] as const;

/** Two real threads at work on one ledger. */
class Yard {
  readonly control = new ControlLedger(2, 4);
  readonly slots = this.control.takeSlots(2) ?? [];
  readonly version = (this.control.takeSlots(1) ?? [])[0];
  readonly workers: Worker[];
  snapshots = 0;
  private readonly before = new Map<number, Counts>();

  constructor() {
    const task = (thread: number): Task => ({ buffer: this.control.buffer, thread, slots: this.slots, version: this.version });
    this.workers = [0, 1].map((thread) => new Worker(new URL('./hammer.ts', import.meta.url), { workerData: task(thread) }));
  }

  counts(slot: number): Counts {
    return this.control.addCounts(emptyCounts(), slot);
  }

  /** Reads the sums while everybody writes. @returns what is wrong with them, or null. */
  look(): string | null {
    this.snapshots++;
    for (const slot of this.slots) {
      const now = this.counts(slot);
      const before = this.before.get(slot) ?? emptyCounts();
      this.before.set(slot, now);
      const { started, completed, clientAborted, upstreamFailed, killed, inFlight } = now;
      if (inFlight < 0) return `${inFlight} in flight`;
      if (started !== completed + clientAborted + upstreamFailed + killed + inFlight) return 'the law is broken';
      for (const name of MONOTONE) if (now[name] < before[name]) return `${name} fell from ${before[name]} to ${now[name]}`;
    }
    return null;
  }

  /** Looks, many times a turn, until `met`. */
  async lookUntil(met: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!met()) {
      for (let i = 0; i < 50; i++) {
        const wrong = this.look();
        if (wrong !== null) throw new Error(wrong);
      }
      if (performance.now() > deadline) throw new Error(`no ${what} within 60 s`);
      await turn();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.workers.map(async (worker) => worker.terminate()));
  }
}

t.test('while two threads write, every sum obeys the law, and zero means zero', { timeout: 170_000 }, async (t) => {
  const yard = new Yard();
  t.teardown(async () => yard.stop());
  const { control, slots } = yard;
  const ended = Promise.all(yard.workers.map(async (worker) => once(worker, 'message')));
  const busy = (slot: number): (() => boolean) => {
    const { started } = yard.counts(slot);
    return () => yard.counts(slot).started > started + 500;
  };
  for (let generation = 1; generation <= 60; generation++) {
    control.commit(generation);
    const [live, old] = [slots[generation % 2], slots[(generation + 1) % 2]];
    await yard.lookUntil(() => control.acked(0) === generation && control.acked(1) === generation, 'acks');
    await yard.lookUntil(() => control.isIdle([old]), 'idle slot');
    const proof = yard.counts(old);
    if (proof.inFlight !== 0 || proof.streams !== 0 || proof.tunnels !== 0) throw new Error(`idle, and ${JSON.stringify(proof)}`);
    await yard.lookUntil(busy(live), 'work on the live slot');
    const later = yard.counts(old);
    if (later.started !== proof.started || !control.isIdle([old])) throw new Error('something began on a slot that was proven idle');
  }
  control.commit(LAST);
  const started = (await ended).flat().reduce((sum: number, one) => sum + Number(one), 0);
  t.equal(yard.look(), null);
  t.equal(
    slots.reduce((sum, slot) => sum + yard.counts(slot).started, 0),
    started,
    'the ledger has each claim that the threads made',
  );
  t.ok(control.isIdle([...slots, yard.version]));
  t.strictSame(
    slots.map((slot) => yard.counts(slot).inFlight),
    [0, 0],
  );
  t.ok(yard.snapshots > 1000 && started > 30_000, `${yard.snapshots} snapshots while ${started} claims were made`);
});

t.test('a thread that is ended in the middle of anything leaves books that can be closed', { timeout: 170_000 }, async (t) => {
  for (let round = 0; round < 4; round++) {
    const yard = new Yard();
    t.teardown(async () => yard.stop());
    const { control, slots } = yard;
    const [dead, alive] = yard.workers;
    const ended = once(alive, 'message');
    await yard.lookUntil(() => slots.some((slot) => yard.counts(slot).started > 20_000), 'work');
    await dead.terminate();
    const killed = slots.map((slot) => control.addCounts(emptyCounts(), slot, 0).killed);
    const inFlight = slots.map((slot) => control.addCounts(emptyCounts(), slot, 0).inFlight);
    const lost = control.closeThread(0);
    t.equal(lost, inFlight[0] + inFlight[1], 'what was in flight is lost');
    t.strictSame(
      slots.map((slot) => control.addCounts(emptyCounts(), slot, 0).killed),
      killed.map((before, i) => before + inFlight[i]),
      'and counted as killed',
    );
    t.equal(yard.look(), null, 'the law holds');
    control.commit(LAST);
    await ended;
    t.ok(control.isIdle([...slots, yard.version]), 'the other thread finishes, and nothing is left');
    for (const slot of slots) t.match(yard.counts(slot), { inFlight: 0, streams: 0, tunnels: 0 });
  }
});
