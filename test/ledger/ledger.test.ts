import t from 'tap';
import { FAILURE, FAILURE_LIST, REJECT, REJECT_LIST } from '../../src/errors/catalogue.ts';
import { ControlLedger, emptyCounts } from '../../src/ledger/control.ts';
import type { Counts } from '../../src/ledger/control.ts';
import { BINS, COUNTER, COUNTERS, EDGE, layoutFor } from '../../src/ledger/layout.ts';
import { KIND, OUTCOME, ThreadLedger } from '../../src/ledger/thread.ts';

interface Books {
  readonly control: ControlLedger;
  readonly threads: ThreadLedger[];
  readonly counts: (slot: number) => Counts;
}

function booksOf(threads: number, slots: number): Books {
  const control = new ControlLedger(threads, slots);
  return {
    control,
    threads: Array.from({ length: threads }, (_, i) => new ThreadLedger(control.buffer, i)),
    counts: (slot) => control.addCounts(emptyCounts(), slot),
  };
}

t.test('a claim and each of its ends', async (t) => {
  const { control, threads, counts } = booksOf(2, 4);
  const [slot, version] = control.takeSlots(2) ?? [];
  t.ok(control.isIdle([slot, version]));
  threads[1].claim(slot, version, 5000);
  t.match(counts(slot), { started: 1, inFlight: 1, firstAt: 5000, lastAt: 5000 });
  t.equal(threads[0].inFlight(slot), 1, 'every thread sees it');
  t.notOk(control.isIdle([slot]));
  t.notOk(control.isIdle([version]), 'the version is not idle either');
  for (const [i, [outcome, kind, expected]] of (
    [
      [OUTCOME.completed, KIND.http, { completed: 1 }],
      [OUTCOME.clientAborted, KIND.stream, { clientAborted: 1 }],
      [OUTCOME.upstreamFailed, KIND.tunnel, { upstreamFailed: 1 }],
      [OUTCOME.killed, KIND.http, { killed: 1, killedByKind: { http: 1, stream: 0, tunnel: 0 } }],
      [OUTCOME.killed, KIND.stream, { killed: 2, killedByKind: { http: 1, stream: 1, tunnel: 0 } }],
      [OUTCOME.killed, KIND.tunnel, { killed: 3, killedByKind: { http: 1, stream: 1, tunnel: 1 } }],
    ] as const
  ).entries()) {
    const thread = threads[i % 2];
    thread.claim(slot, version, 6000 + i);
    thread.become(slot, kind);
    t.match(counts(slot), { streams: kind === KIND.stream ? 1 : 0, tunnels: kind === KIND.tunnel ? 1 : 0, inFlight: 2 });
    thread.settle(slot, version, outcome, kind);
    t.match(counts(slot), { ...expected, streams: 0, tunnels: 0, inFlight: 1, started: i + 2, firstAt: 5000, lastAt: 6000 + i });
  }
  t.equal(control.peak(slot), 3, 'the sum of what each thread saw at most: one on the first, two on the second');
  threads[1].settle(slot, version, OUTCOME.completed, KIND.http);
  t.ok(control.isIdle([slot, version]));
});

t.test('only the named slots have to be idle', async (t) => {
  const { control, threads } = booksOf(3, 6);
  const [a, b, version] = control.takeSlots(3) ?? [];
  threads[2].claim(a, version, 1);
  t.notOk(control.isIdle([b, a]));
  t.ok(control.isIdle([b]));
  t.ok(control.isIdle([]));
});

t.test('answers, failures and refusals', async (t) => {
  const { control, threads, counts } = booksOf(2, 4);
  const slots = control.takeSlots(2) ?? [];
  threads[0].answered(slots[0], 200, 0.1, 10, 100);
  threads[1].answered(slots[0], 503, 1500, 20, 200);
  threads[1].answered(slots[1], 101, 20_000, 1, 2, KIND.tunnel);
  threads[1].broken(slots[1]);
  const traffic = control.traffic(slots);
  t.strictSame(traffic.codes, [1, 1, 0, 0, 1]);
  t.equal(traffic.answered, 2, 'how long a tunnel lived is no latency');
  t.equal(traffic.broken, 1);
  t.ok(Math.abs(traffic.latencySum - 1.5001) < 1e-9);
  t.strictSame([traffic.bins.length, traffic.bins[0], traffic.bins[BINS - 1]], [BINS, 1, 0]);
  t.equal(
    traffic.bins.reduce((sum, count) => sum + count, 0),
    2,
    'each latency is in one bin',
  );
  t.match(counts(slots[0]), { bytesIn: 30, bytesOut: 300 });
  threads[0].failed(slots[0], FAILURE_LIST.indexOf(FAILURE.reset));
  threads[1].failed(slots[0], FAILURE_LIST.indexOf(FAILURE.truncated));
  t.equal(control.failuresInRow(slots[0]), 2);
  threads[0].succeeded(slots[0]);
  t.equal(control.failuresInRow(slots[0]), 1, 'a success ends the run of its thread');
  t.strictSame(
    control.traffic(slots).failures.flatMap((count, i) => (count > 0 ? [FAILURE_LIST[i].code] : [])),
    ['reset', 'truncated'],
  );
  for (const thread of threads) thread.rejected(REJECT_LIST.indexOf(REJECT.noRoute));
  t.equal(control.rejected()[REJECT_LIST.indexOf(REJECT.noRoute)], 2);
  t.equal(
    control.rejected().reduce((sum, count) => sum + count, 0),
    2,
  );
  threads[0].count(EDGE.connections, 3);
  threads[1].count(EDGE.connections, -1);
  t.equal(control.edge(EDGE.connections), 2);
  threads[0].sockets(slots[1], 1);
  threads[1].sockets(slots[1], 1);
  threads[0].sockets(slots[1], -1);
  t.equal(counts(slots[1]).openSockets, 1);
});

t.test('generation and acks', async (t) => {
  const { control, threads } = booksOf(3, 1);
  control.commit(7);
  t.strictSame([control.generation(), ...threads.map((thread) => thread.generation())], [7, 7, 7, 7]);
  threads[1].ack(7);
  t.strictSame(
    [0, 1, 2].map((thread) => control.acked(thread)),
    [0, 7, 0],
  );
  control.ackFor(2, 6);
  t.equal(control.acked(2), 6);
});

t.test('a dead thread’s books are closed', async (t) => {
  const { control, threads, counts } = booksOf(2, 8);
  const [a, b, version] = control.takeSlots(3) ?? [];
  const [dead, alive] = threads;
  for (let i = 0; i < 5; i++) dead.claim(a, version, 1);
  dead.become(a, KIND.stream);
  dead.become(a, KIND.tunnel);
  dead.become(a, KIND.tunnel);
  dead.settle(a, version, OUTCOME.completed, KIND.http);
  dead.claim(b, version, 1);
  dead.sockets(a, 1);
  dead.failed(a, 0);
  dead.count(EDGE.connections, 4);
  dead.waiting(version, 1);
  dead.count(EDGE.accepted, 9);
  alive.claim(a, version, 1);
  alive.count(EDGE.connections, 1);
  t.equal(control.closeThread(0), 5, 'four on one backend, one on the other');
  t.match(counts(a), {
    started: 6,
    completed: 1,
    killed: 4,
    killedByKind: { http: 1, stream: 1, tunnel: 2 },
    inFlight: 1,
    streams: 0,
    tunnels: 0,
    openSockets: 0,
  });
  t.match(counts(b), { started: 1, killed: 1, inFlight: 0 });
  t.strictSame(
    [control.edge(EDGE.connections), control.waiting(version), control.edge(EDGE.accepted)],
    [1, 0, 9],
    'what it had open is closed, what it counted stays',
  );
  t.equal(control.failuresInRow(a), 0);
  t.equal(control.peak(a), 6, 'peaks stay');
  t.notOk(control.isIdle([version]), 'the other thread still works');
  alive.settle(a, version, OUTCOME.completed, KIND.http);
  t.ok(control.isIdle([a, b, version]));
  t.equal(control.closeThread(0), 0, 'closing them twice changes nothing');
  t.match(counts(a), { started: 6, completed: 2, killed: 4, inFlight: 0 });
  new ThreadLedger(control.buffer, 0).claim(a, version, 2);
  t.match(counts(a), { started: 7, inFlight: 1 }, 'its successor goes on in the same cells');
});

t.test('the peak is the most there ever was', async (t) => {
  const { control, threads } = booksOf(1, 2);
  const [slot, version] = control.takeSlots(2) ?? [];
  for (const change of [1, 1, 1, -1, -1, 1, -1, -1]) {
    if (change === 1) threads[0].claim(slot, version, 1);
    else threads[0].settle(slot, version, OUTCOME.completed, KIND.http);
  }
  t.strictSame([control.peak(slot), control.peak(version)], [3, 3]);
});

t.test('a thread that died between two writes', async (t) => {
  const { control, threads, counts } = booksOf(1, 3);
  const [a, b, version] = control.takeSlots(3) ?? [];
  for (const [slot, kind] of [
    [a, KIND.tunnel],
    [b, KIND.stream],
  ] as const) {
    threads[0].claim(slot, version, 1);
    threads[0].become(slot, kind);
    // It has written how the claim ended, and not yet that it is no longer in flight.
    new Float64Array(control.buffer)[layoutFor(1, 3).counters + slot * COUNTERS + COUNTER.completed]++;
  }
  t.equal(control.closeThread(0), 0, 'what has ended is not lost');
  for (const slot of [a, b])
    t.match(counts(slot), { started: 1, completed: 1, killed: 0, killedByKind: { http: 0, stream: 0, tunnel: 0 }, streams: 0, tunnels: 0, inFlight: 0 });
  t.ok(control.isIdle([a, b, version]));
});

t.test('slots are taken, given back and used again with nothing in them', async (t) => {
  const { control, threads, counts } = booksOf(2, 3);
  const slots = control.takeSlots(3) ?? [];
  t.strictSame(
    slots.toSorted((a, b) => a - b),
    [0, 1, 2],
  );
  t.equal(control.takeSlots(1), null, 'there are no more');
  const blank = counts(slots[0]);
  const quiet = control.traffic(slots);
  for (const slot of slots) {
    control.setAvailable(slot, true);
    control.setWeight(slot, 500);
    for (const thread of threads) {
      thread.claim(slot, slot, 77);
      thread.become(slot, KIND.stream);
      thread.become(slot, KIND.tunnel);
      thread.settle(slot, slot, OUTCOME.killed, KIND.tunnel);
      thread.claim(slot, slot, 78);
      thread.sockets(slot, 1);
      thread.answered(slot, 404, 3, 4, 5);
      for (const failure of FAILURE_LIST.keys()) thread.failed(slot, failure);
    }
  }
  control.freeSlot(slots[1]);
  t.equal(control.takeSlots(2), null, 'one is free, not two');
  t.strictSame(control.takeSlots(1), [slots[1]]);
  t.strictSame(counts(slots[1]), blank, 'its counts are zero');
  t.strictSame(control.traffic([slots[1]]), quiet, 'and what was answered');
  t.strictSame([control.peak(slots[1]), control.failuresInRow(slots[1]), threads[0].inFlight(slots[1])], [0, 0, 0]);
  t.strictSame(
    [control.available(slots[1]), threads[1].available(slots[1]), threads[1].weight(slots[1])],
    [false, false, 0],
    'it is not available and has no weight',
  );
  t.ok(control.isIdle([slots[1]]));
  t.match(counts(slots[0]), { started: 4, killed: 2 }, 'others are left alone');
  t.match(counts(slots[2]), { started: 4, killed: 2 });
  t.equal(threads[0].weight(slots[2]), 500);
  t.strictSame(control.takeSlots(0), [], 'none, asked for none');
});

t.test('whoever sees a gauge move sees the counters that belong to it', async (t) => {
  const { control, threads, counts } = booksOf(1, 2);
  const [slot, version] = control.takeSlots(2) ?? [];
  const seen: string[] = [];
  const store = Atomics.store.bind(Atomics);
  t.capture(Atomics, 'store', (cells: Int32Array, at: number, value: number) => {
    const { started, completed } = counts(slot);
    seen.push(`${value}: ${started} started, ${completed} completed`);
    return store(cells, at, value);
  });
  threads[0].claim(slot, version, 1);
  threads[0].settle(slot, version, OUTCOME.completed, KIND.http);
  t.strictSame(seen, ['1: 1 started, 0 completed', '1: 1 started, 0 completed', '0: 1 started, 1 completed', '0: 1 started, 1 completed']);
});
