import t from 'tap';
import { join } from 'node:path';
import { NodeProcess, ROOT } from '../helpers/process.ts';

const BENCH = join(ROOT, 'bench', 'h2-floods.ts');

t.test('floods beside load are measured', { timeout: 175_000 }, async (t) => {
  const once = ['--subject', 'switchyard', '--rounds', '1', '--seconds', '0.2'];
  const run = new NodeProcess([BENCH, ...once, '--kind', 'header bombs', '--kind', 'slow readers']);
  t.equal((await run.wait(150_000)).code, 0, run.stdout + run.stderr);
  const rows = run.stdout
    .trimEnd()
    .split('\n')
    .slice(-2)
    .map((row) => row.trim().split(/ {2,}/));
  t.strictSame(
    rows.map(([subject, kind]) => [subject, kind]),
    [
      ['switchyard', 'header bombs'],
      ['switchyard', 'slow readers'],
    ],
  );
  for (const [, kind, ...cells] of rows) {
    t.equal(cells.length, 9);
    t.ok(
      cells.every((cell) => Number.isFinite(Number(cell))),
      `${kind}: ${cells.join(' ')}`,
    );
    t.equal(cells[5], '0', 'nobody else has failed');
    t.ok(Number(cells[6]) > 0, 'there were flooders');
  }
});

t.test('wrong options are refused before anything starts', async (t) => {
  for (const args of [['--rounds', '0'], ['--kind', 'none'], ['--subject', 'none'], ['--wrong']]) {
    const run = new NodeProcess([BENCH, ...args]);
    t.equal((await run.wait()).code, 2, args.join(' '));
  }
});
