import { COUNTER, COUNTERS, EDGE, GAUGE, GAUGES, HEAD, STEERED, binOf, layoutFor, CONTROL_CELLS } from './layout.ts';

/** How a claim ends; each claim ends in exactly one of them. */
export const OUTCOME = {
  completed: COUNTER.completed,
  clientAborted: COUNTER.clientAborted,
  upstreamFailed: COUNTER.upstreamFailed,
  killed: COUNTER.killedHttp,
} as const;
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

/** What kind of exchange a claim has become. */
export const KIND = { http: 0, stream: 1, tunnel: 2 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/**
 * A data thread's side of the ledger: the only writer of the cells of its index.
 *
 * The order of the writes is part of the proof of release. A claim writes `started` before anything
 * else can happen, an end writes its outcome first and lowers `inFlight` last, so a reader that sees
 * `inFlight` = 0 also sees how each of those claims ended.
 */
export class ThreadLedger {
  readonly thread: number;
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly gauges: number;
  private readonly counters: number;
  private readonly edge: number;
  private readonly control: number;
  private readonly threads: number;
  private readonly gaugeStart: number;
  private readonly gaugeStride: number;

  constructor(buffer: SharedArrayBuffer, thread: number) {
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
    const layout = layoutFor(this.i32[HEAD.threads], this.i32[HEAD.slots]);
    this.thread = thread;
    this.threads = layout.threads;
    this.gaugeStart = layout.gauges;
    this.gaugeStride = layout.gaugeStride;
    this.gauges = layout.gauges + thread * layout.gaugeStride;
    this.counters = layout.counters + thread * layout.counterStride;
    this.edge = layout.edge + thread * layout.edgeStride;
    this.control = layout.control;
  }

  /** The generation that the control plane has committed. */
  generation(): number {
    return Atomics.load(this.i32, HEAD.generation);
  }

  /** Says that this thread will start nothing any more on a table older than `generation`. */
  ack(generation: number): void {
    Atomics.store(this.i32, HEAD.acks + this.thread, generation);
  }

  available(slot: number): boolean {
    return Atomics.load(this.i32, this.control + slot * CONTROL_CELLS) === 1;
  }

  /** Effective weight of a backend, thousandths of its nominal weight included (slow start lowers it). */
  weight(slot: number): number {
    return Atomics.load(this.i32, this.control + slot * CONTROL_CELLS + 1);
  }

  /** In flight on a backend over all threads. Other threads' cells may be a few nanoseconds old. */
  inFlight(slot: number): number {
    let sum = 0;
    let at = this.gaugeStart + slot * GAUGES + GAUGE.inFlight;
    for (let i = 0; i < this.threads; i++, at += this.gaugeStride) sum += Atomics.load(this.i32, at);
    return sum;
  }

  /** Open connections to a backend over all threads, as `inFlight`. */
  openSockets(slot: number): number {
    return this.sum(slot, GAUGE.openSockets);
  }

  /** Requests that wait at the door of the upstream with this slot, over all threads. */
  waitingOf(slot: number): number {
    return this.sum(slot, GAUGE.waiting);
  }

  private sum(slot: number, gauge: number): number {
    let sum = 0;
    let at = this.gaugeStart + slot * GAUGES + gauge;
    for (let i = 0; i < this.threads; i++, at += this.gaugeStride) sum += Atomics.load(this.i32, at);
    return sum;
  }

  /** Counts a request on a backend and its version. `now` in epoch milliseconds. */
  claim(slot: number, versionSlot: number, now: number): void {
    const cells = this.counters + slot * COUNTERS;
    this.f64[cells + COUNTER.started]++;
    if (this.f64[cells + COUNTER.firstAt] === 0) this.f64[cells + COUNTER.firstAt] = now;
    this.f64[cells + COUNTER.lastAt] = now;
    this.rise(this.gauges + slot * GAUGES);
    this.rise(this.gauges + versionSlot * GAUGES);
  }

  private rise(row: number): void {
    const count = this.i32[row + GAUGE.inFlight] + 1;
    Atomics.store(this.i32, row + GAUGE.inFlight, count);
    if (count > this.i32[row + GAUGE.peak]) this.i32[row + GAUGE.peak] = count;
  }

  /** Ends a claim. `kind` is what it had become. */
  settle(slot: number, versionSlot: number, outcome: Outcome, kind: Kind): void {
    this.f64[this.counters + slot * COUNTERS + outcome + (outcome === OUTCOME.killed ? kind : 0)]++;
    const row = this.gauges + slot * GAUGES;
    if (kind === KIND.stream) this.i32[row + GAUGE.streams]--;
    else if (kind === KIND.tunnel) this.i32[row + GAUGE.tunnels]--;
    Atomics.store(this.i32, this.gauges + versionSlot * GAUGES + GAUGE.inFlight, this.i32[this.gauges + versionSlot * GAUGES + GAUGE.inFlight] - 1);
    Atomics.store(this.i32, row + GAUGE.inFlight, this.i32[row + GAUGE.inFlight] - 1);
  }

  /** Takes a claim back that the backend has not looked at, as if it had never been made: the request has another one now. */
  withdraw(slot: number, versionSlot: number): void {
    this.f64[this.counters + slot * COUNTERS + COUNTER.withdrawn]++;
    this.move(versionSlot, -1);
    this.move(slot, -1);
  }

  /** Counts a copy of a request: in flight on the backend and its version, and in the books of the version alone. */
  claimCopy(slot: number, versionSlot: number): void {
    this.f64[this.counters + versionSlot * COUNTERS + COUNTER.started]++;
    this.steered(versionSlot, STEERED.mirror);
    this.move(slot, 1);
    this.move(versionSlot, 1);
  }

  /** Ends the claim of a copy. */
  settleCopy(slot: number, versionSlot: number, outcome: Outcome): void {
    this.f64[this.counters + versionSlot * COUNTERS + outcome]++;
    this.move(versionSlot, -1);
    this.move(slot, -1);
  }

  private move(slot: number, change: 1 | -1): void {
    const at = this.gauges + slot * GAUGES + GAUGE.inFlight;
    Atomics.store(this.i32, at, this.i32[at] + change);
  }

  /** A claim has become a stream or a tunnel. */
  become(slot: number, kind: Kind): void {
    if (kind === KIND.http) return;
    this.i32[this.gauges + slot * GAUGES + (kind === KIND.stream ? GAUGE.streams : GAUGE.tunnels)]++;
  }

  /** Counts an answer given to a client: status 100–599, latency in milliseconds, bytes each way. How long a stream or tunnel lived is no latency. */
  answered(slot: number, status: number, millis: number, bytesIn: number, bytesOut: number, kind: Kind = KIND.http): void {
    const cells = this.counters + slot * COUNTERS;
    const f64 = this.f64;
    f64[cells + COUNTER.codes + ((status / 100) | 0) - 1]++;
    f64[cells + COUNTER.bytesIn] += bytesIn;
    f64[cells + COUNTER.bytesOut] += bytesOut;
    if (kind !== KIND.http) return;
    f64[cells + COUNTER.answered]++;
    f64[cells + COUNTER.latencySum] += millis / 1000;
    f64[cells + COUNTER.bins + binOf(millis * 1000)]++;
  }

  /** Counts an answer that the backend did not complete. */
  broken(slot: number): void {
    this.f64[this.counters + slot * COUNTERS + COUNTER.broken]++;
  }

  /** Counts a failure of a backend by its position in FAILURE_LIST, on its own row or on `row`, and raises its run of failures. */
  failed(slot: number, failure: number, row = slot): void {
    this.f64[this.counters + row * COUNTERS + COUNTER.failures + failure]++;
    this.i32[this.gauges + slot * GAUGES + GAUGE.failuresInRow]++;
  }

  /** Raises the run of failures by an answer that is one. */
  erred(slot: number): void {
    this.i32[this.gauges + slot * GAUGES + GAUGE.failuresInRow]++;
  }

  /** Ends a run of failures: the backend has answered. */
  succeeded(slot: number): void {
    const at = this.gauges + slot * GAUGES + GAUGE.failuresInRow;
    if (this.i32[at] !== 0) this.i32[at] = 0;
  }

  /** Counts a claim on this slot that did not come by the split; `by` is of STEERED. */
  steered(slot: number, by: number): void {
    this.f64[this.counters + slot * COUNTERS + COUNTER.steered + by]++;
  }

  /** Counts a request that this backend has refused unseen, and that is sent again. */
  resent(slot: number): void {
    this.f64[this.counters + slot * COUNTERS + COUNTER.resent]++;
  }

  /** Counts a request that was not mirrored, on the row of its upstream; `why` is of NOT_MIRRORED. */
  notMirrored(slot: number, why: number): void {
    this.f64[this.counters + slot * COUNTERS + COUNTER.notMirrored + why]++;
  }

  sockets(slot: number, change: 1 | -1): void {
    this.i32[this.gauges + slot * GAUGES + GAUGE.openSockets] += change;
  }

  /** A request waits at the door of the upstream with this slot, or leaves it. */
  waiting(slot: number, change: 1 | -1): void {
    this.i32[this.gauges + slot * GAUGES + GAUGE.waiting] += change;
  }

  /** Counts a refused request by its position in REJECT_LIST. */
  rejected(reject: number): void {
    this.f64[this.edge + EDGE.rejected + reject]++;
  }

  count(edge: number, by: number): void {
    this.f64[this.edge + edge] += by;
  }
}
