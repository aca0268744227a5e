import { FAILURE_LIST, REJECT_LIST } from '../errors/catalogue.ts';
import { HANDSHAKE_FAILURES } from '../errors/handshake.ts';
import {
  BINS,
  CHALLENGES,
  CONTROL_CELLS,
  COUNTER,
  COUNTERS,
  EDGE,
  EDGES,
  GAUGE,
  GAUGES,
  HANDSHAKES,
  HEAD,
  NOT_MIRRORED,
  REQUESTS,
  STEERED,
  layoutFor,
} from './layout.ts';
import type { Layout } from './layout.ts';

/** Sums over threads. The conservation law holds in each: started = completed + clientAborted + upstreamFailed + killed + inFlight. */
export interface Counts {
  started: number;
  completed: number;
  clientAborted: number;
  upstreamFailed: number;
  killed: number;
  killedByKind: { http: number; stream: number; tunnel: number };
  inFlight: number;
  /** Copies of requests for another version; in none of the others. */
  mirrored: number;
  mirroredInFlight: number;
  streams: number;
  tunnels: number;
  openSockets: number;
  bytesIn: number;
  bytesOut: number;
  /** Epoch milliseconds; 0 = no request yet. */
  firstAt: number;
  lastAt: number;
}

export function emptyCounts(): Counts {
  return {
    started: 0,
    completed: 0,
    clientAborted: 0,
    upstreamFailed: 0,
    killed: 0,
    killedByKind: { http: 0, stream: 0, tunnel: 0 },
    inFlight: 0,
    mirrored: 0,
    mirroredInFlight: 0,
    streams: 0,
    tunnels: 0,
    openSockets: 0,
    bytesIn: 0,
    bytesOut: 0,
    firstAt: 0,
    lastAt: 0,
  };
}

/** Counts of one (thread, slot) or many, `slots` being the backends of a version. */
export interface Traffic {
  /** Answers by class, 1xx … 5xx. */
  codes: number[];
  /** By position in FAILURE_LIST. */
  failures: number[];
  /** Not cumulative; bounds in layout.ts. */
  bins: number[];
  latencySum: number;
  /** Latencies in the bins. */
  answered: number;
  /** Claims that did not come by the split; cells of STEERED. */
  steered: number[];
  /** Answers that the backend did not complete; their class says nothing of it. */
  broken: number;
  /** Requests that were sent again because the backend had not looked at them. */
  resent: number;
}

/**
 * The control plane's side of the ledger: it owns the generation and the cells of availability and
 * weight, reads everything, and takes over the cells of a thread that is dead.
 */
export class ControlLedger {
  readonly buffer: SharedArrayBuffer;
  readonly threads: number;
  readonly slots: number;
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly layout: Layout;
  private readonly free: number[] = [];
  private next = 0;

  constructor(threads: number, slots: number) {
    this.layout = layoutFor(threads, slots);
    this.buffer = new SharedArrayBuffer(this.layout.bytes);
    this.i32 = new Int32Array(this.buffer);
    this.f64 = new Float64Array(this.buffer);
    this.i32[HEAD.threads] = threads;
    this.i32[HEAD.slots] = slots;
    this.threads = threads;
    this.slots = slots;
  }

  /** Takes `count` slots with all their cells at zero; null when there are not so many. */
  takeSlots(count: number): number[] | null {
    if (this.free.length + (this.slots - this.next) < count) return null;
    return Array.from({ length: count }, () => this.free.pop() ?? this.next++);
  }

  /** Gives a slot back. Only when every thread has acked a generation without it: from then on nobody else writes to it. */
  freeSlot(slot: number): void {
    for (let thread = 0; thread < this.threads; thread++) {
      const gauges = this.gaugeRow(thread, slot);
      this.i32.fill(0, gauges, gauges + GAUGES);
      const counters = this.counterRow(thread, slot);
      this.f64.fill(0, counters, counters + COUNTERS);
    }
    this.setAvailable(slot, false);
    this.setWeight(slot, 0);
    this.free.push(slot);
  }

  generation(): number {
    return Atomics.load(this.i32, HEAD.generation);
  }

  /** The cutover: one store, seen by every thread. */
  commit(generation: number): void {
    Atomics.store(this.i32, HEAD.generation, generation);
  }

  acked(thread: number): number {
    return Atomics.load(this.i32, HEAD.acks + thread);
  }

  /** A thread that is gone has nothing left to start: the control plane acks for it. */
  ackFor(thread: number, generation: number): void {
    Atomics.store(this.i32, HEAD.acks + thread, generation);
  }

  available(slot: number): boolean {
    return Atomics.load(this.i32, this.layout.control + slot * CONTROL_CELLS) === 1;
  }

  setAvailable(slot: number, available: boolean): void {
    Atomics.store(this.i32, this.layout.control + slot * CONTROL_CELLS, available ? 1 : 0);
  }

  setWeight(slot: number, weight: number): void {
    Atomics.store(this.i32, this.layout.control + slot * CONTROL_CELLS + 1, weight);
  }

  /** Exact proof that nothing is in flight: the gauges of all threads are zero. Meaningful once nothing can be claimed any more. */
  isIdle(slots: readonly number[]): boolean {
    for (let thread = 0; thread < this.threads; thread++) {
      for (const slot of slots) if (Atomics.load(this.i32, this.gaugeRow(thread, slot) + GAUGE.inFlight) !== 0) return false;
    }
    return true;
  }

  /** Adds the counts of a slot, of one thread or of all, to `into`. */
  addCounts(into: Counts, slot: number, only?: number): Counts {
    for (let thread = only ?? 0; thread < (only === undefined ? this.threads : only + 1); thread++) this.addThread(into, thread, slot);
    return into;
  }

  private addThread(into: Counts, thread: number, slot: number): void {
    const row = this.counterRow(thread, slot);
    const f64 = this.f64;
    // Ends are read before starts: what is in between counts as in flight, never as an end without a start.
    const completed = f64[row + COUNTER.completed];
    const clientAborted = f64[row + COUNTER.clientAborted];
    const upstreamFailed = f64[row + COUNTER.upstreamFailed];
    const http = f64[row + COUNTER.killedHttp];
    const stream = f64[row + COUNTER.killedStream];
    const tunnel = f64[row + COUNTER.killedTunnel];
    const gauges = this.gaugeRow(thread, slot);
    Atomics.load(this.i32, gauges + GAUGE.inFlight);
    const withdrawn = f64[row + COUNTER.withdrawn];
    const started = f64[row + COUNTER.started] - withdrawn;
    into.started += started;
    into.completed += completed;
    into.clientAborted += clientAborted;
    into.upstreamFailed += upstreamFailed;
    into.killed += http + stream + tunnel;
    into.killedByKind.http += http;
    into.killedByKind.stream += stream;
    into.killedByKind.tunnel += tunnel;
    into.inFlight += started - completed - clientAborted - upstreamFailed - http - stream - tunnel;
    into.streams += this.i32[gauges + GAUGE.streams];
    into.tunnels += this.i32[gauges + GAUGE.tunnels];
    into.openSockets += this.i32[gauges + GAUGE.openSockets];
    into.bytesIn += f64[row + COUNTER.bytesIn];
    into.bytesOut += f64[row + COUNTER.bytesOut];
    const firstAt = f64[row + COUNTER.firstAt];
    if (firstAt !== 0 && (into.firstAt === 0 || firstAt < into.firstAt)) into.firstAt = firstAt;
    into.lastAt = Math.max(into.lastAt, f64[row + COUNTER.lastAt]);
  }

  /** Claims of a slot, those that were taken back included: never less than before. */
  claims(slot: number): number {
    let sum = 0;
    for (let thread = 0; thread < this.threads; thread++) sum += this.f64[this.counterRow(thread, slot) + COUNTER.started];
    return sum;
  }

  /** Adds the copies that a version has got, which are on its own row, to `into`. */
  addCopies(into: Counts, versionSlot: number): Counts {
    const { started, inFlight } = this.addCounts(emptyCounts(), versionSlot);
    into.mirrored += started;
    into.mirroredInFlight += inFlight;
    return into;
  }

  /** Sum over the threads of the highest number in flight that each of them saw on this slot. */
  peak(slot: number): number {
    let sum = 0;
    for (let thread = 0; thread < this.threads; thread++) sum += this.i32[this.gaugeRow(thread, slot) + GAUGE.peak];
    return sum;
  }

  /** Requests that wait at the door of the upstream with this slot. */
  waiting(slot: number): number {
    let sum = 0;
    for (let thread = 0; thread < this.threads; thread++) sum += this.i32[this.gaugeRow(thread, slot) + GAUGE.waiting];
    return sum;
  }

  /** Requests of the upstream with this slot that were not mirrored; cells of NOT_MIRRORED. */
  notMirrored(slot: number): number[] {
    const sums = zeros(Object.keys(NOT_MIRRORED).length);
    for (let thread = 0; thread < this.threads; thread++) {
      for (let i = 0; i < sums.length; i++) sums[i] += this.f64[this.counterRow(thread, slot) + COUNTER.notMirrored + i];
    }
    return sums;
  }

  /** Failures in a row that the threads have seen on this slot; a success on one thread ends that thread's run only. */
  failuresInRow(slot: number): number {
    let sum = 0;
    for (let thread = 0; thread < this.threads; thread++) sum += this.i32[this.gaugeRow(thread, slot) + GAUGE.failuresInRow];
    return sum;
  }

  traffic(slots: readonly number[]): Traffic {
    const into: Traffic = {
      codes: zeros(5),
      failures: FAILURE_LIST.map(() => 0),
      bins: zeros(BINS),
      latencySum: 0,
      answered: 0,
      broken: 0,
      resent: 0,
      steered: zeros(Object.keys(STEERED).length),
    };
    for (let thread = 0; thread < this.threads; thread++) {
      for (const slot of slots) {
        const row = this.counterRow(thread, slot);
        for (let i = 0; i < 5; i++) into.codes[i] += this.f64[row + COUNTER.codes + i];
        for (let i = 0; i < FAILURE_LIST.length; i++) into.failures[i] += this.f64[row + COUNTER.failures + i];
        for (let i = 0; i < BINS; i++) into.bins[i] += this.f64[row + COUNTER.bins + i];
        for (let i = 0; i < into.steered.length; i++) into.steered[i] += this.f64[row + COUNTER.steered + i];
        into.latencySum += this.f64[row + COUNTER.latencySum];
        into.answered += this.f64[row + COUNTER.answered];
        into.broken += this.f64[row + COUNTER.broken];
        into.resent += this.f64[row + COUNTER.resent];
      }
    }
    return into;
  }

  /** Sum over threads of an edge counter (EDGE in layout.ts). */
  edge(cell: number): number {
    let sum = 0;
    for (let thread = 0; thread < this.threads; thread++) sum += this.f64[this.layout.edge + thread * EDGES + cell];
    return sum;
  }

  /** Refused requests by position in REJECT_LIST. */
  rejected(): number[] {
    return REJECT_LIST.map((_, i) => this.edge(EDGE.rejected + i));
  }

  /** Requests of clients by version of HTTP: cells of REQUESTS. */
  requests() {
    const cell = (what: number): number => this.edge(EDGE.requests + what);
    return { http10: cell(REQUESTS.http10), http11: cell(REQUESTS.http11), http2: cell(REQUESTS.http2) };
  }

  /** Answered questions of certificate authorities: cells of CHALLENGES. */
  challenges() {
    const cell = (what: number): number => this.edge(EDGE.challenges + what);
    return { http: cell(CHALLENGES.http), tls: cell(CHALLENGES.tls) };
  }

  /** TLS handshakes: cells of HANDSHAKES, the failed ones by position in HANDSHAKE_FAILURES. */
  handshakes() {
    const cell = (what: number): number => this.edge(EDGE.handshakes + what);
    return {
      done: cell(HANDSHAKES.done),
      resumed: cell(HANDSHAKES.resumed),
      tls13: cell(HANDSHAKES.tls13),
      open: cell(HANDSHAKES.open),
      failed: HANDSHAKE_FAILURES.map((_, i) => cell(HANDSHAKES.failed + i)),
    };
  }

  /**
   * Closes the books of a dead thread: what it had in flight is counted as killed, its gauges go to
   * zero, its counters stay. Only after the thread has ended.
   * @returns how many requests were lost with it.
   */
  closeThread(thread: number): number {
    let lost = 0;
    for (let slot = 0; slot < this.next; slot++) {
      const gauges = this.gaugeRow(thread, slot);
      const counters = this.counterRow(thread, slot);
      const counts = this.addCounts(emptyCounts(), slot, thread);
      const tunnels = Math.min(counts.tunnels, counts.inFlight);
      const streams = Math.min(counts.streams, counts.inFlight - tunnels);
      this.f64[counters + COUNTER.killedTunnel] += tunnels;
      this.f64[counters + COUNTER.killedStream] += streams;
      this.f64[counters + COUNTER.killedHttp] += counts.inFlight - tunnels - streams;
      // A row that has got copies is of a version: nobody waits for them.
      if (this.f64[counters + COUNTER.steered + STEERED.mirror] === 0) lost += counts.inFlight;
      const peak = this.i32[gauges + GAUGE.peak];
      this.i32.fill(0, gauges, gauges + GAUGES);
      this.i32[gauges + GAUGE.peak] = peak;
    }
    for (const gauge of [EDGE.connections, EDGE.unread, EDGE.handshakes + HANDSHAKES.open]) this.f64[this.layout.edge + thread * EDGES + gauge] = 0;
    return lost;
  }

  private gaugeRow(thread: number, slot: number): number {
    return this.layout.gauges + thread * this.layout.gaugeStride + slot * GAUGES;
  }

  private counterRow(thread: number, slot: number): number {
    return this.layout.counters + thread * this.layout.counterStride + slot * COUNTERS;
  }
}

function zeros(length: number): number[] {
  return Array.from({ length }, () => 0);
}
