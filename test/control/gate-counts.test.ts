import t from 'tap';
import { GateCounts } from '../../src/control/gate-counts.ts';
import { emptyUpstream } from '../../src/pool/upstream.ts';
import type { SwitchyardEvent } from '../../src/swap/ports.ts';
import { gatePolicy } from '../swap/fixtures.ts';

const EMPTY = emptyUpstream('web', 0);
const told = (decision: string, waitedMs: number, timedOut = false): SwitchyardEvent => ({
  type: 'gate',
  upstream: 'web',
  version: 'v2',
  data: { gate: 'g', before: 'step', decision, reason: '', timedOut, waitedMs },
});

t.test('what gates are asked and say is counted by where they stand; a wait that goes on is no end of one', (t) => {
  const counts = new GateCounts();
  for (const word of ['wait', 'failed', 'pass'] as const) {
    counts.asked('step');
    counts.answered('step', word);
  }
  for (const event of [told('wait', 5), told('pass', 100), told('pass', 101), told('stop', 90_000_000, true)]) counts.told(event);
  counts.told({ ...told('pass', 5), type: 'step' });
  const [row, ...others] = counts.measure([], EMPTY);
  t.strictSame(others, [], 'a point without a gate has no series');
  t.match(row, { before: 'step', asked: 3, answers: { pass: 1, wait: 1, stop: 0, failed: 1 }, timeouts: 1, waiting: 0 });
  t.strictSame(row.bins, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 'a bound belongs to what is below it');
  t.equal(Math.round(row.seconds * 1_000), 90_000_201);
  t.end();
});

t.test('a point that has a gate has its series from the start', (t) => {
  const rows = new GateCounts().measure([gatePolicy('a', 'release'), gatePolicy('b', 'release'), gatePolicy('c', 'admission')], EMPTY);
  t.strictSame(
    rows.map(({ before, asked }) => [before, asked]),
    [
      ['admission', 0],
      ['release', 0],
    ],
  );
  t.end();
});
