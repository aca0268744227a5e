import * as fc from 'fast-check';
import t from 'tap';
import { availableOf } from '../../src/health/availability.ts';
import type { Candidate } from '../../src/health/availability.ts';

/** `h`ealthy, `u`nhealthy, `s`topping, `?` unknown, `n`ever admitted (but healthy), `e`jected, `o`perator-stopped. */
const LETTERS: Readonly<Record<string, Partial<Candidate>>> = {
  h: {},
  u: { health: 'unhealthy' },
  s: { health: 'stopping' },
  '?': { health: 'unknown' },
  n: { admitted: false },
  e: { ejected: true },
  o: { stopped: true },
};

const candidate = (letter: string): Candidate => ({ admitted: true, health: 'healthy', ejected: false, stopped: false, ...LETTERS[letter] });

/** The letters of those that are available, others as `.`. */
function shown(letters: string, failOpen: number): string {
  return availableOf(letters.split('').map(candidate), failOpen)
    .map((available, i) => (available ? letters[i] : '.'))
    .join('');
}

t.test('who gets traffic', async (t) => {
  const cases: readonly (readonly [string, number, string, string])[] = [
    ['hhh', 50, 'hhh', 'all are well'],
    ['huh', 50, 'h.h', 'the bad one is left out'],
    ['hu', 50, 'h.', 'half of them is not under 50 %'],
    ['huu', 50, 'huu', 'under 50 %: health is not believed'],
    ['uuu', 50, 'uuu', 'nor when all seem bad'],
    ['huu', 33, 'h..', '33.3 % is not under 33 %'],
    ['huu', 34, 'huu', 'but under 34 %'],
    ['uuu', 0, '...', '0 always believes'],
    ['huu', 0, 'h..', '0 always believes'],
    ['??', 50, '??', 'after a restart the committed split is served at once'],
    ['??', 0, '??', 'whatever failOpen says'],
    ['nnn', 50, '...', 'never one that was not admitted'],
    ['nuu', 50, '.uu', 'not even when all others are bad'],
    ['hs', 50, 'h.', 'a soft stop'],
    ['hhho', 50, 'hhh.', 'an operator stop'],
    ['us', 50, 'u.', 'one that wants to stop only if there is no other'],
    ['ss', 50, 'ss', 'there is no other'],
    ['oo', 50, 'oo', 'there is no other'],
    ['oo', 0, '..', 'an operator may stop all when health is always believed'],
    ['he', 50, 'h.', 'an ejection'],
    ['ue', 50, '.e', 'never of the last one'],
    ['ue', 0, '.e', 'never of the last one'],
    ['uue', 50, 'uue', 'opened up, ejections are not believed either'],
    ['', 50, '', 'no backends'],
  ];
  for (const [letters, failOpen, expected, why] of cases) t.equal(shown(letters, failOpen), expected, `${letters} at ${failOpen} %: ${why}`);
});

const candidates = fc.array(
  fc.record({
    admitted: fc.boolean(),
    health: fc.constantFrom('unknown' as const, 'healthy' as const, 'unhealthy' as const, 'stopping' as const),
    ejected: fc.boolean(),
    stopped: fc.boolean(),
  }),
  { maxLength: 12 },
);
const percent = fc.integer({ min: 0, max: 100 });

t.test('never a backend that was not admitted', async () => {
  fc.assert(
    fc.property(candidates, percent, (all, failOpen) => availableOf(all, failOpen).every((available, i) => !available || all[i].admitted)),
    { numRuns: 5000 },
  );
});

t.test('with a fail-open share there is always one, if any was admitted', async () => {
  fc.assert(
    fc.property(
      candidates,
      percent.filter((share) => share > 0),
      (all, failOpen) => availableOf(all, failOpen).includes(true) === all.some(({ admitted }) => admitted),
    ),
    { numRuns: 5000 },
  );
});

t.test('without one, never a backend that is known to be bad', async () => {
  const bad = ({ health }: Candidate): boolean => health === 'unhealthy' || health === 'stopping';
  fc.assert(
    fc.property(candidates, (all) => availableOf(all, 0).every((available, i) => !available || !bad(all[i]))),
    { numRuns: 5000 },
  );
});

t.test('a healthy backend is never worse off than an unhealthy one', async () => {
  fc.assert(
    fc.property(candidates, percent, (all, failOpen) => {
      const available = availableOf(all, failOpen);
      const clean = all.map(({ admitted, ejected, stopped }) => admitted && !ejected && !stopped);
      const unhealthyUsed = all.some(({ health }, i) => clean[i] && health === 'unhealthy' && available[i]);
      return !unhealthyUsed || all.every(({ health }, i) => !clean[i] || health !== 'healthy' || available[i]);
    }),
    { numRuns: 5000 },
  );
});
