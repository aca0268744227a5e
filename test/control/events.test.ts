import t from 'tap';
import { EventLog } from '../../src/control/events.ts';

function filled(count: number): EventLog {
  const log = new EventLog('run');
  for (let n = 1; n <= count; n++) log.emit({ type: 'step', upstream: 'web', version: 'v1', data: { n } });
  return log;
}

t.test('events are numbered and remembered in their order', async (t) => {
  const log = filled(3);
  t.strictSame(log.after(null), { events: [], complete: true }, 'from now on');
  t.strictSame(
    log.after('run-1').events.map(({ id, data }) => [id, data.n]),
    [
      ['run-2', 2],
      ['run-3', 3],
    ],
  );
  t.strictSame(log.after('run-3'), { events: [], complete: true });
});

t.test('an id of another run, or of the future, is answered with all there is, and says so', async (t) => {
  for (const id of ['other-2', 'run-4', 'run-', 'nonsense', '']) {
    const { events, complete } = filled(3).after(id);
    t.strictSame([events.length, complete], [3, false], JSON.stringify(id));
  }
});

t.test('what is forgotten is said to be', async (t) => {
  const log = filled(1_010);
  const { events, complete } = log.after('run-5');
  t.strictSame([events.length, events[0].id, complete], [1_000, 'run-11', false]);
  t.strictSame(log.after('run-10').complete, true, 'the first of those that are remembered follows it');
  t.equal(log.after('run-1000').events.length, 10);
});

t.test('listeners hear each event until they stop', async (t) => {
  const log = filled(0);
  const heard: string[] = [];
  const off = log.on(({ id }) => heard.push(id));
  log.emit({ type: 'live', upstream: 'web', version: 'v1', data: {} });
  off();
  log.emit({ type: 'live', upstream: 'web', version: 'v2', data: {} });
  t.strictSame(heard, ['run-1']);
});
