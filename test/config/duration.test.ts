import * as fc from 'fast-check';
import t from 'tap';
import { MAX_DURATION, formatDuration, parseDuration } from '../../src/config/duration.ts';

t.test('reads what people write', async (t) => {
  const cases: readonly (readonly [string | number, number])[] = [
    ['200ms', 200],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1.5s', 1500],
    ['0.25m', 15_000],
    ['0s', 0],
    [0, 0],
    [250, 250],
    [1.4, 1],
    [MAX_DURATION, MAX_DURATION],
  ];
  for (const [text, ms] of cases) t.equal(parseDuration(text), ms, String(text));
});

t.test('refuses everything else', async (t) => {
  const bad = [
    '',
    ' ',
    '5',
    '-5s',
    '+5s',
    '5 s',
    ' 5s',
    '5s ',
    '5S',
    '5sec',
    '5d',
    's',
    '.5s',
    '5.s',
    '1.2345s',
    '1e3ms',
    '0x5s',
    '٥s',
    '9999h',
    '1s2s',
    '5s\n',
  ];
  for (const text of bad) t.equal(parseDuration(text), null, JSON.stringify(text));
  for (const number of [-1, -0.6, Number.NaN, Infinity, -Infinity, MAX_DURATION + 1]) t.equal(parseDuration(number), null, String(number));
});

t.test('writes the largest exact unit', async (t) => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0s'],
    [1, '1ms'],
    [999, '999ms'],
    [1000, '1s'],
    [1500, '1.5s'],
    [90_000, '90s'],
    [300_000, '5m'],
    [5_400_000, '90m'],
    [7_200_000, '2h'],
    [61_001, '61.001s'],
  ];
  for (const [ms, text] of cases) t.equal(formatDuration(ms), text);
});

t.test('what is written is read back as the same duration', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: MAX_DURATION }), (ms) => parseDuration(formatDuration(ms)) === ms),
    { numRuns: 2000 },
  );
});

t.test('reading never throws and never gives what a timer cannot hold', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double(), fc.stringMatching(/^[0-9.]{1,14}(ms|s|m|h)$/)), (input) => {
      const ms = parseDuration(input);
      return ms === null || (Number.isInteger(ms) && ms >= 0 && ms <= MAX_DURATION);
    }),
    { numRuns: 5000 },
  );
});
