import t from 'tap';
import { join } from 'node:path';
import { p99Within } from '../../bench/measure.ts';
import type { Sample } from '../../bench/measure.ts';
import { subjectsOf } from '../../bench/plan.ts';
import { aligned, median, rowsOf } from '../../bench/report.ts';
import { SCENARIOS } from '../../bench/scenarios.ts';
import { countsOf } from '../../bench/strace.ts';
import { SUBJECTS } from '../../bench/subjects/all.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';

const RUN = join(ROOT, 'bench', 'run.ts');
const round = (cpuPerRequest: number): Sample => ({
  cpuPerRequest,
  requestsPerSecond: 1000,
  p50: 1,
  p99: 2,
  p999: 3,
  rss: 4,
  loadCore: 0.5,
  p99Disturbed: null,
  failed: 0,
});

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
    { subject: 'a', cpuPerRequest: 20, cpuRange: [10, 30], rounds: 3, against: { 'http-proxy': 0.2, nginx: null } },
    { subject: 'http-proxy', against: { 'http-proxy': 1 } },
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
  for (const args of [['--scenario', 'none'], ['--rounds', '0'], ['--seconds', '0'], ['--load', 'x'], ['--connections', '1.5'], ['--wrong']]) {
    const run = new NodeProcess([RUN, ...args]);
    t.equal((await run.wait()).code, 2, args.join(' '));
    t.match(run.stderr, /^\S.*\n$/);
  }
});

t.test('what happens to a subject is told from the rest of its answers', async (t) => {
  const quiet = Array.from({ length: 200 }, (_, i) => [1_000 + i, 100]).flat();
  const swapped = Array.from({ length: 200 }, (_, i) => [2_000 + i, 900]).flat();
  t.equal(p99Within([...quiet, ...swapped], [[2_000, 2_200]]), 900);
  t.equal(p99Within([...quiet, ...swapped], [[1_000, 1_100]]), 100);
  t.equal(p99Within(quiet, []), null);
});

t.test('every scenario has subjects, and says why when not all', async (t) => {
  const bases = SUBJECTS.map(({ name }) => name);
  for (const scenario of SCENARIOS) {
    const { only, except, name } = scenario;
    const subjects = subjectsOf(scenario, bases).map((subject) => subject.name);
    t.ok(subjects.length >= 2, name);
    if (only !== undefined) t.same(new Set(subjects), new Set(only.subjects), name);
    t.equal(subjects.length < SUBJECTS.length, only !== undefined || except !== undefined, name);
    t.match(scenario.standsFor, /\w{3}/);
  }
});

t.test('a summary of strace is read by name, with and without errors', async (t) => {
  const summary = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.200000          10     20000           write
 40.00    0.100000           5     20010        10 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.300000                 40010        10 total
`;
  t.same(
    [...countsOf(summary)],
    [
      ['write', 20_000],
      ['read', 20_010],
    ],
  );
});
