import * as fc from 'fast-check';
import t from 'tap';
import { LIMITS, POISONS, readRequest, readResponse, latin1 } from '../http/parsed.ts';
import { asked, cutsOf, cutting, mutated, mutations, requestHead, responseHead, SEED } from './codec_arbitraries.ts';

const OPTIONS = { seed: SEED, numRuns: 8000 };
const poison = fc.constantFrom(...POISONS);

/** Whatever came of it, it came of the bytes alone: not of how they were cut, nor of what lay behind them. */
function assertOneReading(read: (cuts: number[], poison: string) => unknown, length: number, how: 'each' | readonly number[], behind: string): void {
  const whole = JSON.stringify(read([], POISONS[0]));
  for (const cuts of [[], cutsOf(how, length)]) {
    const found = JSON.stringify(read(cuts, behind));
    if (found !== whole) throw new Error(`whole: ${whole}\ncut at ${JSON.stringify(cuts)}: ${found}`);
  }
}

t.test('a request head has one reading, however it arrives', async (t) => {
  let accepted = 0;
  let judged = 0;
  fc.assert(
    fc.property(requestHead, cutting, poison, (text, how, behind) => {
      judged++;
      if (typeof readRequest(text) === 'object') accepted++;
      assertOneReading((cuts, around) => readRequest(text, cuts, LIMITS, around), text.length, how, behind);
    }),
    OPTIONS,
  );
  t.ok(accepted > judged / 3, `${accepted} of ${judged} were valid`);
  t.ok(accepted < judged, 'and not all');
});

t.test('so has a mutated one, and one under tight limits', async (t) => {
  const verdicts = new Map<string, number>();
  const limits = fc.constantFrom(LIMITS, { head: 100, headers: 4, target: 20 });
  fc.assert(
    fc.property(requestHead, mutations, cutting, poison, limits, (valid, changes, how, behind, bounds) => {
      const text = mutated(valid, changes);
      const found = readRequest(text, [], bounds);
      const verdict = typeof found === 'string' ? found : 'read';
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
      assertOneReading((cuts, around) => readRequest(text, cuts, bounds, around), text.length, how, behind);
    }),
    OPTIONS,
  );
  for (const verdict of [
    'read',
    'more',
    'bad-field',
    'bad-host',
    'bad-framing',
    'bad-target',
    'bad-method',
    'malformed',
    'head-too-large',
    'target-too-long',
  ]) {
    t.ok((verdicts.get(verdict) ?? 0) > 0, `some were ${verdict}: ${verdicts.get(verdict)}`);
  }
});

t.test('a response head has one reading, however it arrives', async (t) => {
  let accepted = 0;
  fc.assert(
    fc.property(responseHead, asked, cutting, poison, (text, question, how, behind) => {
      if (typeof readResponse(text, question) === 'object') accepted++;
      assertOneReading((cuts, around) => readResponse(text, question, cuts, around), text.length, how, behind);
    }),
    OPTIONS,
  );
  t.ok(accepted > OPTIONS.numRuns / 3, `${accepted} were valid`);
});

t.test('so has a mutated one', async (t) => {
  let accepted = 0;
  let refused = 0;
  fc.assert(
    fc.property(responseHead, mutations, asked, cutting, poison, (valid, changes, question, how, behind) => {
      const text = mutated(valid, changes);
      if (typeof readResponse(text, question) === 'object') accepted++;
      else refused++;
      assertOneReading((cuts, around) => readResponse(text, question, cuts, around), text.length, how, behind);
    }),
    OPTIONS,
  );
  t.ok(accepted > 50 && refused > 50, `${accepted} were read, ${refused} were not`);
});

t.test('noise is never taken for a head', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), cutting, (noise, how) => {
      const bytes = Buffer.from(noise);
      assertOneReading((cuts, around) => readRequest(bytes, cuts, LIMITS, around), bytes.length, how, POISONS[1]);
      assertOneReading((cuts, around) => readResponse(bytes, { head: false, upgrade: false }, cuts, around), bytes.length, how, POISONS[1]);
    }),
    { ...OPTIONS, numRuns: 3000 },
  );
  t.type(readRequest(latin1('GET / HTTP/1.1\r\nHost: a\r\n\r\n')), 'object', 'while a head is');
});
