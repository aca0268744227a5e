import t from 'tap';
import { join } from 'node:path';
import { NodeProcess, ROOT } from '../helpers/process.ts';

const SLOW = join(ROOT, 'bench', 'slow-clients.ts');

t.test('slow clients beside load are measured, and seen to go', { timeout: 175_000 }, async (t) => {
  const run = new NodeProcess([SLOW, '--subject', 'switchyard', '--clients', '100', '--every', '500', '--seconds', '0.2']);
  t.equal((await run.wait(150_000)).code, 0, run.stdout + run.stderr);
  const row = run.stdout.trimEnd().split('\n').at(-1) ?? '';
  const [subject, ...cells] = row.trim().split(/ {2,}/);
  t.equal(subject, 'switchyard');
  t.equal(cells.length, 12);
  t.ok(
    cells.every((cell) => Number.isFinite(Number(cell))),
    row,
  );
  t.ok(Number(cells[10]) > 5, 'gone by the deadline of a head, not before');
  t.equal(cells[11], '100', 'each was told why');
});

t.test('wrong options are refused before anything starts', async (t) => {
  for (const args of [['--clients', '0'], ['--every', '1'], ['--subject', 'none'], ['--wrong']]) {
    const run = new NodeProcess([SLOW, ...args]);
    t.equal((await run.wait()).code, 2, args.join(' '));
  }
});
