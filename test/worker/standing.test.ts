import t from 'tap';
import { Standing } from '../../src/worker/standing.ts';

const RUN = { order: 'run', generation: 4, reportWithin: 1_000, expiresIn: 3_000 } as const;

t.test('an order to run expires, counted from when the report was sent, on either clock', async (t) => {
  const now = { steady: 0, wall: 1e12 };
  const standing = new Standing(() => ({ ...now }));
  t.equal(standing.current, 'quiesce', 'nothing has been said yet');
  const sentAt = { ...now };
  now.steady += 1_000;
  now.wall += 1_000;
  standing.hear(RUN, 1, sentAt);
  t.equal(standing.current, 'run');
  t.equal(standing.left, 2_000);
  now.steady += 1_999;
  now.wall += 1_999;
  t.equal(standing.current, 'run');
  now.steady += 1;
  t.equal(standing.current, 'quiesce', 'by the clock that is never set');
  t.equal(standing.told, 'run', 'what it was told is still what it confirms');
  standing.hear(RUN, 2, { ...now });
  t.equal(standing.current, 'run');
  now.wall += 3_600_000;
  t.equal(standing.current, 'quiesce', 'by the clock that goes on while the machine sleeps');
});

t.test('an answer that is overtaken says nothing any more', async (t) => {
  const standing = new Standing(() => ({ steady: 0, wall: 0 }));
  standing.hear({ ...RUN, order: 'quiesce', generation: 5 }, 2, { steady: 0, wall: 0 });
  standing.hear(RUN, 1, { steady: 0, wall: 0 });
  t.equal(standing.current, 'quiesce');
  t.equal(standing.generation, 5);
  standing.forget();
  t.equal(standing.generation, 0);
});
