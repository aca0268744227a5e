import t from 'tap';
import { MOST_STEP_MS, RunningClock } from '../../src/data/_clock.ts';

t.test('time goes on as it does, and stands still while the thread does', async (t) => {
  const clock = new RunningClock(1_000);
  t.equal(clock.now, 1_000);
  t.equal(clock.look(1_050), 1_050);
  t.equal(clock.look(1_050 + MOST_STEP_MS), 1_050 + MOST_STEP_MS, 'a late look counts in full');
  const before = clock.now;
  t.equal(clock.look(60_000), before + MOST_STEP_MS, 'of a time in which it was held up, little counts');
  t.equal(clock.look(60_050), before + MOST_STEP_MS + 50, 'and then time goes on');
});
