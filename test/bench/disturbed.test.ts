import t from 'tap';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { IdleRow, Row } from '../../bench/report.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';
import { tempDir } from '../helpers/temp.ts';

const RUN = join(ROOT, 'bench', 'run.ts');

t.test('swaps and idle connections of ours are measured', async (t) => {
  const json = join(await tempDir(t), 'figures.json');
  const pace = ['--rounds', '1', '--seconds', '0.5', '--connections', '200', '--json', json];
  const run = new NodeProcess([RUN, '--quick', ...pace, '--subject', 'switchyard', '--scenario', 'swap', '--scenario', 'idle']);
  t.equal((await run.wait(150_000)).code, 0, run.stdout + run.stderr);
  const figures = JSON.parse(await readFile(json, 'utf8')) as { rows: Row[]; idleRows: IdleRow[] };
  t.match(figures.rows, [{ subject: 'switchyard' }, { subject: 'switchyard, swapping' }]);
  t.match(figures.idleRows, [{ subject: 'switchyard', scenario: 'idle' }]);
  t.match(run.stdout, /goals\n/);
});
