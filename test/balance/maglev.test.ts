import t from 'tap';
import { MAGLEV_SIZE, maglevTable } from '../../src/balance/maglev.ts';
import { Rotation } from '../../src/balance/rotation.ts';

interface Backend {
  readonly address: string;
  readonly weight: number;
}

const fleet = (weights: readonly number[]): Backend[] => weights.map((weight, i) => ({ address: `10.0.0.${i}:8080`, weight }));

function shares(backends: readonly Backend[]): number[] {
  const counts = backends.map(() => 0);
  for (const index of maglevTable(backends)) counts[index]++;
  return counts.map((count) => count / MAGLEV_SIZE);
}

/** The address of each entry. */
const owners = (backends: readonly Backend[]): string[] => Array.from(maglevTable(backends), (index) => backends[index].address);

function moved(before: readonly Backend[], after: readonly Backend[]): number {
  const now = owners(after);
  return owners(before).filter((owner, i) => owner !== now[i]).length / MAGLEV_SIZE;
}

t.test('entries are spread by weight', async (t) => {
  for (const weights of [[1], [1, 1], [1, 1, 1, 1, 1, 1, 1], [3, 1, 1], [10, 20, 70], [100, 1]]) {
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const found = shares(fleet(weights));
    t.ok(
      found.every((share, i) => Math.abs(share - weights[i] / sum) < 0.01),
      `${weights.join(' : ')} → ${found.map((share) => share.toFixed(3)).join(' : ')}`,
    );
  }
  t.strictSame(maglevTable([]).length, MAGLEV_SIZE, 'no backends: a table of nothing');
});

t.test('the size is prime, so that every order reaches every entry', async (t) => {
  const divisors = Array.from({ length: Math.floor(Math.sqrt(MAGLEV_SIZE)) }, (_, i) => i + 2).filter((number) => MAGLEV_SIZE % number === 0);
  t.strictSame(divisors, []);
});

t.test('when a backend goes or comes, little else moves', async (t) => {
  for (const size of [3, 5, 10, 20]) {
    const all = fleet(Array<number>(size).fill(1));
    for (const gone of [0, 1, size - 1]) {
      const rest = all.filter((_, i) => i !== gone);
      const away = moved(all, rest);
      t.ok(away < 2 / size, `${size} without number ${gone}: ${(away * 100).toFixed(1)} % of the keys move, ${(100 / size).toFixed(1)} % were its own`);
      t.ok(away > 0.8 / size, 'its own do move');
      t.ok(moved(rest, all) < 2 / size, 'and back');
    }
  }
  const weighted = fleet([4, 2, 1, 1]);
  t.ok(moved(weighted, weighted.slice(1)) < 2 * 0.5, 'by weight too');
});

t.test('the table depends on addresses and weights alone', async (t) => {
  t.strictSame(owners(fleet([1, 2, 3])), owners(fleet([1, 2, 3])));
  t.strictSame(owners(fleet([1, 2])), owners(fleet([10, 20])), 'weights count as shares of the heaviest');
  const all = fleet([1, 1, 1, 1, 1]);
  t.ok(moved(all, all.toReversed()) < 0.1, 'the order of the backends hardly matters');
});

t.test('two backends of one address are two', async (t) => {
  const twins = [0, 1].map(() => ({ address: '10.0.0.1:80', weight: 1 }));
  t.ok(Math.abs(shares(twins)[0] - 0.5) < 0.01);
});

t.test('a rotation is compiled once', async (t) => {
  const backends = [
    { slot: 7, address: 'a:1', weight: 3 },
    { slot: 4, address: 'b:1', weight: 1 },
  ];
  const rotation = new Rotation(backends, 'maglev', { connections: 9, sockets: null });
  t.strictSame([...rotation.slots], [7, 4]);
  t.strictSame([...rotation.weights], [3, 1]);
  t.strictSame([...rotation.sums], [3, 4]);
  t.equal(rotation.limit, 9);
  t.strictSame(rotation.maglev, maglevTable(backends));
  const plain = new Rotation(backends, 'round-robin', { connections: null, sockets: null });
  t.equal(plain.maglev, null, 'a table only where it is asked');
  t.equal(plain.limit, Infinity);
});
