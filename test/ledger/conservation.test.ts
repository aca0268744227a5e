import * as fc from 'fast-check';
import t from 'tap';
import { ControlLedger, emptyCounts } from '../../src/ledger/control.ts';
import { KIND, OUTCOME, ThreadLedger } from '../../src/ledger/thread.ts';
import type { Kind } from '../../src/ledger/thread.ts';

const THREADS = 3;
const SLOTS = 3;
const OUTCOMES = ['completed', 'clientAborted', 'upstreamFailed', 'killed'] as const;

interface Claim {
  readonly slot: number;
  readonly copy: boolean;
  kind: Kind;
}

interface Sums {
  started: number;
  completed: number;
  clientAborted: number;
  upstreamFailed: number;
  killed: number;
}

/** The ledger beside the simplest thing that could do its work: lists of what is in flight. */
class World {
  readonly control = new ControlLedger(THREADS, SLOTS + 1);
  readonly slots = this.control.takeSlots(SLOTS) ?? [];
  readonly version = (this.control.takeSlots(1) ?? [])[0];
  private threads = Array.from({ length: THREADS }, (_, i) => new ThreadLedger(this.control.buffer, i));
  private readonly claims: Claim[][] = Array.from({ length: THREADS }, () => []);
  private readonly given = new Map<number, number>();
  private readonly sums = new Map<number, Sums>(
    [...this.slots, this.version].map((slot) => [slot, { started: 0, completed: 0, clientAborted: 0, upstreamFailed: 0, killed: 0 }]),
  );

  private sum(slot: number): Sums {
    const sums = this.sums.get(slot);
    if (sums === undefined) throw new Error(`no slot ${slot}`);
    return sums;
  }

  claim(thread: number, slot: number, copy: boolean): void {
    if (copy) this.threads[thread].claimCopy(slot, this.version);
    else this.threads[thread].claim(slot, this.version, 1);
    this.claims[thread].push({ slot, copy, kind: KIND.http });
    this.sum(copy ? this.version : slot).started++;
    if (!copy) this.given.set(slot, (this.given.get(slot) ?? 0) + 1);
  }

  become(thread: number, which: number, kind: Kind): void {
    const claim = this.claims[thread].at(which % Math.max(1, this.claims[thread].length));
    if (claim === undefined || claim.copy || claim.kind !== KIND.http) return;
    claim.kind = kind;
    this.threads[thread].become(claim.slot, kind);
  }

  settle(thread: number, which: number, outcome: (typeof OUTCOMES)[number]): void {
    const [claim] = this.claims[thread].splice(which % Math.max(1, this.claims[thread].length), 1);
    if (claim === undefined) return;
    if (claim.copy) this.threads[thread].settleCopy(claim.slot, this.version, OUTCOME[outcome]);
    else this.threads[thread].settle(claim.slot, this.version, OUTCOME[outcome], claim.kind);
    this.sum(claim.copy ? this.version : claim.slot)[outcome]++;
  }

  withdraw(thread: number, which: number): void {
    const at = which % Math.max(1, this.claims[thread].length);
    const claim = this.claims[thread].at(at);
    if (claim === undefined || claim.copy || claim.kind !== KIND.http) return;
    this.claims[thread].splice(at, 1);
    this.threads[thread].withdraw(claim.slot, this.version);
    this.sum(claim.slot).started--;
  }

  /** A thread dies and is replaced. */
  die(thread: number): void {
    const lost = this.control.closeThread(thread);
    const requests = this.claims[thread].filter(({ copy }) => !copy).length;
    if (lost !== requests) throw new Error(`${lost} were lost, not ${requests}`);
    for (const { slot, copy } of this.claims[thread].splice(0)) this.sum(copy ? this.version : slot).killed++;
    this.threads = this.threads.with(thread, new ThreadLedger(this.control.buffer, thread));
  }

  check(): void {
    const all = this.claims.flat();
    for (const slot of [...this.slots, this.version]) {
      const counts = this.control.addCounts(emptyCounts(), slot);
      const here = all.filter((claim) => (claim.copy ? this.version : claim.slot) === slot);
      const onIt = slot === this.version ? all : all.filter((claim) => claim.slot === slot);
      const { http, stream, tunnel } = counts.killedByKind;
      const found = [
        counts.started,
        counts.completed,
        counts.clientAborted,
        counts.upstreamFailed,
        counts.killed,
        counts.inFlight,
        counts.streams,
        counts.tunnels,
      ];
      const { started, completed, clientAborted, upstreamFailed, killed } = this.sum(slot);
      const kinds = [KIND.stream, KIND.tunnel].map((kind) => here.filter((claim) => claim.kind === kind).length);
      const expected = [started, completed, clientAborted, upstreamFailed, killed, here.length, ...kinds];
      if (found.join() !== expected.join()) throw new Error(`slot ${slot}: ${found.join()}, expected ${expected.join()}`);
      if (http + stream + tunnel !== counts.killed) throw new Error('killed is not the sum of its kinds');
      if (started !== completed + clientAborted + upstreamFailed + killed + here.length) throw new Error('the law is broken');
      if (slot !== this.version && this.control.claims(slot) !== (this.given.get(slot) ?? 0)) throw new Error('claims were forgotten');
      if (this.threads[0].inFlight(slot) !== onIt.length) throw new Error('the gauges say otherwise');
      if (this.control.isIdle([slot]) !== (onIt.length === 0)) throw new Error('isIdle is wrong');
    }
    const { mirrored, mirroredInFlight, started } = this.control.addCopies(emptyCounts(), this.version);
    const copies = all.filter(({ copy }) => copy).length;
    if (mirrored !== this.sum(this.version).started || mirroredInFlight !== copies || started !== 0) throw new Error('copies are not counted apart');
  }
}

const thread = fc.nat(THREADS - 1);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('claim' as const), thread, slot: fc.nat(SLOTS - 1), copy: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('settle' as const), thread, which: fc.nat(50), outcome: fc.constantFrom(...OUTCOMES) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('become' as const), thread, which: fc.nat(50), kind: fc.constantFrom(KIND.stream, KIND.tunnel) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('withdraw' as const), thread, which: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), thread }) },
);

t.test('the conservation law holds after every step of every thread, and when one dies', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const world = new World();
      for (const one of steps) {
        if (one.do === 'claim') world.claim(one.thread, world.slots[one.slot], one.copy);
        else if (one.do === 'settle') world.settle(one.thread, one.which, one.outcome);
        else if (one.do === 'become') world.become(one.thread, one.which, one.kind);
        else if (one.do === 'withdraw') world.withdraw(one.thread, one.which);
        else world.die(one.thread);
        world.check();
      }
    }),
    { seed: 20_260_101, numRuns: 400 },
  );
  t.pass('400 histories of up to 80 steps');
});
