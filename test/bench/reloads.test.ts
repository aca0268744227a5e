import t from 'tap';
import { join } from 'node:path';
import { NodeProcess, ROOT } from '../helpers/process.ts';

const RELOADS = join(ROOT, 'bench', 'reloads.ts');

t.test('certificates are replaced under a steady rate of handshakes, none of which fails', { timeout: 175_000 }, async (t) => {
  const run = new NodeProcess([RELOADS, '--reloads', '30', '--rate', '50']);
  t.equal((await run.wait(150_000)).code, 0, run.stdout + run.stderr);
  const row = run.stdout.trimEnd().split('\n').at(-1) ?? '';
  const [handshakes, , failed, , ...times] = row.trim().split(/ {2,}/);
  t.ok(Number(handshakes) > 50, row);
  t.equal(failed, '0');
  t.match(times.at(-1), /^\d+ \+ \d+$/, 'both certificates were shown');
  t.ok(
    times.slice(0, -1).every((ms) => Number(ms) > 0),
    row,
  );
});

t.test('wrong options are refused before anything starts', async (t) => {
  for (const args of [['--reloads', '0'], ['--rate', '0'], ['--threads', 'two'], ['--wrong']]) {
    const run = new NodeProcess([RELOADS, ...args]);
    t.equal((await run.wait()).code, 2, args.join(' '));
  }
});
