import t from 'tap';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { aligned, median, rowsOf } from '../../bench/report.ts';
import { SCENARIOS } from '../../bench/scenarios.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';
import { tempDir } from '../helpers/temp.ts';

const RUN = join(ROOT, 'bench', 'run.ts');
const round = (cpuPerRequest: number) => ({ cpuPerRequest, requestsPerSecond: 1000, p50: 1, p99: 2, rss: 3, failed: 1 });

t.test('medians, ranges and ratios', async (t) => {
  t.equal(median([5, 1, 3]), 3);
  t.equal(median([4, 1, 3, 2]), 2.5);
  const samples = new Map([
    ['a', [round(10), round(30), round(20)]],
    ['http-proxy', [round(100)]],
    ['none', []],
  ]);
  const rows = rowsOf(SCENARIOS[0], samples);
  t.match(rows, [
    { subject: 'a', cpuPerRequest: 20, cpuRange: [10, 30], rounds: 3, failed: 3, timesCheaperThan: { 'http-proxy': 5, nginx: null } },
    { subject: 'http-proxy', timesCheaperThan: { 'http-proxy': 1 } },
  ]);
  t.equal(rows.length, 2);
  t.equal(
    aligned([
      ['', 'x'],
      ['ab', '100'],
    ]),
    '      x\nab  100',
  );
});

t.test('the browser head is as large as it says', async (t) => {
  const browser = SCENARIOS.find(({ name }) => name === 'browser');
  const fields = Object.entries({ host: '127.0.0.1:12345', ...browser?.headers });
  t.equal(fields.length, 13);
  const bytes = fields.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 'GET /small HTTP/1.1\r\n\r\n'.length);
  t.ok(bytes > 600 && bytes < 720, `${bytes} bytes`);
});

t.test('wrong options are refused before anything starts', async (t) => {
  for (const args of [['--scenario', 'none'], ['--rounds', '0'], ['--load', 'x'], ['--wrong']]) {
    const run = new NodeProcess([RUN, ...args]);
    t.equal((await run.wait()).code, 2, args.join(' '));
    t.match(run.stderr, /^\S.*\n$/);
  }
});

t.test('a round of real load gives real figures', async (t) => {
  const file = join(await tempDir(t), 'figures.json');
  const run = new NodeProcess([RUN, '--quick', '--rounds', '1', '--subject', 'tcp-relay', '--scenario', 'small', '--json', file]);
  t.equal((await run.wait(30_000)).code, 0, run.stdout + run.stderr);
  const figures = JSON.parse(await readFile(file, 'utf8')) as { rows: ReturnType<typeof rowsOf> };
  t.match(figures.rows, [{ subject: 'tcp-relay', scenario: 'small', failed: 0 }]);
  t.ok(figures.rows[0].requestsPerSecond > 100);
  t.ok(figures.rows[0].cpuPerRequest > 1 && figures.rows[0].cpuPerRequest < 5_000);
});
