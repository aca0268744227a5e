import t from 'tap';
import { TicketKeys } from '../../src/control/tickets.ts';
import { eventually } from '../helpers/wait.ts';

t.test('threads know a key before any of them gives out tickets of it, and the one of before until the overlap is over', async (t) => {
  const published: (readonly Uint8Array[])[] = [];
  let release: () => void = () => undefined;
  const publish = (): Promise<void> => {
    published.push(tickets.keys);
    return new Promise((resolve) => (release = resolve));
  };
  const tickets: TicketKeys = new TicketKeys({ every: 60_000, overlap: 1 }, publish, (error) => t.fail(error.message));
  t.teardown(() => tickets.close());
  const [old] = tickets.keys;
  const rotated = tickets.rotate();
  const [[first, next]] = published;
  t.equal(first, old, 'at first it is only taken');
  t.equal(next.length, 48);
  t.notSame(next, old);
  t.equal(published.length, 1, 'until all threads have it');
  release();
  await eventually('the second step', () => published.length === 2);
  t.strictSame(published[1], [next, old]);
  release();
  await rotated;
  await eventually('the end of the overlap', () => published.length === 3);
  t.strictSame(published[2], [next]);
  t.equal(tickets.changes, 1);
});

t.test('a change that fails is told, and the next one goes on from what is in force', async (t) => {
  const told: string[] = [];
  let fails = true;
  const publish = (): Promise<void> => (fails ? Promise.reject(new Error('not now')) : Promise.resolve());
  const tickets = new TicketKeys({ every: 5, overlap: 60_000 }, publish, (error) => told.push(error.message));
  t.teardown(() => tickets.close());
  const [old] = tickets.keys;
  tickets.start();
  await eventually('the failure', () => told.length > 0);
  t.equal(told[0], 'not now');
  t.equal(tickets.keys[0], old);
  t.equal(tickets.changes, 0);
  fails = false;
  await eventually('a change', () => tickets.changes > 0);
  tickets.close();
  t.not(tickets.keys[0], old);
});
