import { assert, integer, property, stringMatching, uniqueArray } from 'fast-check';
import t from 'tap';
import { pickRunning, runningOf } from '../../src/members/shares.ts';

t.test('the nearest number to the weight, and one at least', async (t) => {
  t.equal(runningOf(75, 4), 3);
  t.equal(runningOf(25, 3), 1);
  t.equal(runningOf(5, 3), 1);
  t.equal(runningOf(0, 3), 0);
  t.equal(runningOf(100, 3), 3);
  t.equal(runningOf(50, 0), 0);
});

t.test('a larger weight or one member more never stops one that runs', async (t) => {
  const members = uniqueArray(stringMatching(/^[a-z]{1,3}-\d{1,3}$/), { minLength: 1, maxLength: 20 });
  assert(
    property(members, integer({ min: 0, max: 100 }), integer({ min: 0, max: 100 }), (names, one, other) => {
      const first = pickRunning(
        names.map((id) => ({ id, running: false })),
        Math.min(one, other),
      );
      const running = new Set([...first].map(({ id }) => id));
      const grown = [...names.map((id) => ({ id, running: running.has(id) })), { id: 'zz-new', running: false }];
      const then = new Set([...pickRunning(grown, Math.max(one, other))].map(({ id }) => id));
      return [...running].every((id) => then.has(id)) && then.size === runningOf(Math.max(one, other), grown.length);
    }),
  );
  const named = ['v2-10', 'v2-2', 'v2-1'].map((id) => ({ id, running: false }));
  t.same([...pickRunning(named, 66)].map(({ id }) => id).sort(), ['v2-1', 'v2-2']);
});
