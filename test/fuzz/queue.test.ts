import t from 'tap';
import { Client } from './peers.ts';
import { World } from './world.ts';

t.test('who has come while an upstream was held, and waits for a place once it is not, does not wait for the next tick of the clock', (t) => {
  const world = new World();
  const [first, second] = world.lonelySlots;
  world.control.setAvailable(second, false);
  world.hold('queued');
  for (const n of [1, 2]) {
    const tag = `~${'abcdefghij'.replace('a', String.fromCharCode(96 + n))}~`;
    const client = new Client(tag, `10.2.0.${n}`, false, world.accept(`10.2.0.${n}`), []);
    client.send('GET /q HTTP/1.1\r\nHost: a.example\r\n\r\n');
    world.ticks.settle();
  }
  t.equal(world.dialled.length, 0);
  world.hold(null);
  t.equal(world.dialled.length, 1, 'one has a place, the other waits for it');
  t.equal(world.control.isIdle([first]), false);
  world.control.setAvailable(second, true);
  world.turn();
  t.equal(world.dialled.length, 2, 'and takes another that is free now');
  world.end(() => undefined);
  world.check();
  t.end();
});
