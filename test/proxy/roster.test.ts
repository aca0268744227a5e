import t from 'tap';
import { Roster } from '../../src/proxy/roster.ts';

class One {
  place = -1;
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

const names = (roster: Roster<One>): string[] => [...roster].map(({ name }) => name).sort();

t.test('those that came and have not left are there, each once', (t) => {
  const roster = new Roster<One>();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new One(name));
  for (const one of [a, b, c, b]) roster.add(one);
  t.strictSame([names(roster), roster.size], [['a', 'b', 'c'], 3]);
  roster.delete(a);
  roster.delete(a);
  t.strictSame([names(roster), roster.size], [['b', 'c'], 2], 'who was not the last to come has left');
  roster.delete(c);
  roster.delete(b);
  t.strictSame([names(roster), roster.size], [[], 0]);
  roster.add(a);
  t.strictSame(names(roster), ['a'], 'who has left may come again');
  t.end();
});

t.test('who leaves or comes while they are gone through disturbs nobody', (t) => {
  const roster = new Roster<One>();
  for (const name of ['a', 'b', 'c', 'd']) roster.add(new One(name));
  const seen: string[] = [];
  for (const one of roster) {
    seen.push(one.name);
    roster.delete(one);
    roster.add(new One(`after ${one.name}`));
  }
  t.strictSame(seen.sort(), ['a', 'b', 'c', 'd']);
  t.strictSame(names(roster), ['after a', 'after b', 'after c', 'after d']);
  t.end();
});

t.test('as a set of the same ones, whatever happens', (t) => {
  const roster = new Roster<One>();
  const set = new Set<One>();
  const all = Array.from({ length: 40 }, (_, i) => new One(String(i)));
  let seed = 7;
  for (let i = 0; i < 4_000; i++) {
    seed = (seed * 48_271) % 0x7fffffff;
    const one = all[seed % all.length];
    const what = seed % 3 === 0 ? 'delete' : 'add';
    roster[what](one);
    set[what](one);
    if (roster.size !== set.size) break;
  }
  t.strictSame(names(roster), [...set].map(({ name }) => name).sort());
  t.end();
});
