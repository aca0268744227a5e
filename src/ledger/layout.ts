/**
 * Layout of the ledger: one SharedArrayBuffer, one writer per cell.
 *
 *     ┌ head (Int32) ────────────────────────────────────────────────────────────────┐
 *     │ generation · threads · slots · ack[thread] …                                   │
 *     ├ control (Int32) ───────────────────────────────────────────────────────────────┤
 *     │ per slot: available · effective weight                    written by control   │
 *     ├ per thread ────────────────────────────────────────────────────────────────────┤
 *     │ edge cells (Float64)                     written by that thread only           │
 *     │ per slot: gauges (Int32 × 8) · counters (Float64 × 88)                         │
 *     └────────────────────────────────────────────────────────────────────────────────┘
 *
 * Rows are of backends, of versions and of upstreams. Requests are counted on the row of their backend; copies of requests on that of
 * their version, so that neither is ever taken for the other. In flight is on both: it is what a drain waits for.
 *
 * A thread's cells lie together, so that two threads never write to one cache line. Counters are
 * Float64: exact to 2^53 and never torn on a 64-bit machine; gauges are Int32, read with Atomics.
 */
import { FAILURE_LIST, REJECT_LIST } from '../errors/catalogue.ts';
import { HANDSHAKE_FAILURES } from '../errors/handshake.ts';

/** Gauges of a (thread, slot). */
export const GAUGE = { inFlight: 0, openSockets: 1, streams: 2, tunnels: 3, peak: 4, failuresInRow: 5, waiting: 6 } as const;
export const GAUGES = 8;

/** Latency bins: one under 128 µs, two per octave up to 12.6 s, and one for all that is slower. */
export const BINS = 35;
const FIRST_OCTAVE = 7;

/** Upper bound of each bin but the last, in seconds. */
export const BIN_BOUNDS: readonly number[] = Array.from({ length: BINS - 1 }, (_, bin) => {
  const octave = FIRST_OCTAVE + (bin >> 1);
  return (2 ** octave * (bin % 2 === 0 ? 1 : 1.5)) / 1e6;
});

/** Bin of a latency in microseconds. A latency equal to a bound belongs to the bin above it. */
export function binOf(micros: number): number {
  if (micros < 1 << FIRST_OCTAVE) return 0;
  if (micros >= 2 ** 24) return BINS - 1;
  const octave = 31 - Math.clz32(micros);
  const half = (micros >>> (octave - 1)) & 1;
  return (octave - FIRST_OCTAVE) * 2 + half + 1;
}

/** Counters of a (thread, slot). `codes` … `bins` are the first of a run. */
export const COUNTER = {
  started: 0,
  completed: 1,
  clientAborted: 2,
  upstreamFailed: 3,
  killedHttp: 4,
  killedStream: 5,
  killedTunnel: 6,
  bytesIn: 7,
  bytesOut: 8,
  /** Epoch milliseconds of the first and the last claim; 0 = none. */
  firstAt: 9,
  lastAt: 10,
  /** Seconds; `answered` is the number of latencies in it. */
  latencySum: 11,
  answered: 12,
  /** Answers by class: 1xx … 5xx. */
  codes: 13,
  failures: 18,
  /** Answers that began and that the backend did not complete, event streams included, tunnels not. */
  broken: 36,
  bins: 37,
  /** Claims that did not come by the split; cells of STEERED. */
  steered: 72,
  /** Of an upstream's row: requests that were not mirrored though they should have been; cells of NOT_MIRRORED. */
  notMirrored: 76,
  /** Requests that were sent again because the backend had not looked at them. */
  resent: 79,
  /** Claims of those in `started` that were taken back: no counter goes down. */
  withdrawn: 80,
} as const;
export const COUNTERS = 88;

/** By what a claim came that did not come by the split: a pinned session, a preview field, an asset that another version did not have, a copy of a request for another. */
export const STEERED = { pin: 0, preview: 1, asset: 2, mirror: 3 } as const;

/** Why a request was not mirrored: as many were under way as may be, its body was too large or not there yet, or no backend had a place. */
export const NOT_MIRRORED = { busy: 0, body: 1, unavailable: 2 } as const;

/** Counters of a thread as a whole. `challenges`, `rejected`, `handshakes` and `requests` are the first of runs: those that follow, and REJECT_LIST. */
export const EDGE = {
  connections: 0,
  accepted: 1,
  retries: 2,
  retriesRefused: 3,
  redirects: 4,
  uncounted: 5,
  challenges: 6,
  rejected: 8,
  handshakes: 64,
  requests: 84,
  /** Bytes of request bodies that nobody has taken, now; and how often a client was not read from because they were too many. */
  unread: 88,
  heldBack: 89,
} as const;
/** Cells from EDGE.challenges: questions of certificate authorities that were answered, by how they came. */
export const CHALLENGES = { http: 0, tls: 1 } as const;
/** Cells from EDGE.handshakes: handshakes that succeeded, those of them that resumed a session, with TLS 1.3, those under way now, and the failed ones by HANDSHAKE_FAILURES. */
export const HANDSHAKES = { done: 0, resumed: 1, tls13: 2, open: 3, failed: 4 } as const;
/** Cells from EDGE.requests: heads of requests that could be read, by version of HTTP; the first two follow the minor version. */
export const REQUESTS = { http10: 0, http11: 1, http2: 2 } as const;
export const EDGES = 96;

if (FAILURE_LIST.length > COUNTER.broken - COUNTER.failures) throw new Error('ledger: no room for all failures');
if (REJECT_LIST.length > EDGE.handshakes - EDGE.rejected) throw new Error('ledger: no room for all rejections');
if (HANDSHAKES.failed + HANDSHAKE_FAILURES.length > EDGE.requests - EDGE.handshakes) throw new Error('ledger: no room for all handshakes');
if (COUNTER.bins + BINS > COUNTER.steered) throw new Error('ledger: no room for all bins');

export const HEAD = { generation: 0, threads: 1, slots: 2, acks: 16 } as const;
const MAX_THREADS = 256;
export const CONTROL_CELLS = 2;

export interface Layout {
  readonly threads: number;
  readonly slots: number;
  /** Int32 index of the control cells of slot 0. */
  readonly control: number;
  /** Float64 index of the edge cells of thread 0, and the distance to the next thread's. */
  readonly edge: number;
  readonly edgeStride: number;
  /** Int32 index of the gauges of (thread 0, slot 0), and the distance to the next thread's. */
  readonly gauges: number;
  readonly gaugeStride: number;
  /** Float64 index of the counters of (thread 0, slot 0), and the distance to the next thread's. */
  readonly counters: number;
  readonly counterStride: number;
  readonly bytes: number;
}

/** Where everything lies for so many threads and slots. */
export function layoutFor(threads: number, slots: number): Layout {
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) throw new RangeError(`threads must be 1 to ${MAX_THREADS}, not ${threads}`);
  const control = HEAD.acks + MAX_THREADS;
  let bytes = alignLine((control + slots * CONTROL_CELLS) * 4);
  const edge = bytes / 8;
  const edgeStride = EDGES;
  bytes += threads * edgeStride * 8;
  const gauges = bytes / 4;
  const gaugeStride = alignLine(slots * GAUGES * 4) / 4;
  bytes += threads * gaugeStride * 4;
  const counters = bytes / 8;
  const counterStride = slots * COUNTERS;
  bytes += threads * counterStride * 8;
  return { threads, slots, control, edge, edgeStride, gauges, gaugeStride, counters, counterStride, bytes };
}

const LINE = 64;

function alignLine(bytes: number): number {
  return Math.ceil(bytes / LINE) * LINE;
}
