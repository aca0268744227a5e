import * as fc from 'fast-check';
import t from 'tap';
import { FAILURE_LIST, REJECT_LIST } from '../../src/errors/catalogue.ts';
import { BIN_BOUNDS, BINS, CONTROL_CELLS, COUNTER, COUNTERS, EDGE, EDGES, GAUGE, GAUGES, HEAD, binOf, layoutFor } from '../../src/ledger/layout.ts';

const LINE = 64;

interface Part {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** Index of the one thread that writes it; −1 = control. */
  readonly writer: number;
}

/** Every part of the ledger as bytes. */
function partsOf(threads: number, slots: number): Part[] {
  const layout = layoutFor(threads, slots);
  const parts: Part[] = [
    { name: 'head', from: 0, to: (HEAD.acks + threads) * 4, writer: -1 },
    { name: 'control', from: layout.control * 4, to: (layout.control + slots * CONTROL_CELLS) * 4, writer: -1 },
  ];
  for (let thread = 0; thread < threads; thread++) {
    const edge = (layout.edge + thread * layout.edgeStride) * 8;
    parts.push({ name: `edge of ${thread}`, from: edge, to: edge + EDGES * 8, writer: thread });
    for (let slot = 0; slot < slots; slot++) {
      const gauges = (layout.gauges + thread * layout.gaugeStride + slot * GAUGES) * 4;
      const counters = (layout.counters + thread * layout.counterStride + slot * COUNTERS) * 8;
      parts.push({ name: `gauges of ${thread}, ${slot}`, from: gauges, to: gauges + GAUGES * 4, writer: thread });
      parts.push({ name: `counters of ${thread}, ${slot}`, from: counters, to: counters + COUNTERS * 8, writer: thread });
    }
  }
  return parts.sort((a, b) => a.from - b.from);
}

t.test('no two parts overlap, and no two threads share a cache line', async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 70 }), (threads, slots) => {
      const parts = partsOf(threads, slots);
      for (const [i, part] of parts.entries()) {
        if (i === 0) continue;
        const before = parts[i - 1];
        if (before.to > part.from) throw new Error(`${before.name} and ${part.name} overlap`);
        if (before.writer !== part.writer && Math.floor((before.to - 1) / LINE) === Math.floor(part.from / LINE)) {
          throw new Error(`${before.name} and ${part.name} share a line`);
        }
      }
      const last = parts.at(-1);
      if (last === undefined || last.to > layoutFor(threads, slots).bytes) throw new Error('it does not fit');
    }),
    { seed: 20_260_101, numRuns: 200 },
  );
  t.ok(partsOf(256, 2).at(-1), 'as many threads as there can be');
});

t.test('a number of threads that cannot be', async (t) => {
  for (const threads of [0, 257, 1.5, -1, Number.NaN]) t.throws(() => layoutFor(threads, 10), RangeError, String(threads));
});

t.test('runs of counters have room for what they follow', async (t) => {
  const singles = Object.entries(COUNTER).filter(([name]) => !['codes', 'failures', 'bins'].includes(name));
  const cells = [
    ...singles.map(([, at]) => at),
    ...Array.from({ length: 5 }, (_, i) => COUNTER.codes + i),
    ...FAILURE_LIST.map((_, i) => COUNTER.failures + i),
    ...Array.from({ length: BINS }, (_, i) => COUNTER.bins + i),
  ];
  t.equal(new Set(cells).size, cells.length, 'no counter is in another one’s place');
  t.ok(Math.max(...cells) < COUNTERS);
  const { rejected, ...edges } = EDGE;
  const edgeCells = [...Object.values(edges), ...REJECT_LIST.map((_, i) => rejected + i)];
  t.equal(new Set(edgeCells).size, edgeCells.length);
  t.ok(Math.max(...edgeCells) < EDGES);
  const gauges = Object.values(GAUGE);
  t.equal(new Set(gauges).size, gauges.length);
  t.ok(Math.max(...gauges) < GAUGES);
});

t.test('latency bins', async (t) => {
  t.equal(BIN_BOUNDS.length, BINS - 1);
  for (const [bin, bound] of BIN_BOUNDS.entries()) {
    const micros = Math.round(bound * 1e6);
    t.equal(binOf(micros - 1), bin, `just under ${bound} s`);
    t.equal(binOf(micros), bin + 1, `${bound} s`);
    if (bin > 0) t.ok(bound > BIN_BOUNDS[bin - 1] && bound / BIN_BOUNDS[bin - 1] <= 1.5, 'bounds rise, by half at most');
  }
  t.equal(BIN_BOUNDS[0], 0.000_128);
  t.equal(binOf(0), 0);
  t.equal(binOf(-1), 0, 'a clock that went back');
  t.equal(binOf(127.99), 0);
  t.equal(binOf(2 ** 24), BINS - 1);
  t.equal(binOf(1e15), BINS - 1, 'eleven days and more');
  t.equal(binOf(Infinity), BINS - 1);
});

t.test('a latency is under the bound of its bin and not under the one before', async (t) => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 3e7, noNaN: true }), fc.double({ min: 0, max: 3e7, noNaN: true }), (a, b) => {
      const bin = binOf(a);
      const above = bin === BINS - 1 || a < BIN_BOUNDS[bin] * 1e6 + 1e-6;
      const below = bin === 0 || a >= BIN_BOUNDS[bin - 1] * 1e6 - 1e-6;
      return above && below && (a <= b ? bin <= binOf(b) : binOf(b) <= bin);
    }),
    { seed: 20_260_101, numRuns: 5000 },
  );
  t.pass('5000 latencies');
});
