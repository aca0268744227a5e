import t from 'tap';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { machine } from '../../bench/machine.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';
import { tempDir } from '../helpers/temp.ts';

const GUARD = join(ROOT, 'bench', 'guard.ts');
const SHORT = ['--rounds', '1', '--seconds', '0.2'];
const PAIRS = ['small / tcp-relay', 'small / http-proxy', 'browser / tcp-relay', 'browser / http-proxy'];

t.test('the guard passes and fails by its baseline, and says where it stands', async (t) => {
  const file = join(await tempDir(t), 'baseline.json');
  const guard = async (ratio: number): Promise<NodeProcess & { code: number | null }> => {
    const ratios = Object.fromEntries(PAIRS.map((pair) => [pair, ratio]));
    await writeFile(file, JSON.stringify({ about: '', at: '2026-01-01', machine: machine(), ratios }));
    const run = new NodeProcess([GUARD, '--baseline', file, ...SHORT]);
    return Object.assign(run, await run.wait(60_000));
  };
  const generous = await guard(1_000);
  t.equal(generous.code, 0, generous.stdout + generous.stderr);
  t.match(generous.stdout, /guard: no request has become dearer\n$/);
  const strict = await guard(0.001);
  t.equal(strict.code, 1, strict.stdout + strict.stderr);
  t.equal(strict.stderr, '');
  t.match(strict.stdout, /3 of at most 3 measurements/);
  t.match(strict.stdout, /WORSE[^]*guard: a request has become more than 15 % dearer \(small \/ tcp-relay, small \/ http-proxy, browser/);
});

t.test('the committed baseline has a ratio for each pair', async (t) => {
  const { ratios } = JSON.parse(await readFile(join(ROOT, 'bench', 'baseline.json'), 'utf8')) as { ratios: Record<string, number> };
  t.same(Object.keys(ratios), PAIRS);
  for (const ratio of Object.values(ratios)) t.ok(ratio > 0.05 && ratio < 2, String(ratio));
});

t.test('wrong options, and no baseline', async (t) => {
  const wrong = new NodeProcess([GUARD, '--rounds', '0']);
  t.equal((await wrong.wait()).code, 2);
  const none = new NodeProcess([GUARD, '--baseline', '/none']);
  t.equal((await none.wait()).code, 1);
  t.match(none.stderr, /there is no baseline \/none: npm run bench:guard -- --write/);
});
