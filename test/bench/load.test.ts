import t from 'tap';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Row } from '../../bench/report.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';
import { tempDir } from '../helpers/temp.ts';

const RUN = join(ROOT, 'bench', 'run.ts');

t.test('a round of real load gives real figures', async (t) => {
  const dir = await tempDir(t);
  const [json, svg] = [join(dir, 'figures.json'), join(dir, 'figures.svg')];
  const scenarios = ['small', 'upload-30kb', 'chunked', 'connect', 'websocket'];
  const pace = ['--rounds', '1', '--seconds', '0.2', '--json', json, '--svg', svg];
  const run = new NodeProcess([RUN, '--quick', ...pace, '--subject', 'tcp-relay', ...scenarios.flatMap((name) => ['--scenario', name])]);
  t.equal((await run.wait(150_000)).code, 0, run.stdout + run.stderr);
  const { rows } = JSON.parse(await readFile(json, 'utf8')) as { rows: Row[] };
  t.same(
    rows.map((row) => row.scenario),
    scenarios,
  );
  for (const row of rows) {
    t.match(row, { subject: 'tcp-relay', failed: 0 });
    t.ok(row.requestsPerSecond > 10, row.scenario);
    t.ok(row.cpuPerRequest > 1 && row.cpuPerRequest < 50_000, `${row.scenario} ${row.cpuPerRequest}`);
    t.ok(row.p50 <= row.p99 && row.p99 <= row.p999, row.scenario);
  }
  const picture = await readFile(svg, 'utf8');
  for (const name of scenarios) t.ok(picture.includes(`>${name}</text>`), name);
});
