import * as fc from 'fast-check';
import t from 'tap';
import { nextStanding } from '../../src/health/_verdict.ts';
import type { Rules, Standing } from '../../src/health/_verdict.ts';
import type { Health } from '../../src/pool/phase.ts';

const RULES: Rules = { rise: 2, fall: 3, mayStop: true };
const RESULTS = {
  pass: { ok: true, status: 200 },
  fail: { ok: false, status: 500 },
  gone: { ok: false, status: null },
  stop: { ok: false, status: 404 },
} as const;

type Word = keyof typeof RESULTS;

/** Health after each of these probes. */
function course(words: readonly Word[], rules = RULES, from: Standing = { health: 'unknown', run: 0 }): Health[] {
  let standing = from;
  return words.map((word) => (standing = nextStanding(standing, RESULTS[word], rules)).health);
}

t.test('the documented courses', async (t) => {
  const healthy: Standing = { health: 'healthy', run: 7 };
  t.strictSame(course(['pass', 'pass']), ['unknown', 'healthy']);
  t.strictSame(course(['fail', 'pass', 'pass']), ['unhealthy', 'unhealthy', 'healthy'], 'a new backend is unhealthy at its first failure');
  t.strictSame(course(['pass', 'fail']), ['unknown', 'unhealthy']);
  t.strictSame(course(['fail', 'gone', 'fail'], RULES, healthy), ['healthy', 'healthy', 'unhealthy']);
  t.strictSame(course(['fail', 'fail', 'pass', 'fail', 'fail'], RULES, healthy).at(-1), 'healthy', 'a pass ends a run of failures');
  t.strictSame(course(['stop'], RULES, healthy), ['stopping'], 'a soft stop counts at once');
  t.strictSame(
    course(['stop', 'pass', 'stop', 'pass', 'pass'], RULES, healthy),
    ['stopping', 'stopping', 'stopping', 'stopping', 'healthy'],
    'and is left by rise passes',
  );
  t.strictSame(course(['stop', 'gone', 'gone'], RULES, healthy), ['stopping', 'stopping', 'unhealthy'], 'then it has gone');
  t.strictSame(course(['stop', 'stop', 'stop', 'stop'], RULES, healthy).at(-1), 'stopping', 'however long it asks');
  t.strictSame(course(['stop'], { ...RULES, mayStop: false }), ['unhealthy'], 'before admission a 404 is a failure');
});

const words = fc.array(fc.constantFrom<Word>('pass', 'fail', 'gone', 'stop'), { maxLength: 40 });
const rules = fc.record({ rise: fc.integer({ min: 1, max: 5 }), fall: fc.integer({ min: 1, max: 5 }), mayStop: fc.boolean() });

/** How many of the last results were passes (or were not). */
function trailing(all: readonly Word[], pass: boolean): number {
  const from = all.findLastIndex((word) => (word === 'pass') !== pass);
  return all.length - 1 - from;
}

t.test('health follows from the last results, whatever came before', async () => {
  fc.assert(
    fc.property(
      words.filter((all) => all.length > 0),
      rules,
      (all, given) => {
        const health = course(all, given).at(-1);
        const last = all.at(-1);
        if (trailing(all, true) >= given.rise) return health === 'healthy';
        if (last === 'stop' && given.mayStop) return health === 'stopping';
        if (last !== 'pass' && trailing(all, false) >= given.fall) return health === 'unhealthy';
        return health !== 'healthy' || all.filter((word) => word === 'pass').length >= given.rise;
      },
    ),
    { numRuns: 5000 },
  );
});

t.test('the run counts passes up and failures down, and is never zero after a probe', async () => {
  fc.assert(
    fc.property(
      words.filter((all) => all.length > 0),
      rules,
      (all, given) => {
        let standing: Standing = { health: 'unknown', run: 0 };
        for (const word of all) standing = nextStanding(standing, RESULTS[word], given);
        const pass = all.at(-1) === 'pass';
        return standing.run === (pass ? trailing(all, true) : -trailing(all, false)) && standing.health !== (pass ? null : 'unknown');
      },
    ),
    { numRuns: 2000 },
  );
});
