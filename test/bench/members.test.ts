import t from 'tap';
import { join } from 'node:path';
import { NodeProcess, ROOT } from '../helpers/process.ts';

const BENCH = join(ROOT, 'bench', 'members.ts');

t.test('a crowd of workers is measured', { timeout: 120_000 }, async (t) => {
  const run = new NodeProcess([BENCH, '--members', '10', '--seconds', '0.2', '--swaps', '1', '--ttl', '2000']);
  t.equal((await run.wait(110_000)).code, 0, run.stdout + run.stderr);
  const rows = run.stdout
    .split('\n')
    .map((row) => row.trim().split(/ {2,}/))
    .filter((row) => row.length === 11);
  const names = ['no members', 'all join at once', 'they report', 'and are swapped', 'all vanish', 'and come back', 'they report again'];
  t.strictSame(
    rows.map(([name]) => name),
    names,
  );
  t.match(run.stdout, /1 swaps, each from its start[^]*series of metrics/);
});

t.test('wrong options are refused before anything starts', async (t) => {
  for (const args of [['--members', '0'], ['--share', '2'], ['--ttl', '1'], ['--wrong']]) {
    const run = new NodeProcess([BENCH, ...args]);
    t.equal((await run.wait()).code, 2, args.join(' '));
  }
});
