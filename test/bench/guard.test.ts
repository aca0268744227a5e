import t from 'tap';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { machine } from '../../bench/machine.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventually, sleep } from '../helpers/wait.ts';

const GUARD = join(ROOT, 'bench', 'guard.ts');
const SHORT = ['--rounds', '1', '--seconds', '0.1', '--attempts', '2'];
const PAIRS = ['small / tcp-relay', 'small / http-proxy', 'browser / tcp-relay', 'browser / http-proxy'];

t.test('the guard passes and fails by its baseline, and says where it stands', async (t) => {
  const file = join(await tempDir(t), 'baseline.json');
  const guard = async (ratio: number): Promise<NodeProcess & { code: number | null }> => {
    const ratios = Object.fromEntries(PAIRS.map((pair) => [pair, ratio]));
    await writeFile(file, JSON.stringify({ about: '', at: '2026-01-01', machine: machine(), ratios }));
    const run = new NodeProcess([GUARD, '--baseline', file, ...SHORT]);
    return Object.assign(run, await run.wait(150_000));
  };
  const generous = await guard(1_000);
  t.equal(generous.code, 0, generous.stdout + generous.stderr);
  t.match(generous.stdout, /guard: no request has become dearer\n$/);
  const strict = await guard(0.001);
  t.equal(strict.code, 1, strict.stdout + strict.stderr);
  t.equal(strict.stderr, '');
  t.match(strict.stdout, /2 of at most 2 measurements/);
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

const LOAD = join(ROOT, 'bench', 'servers', 'load.ts');

/** The load processes of the bench with this parent. */
function loadsOf(parent: number): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      const ours = /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(LOAD);
      return ours && readFileSync(`/proc/${pid}/status`, 'utf8').includes(`\nPPid:\t${parent}\n`);
    } catch {
      // It has just ended.
      return false;
    }
  });
}

t.test('one that is interrupted under load leaves no process behind', async (t) => {
  const run = new NodeProcess([GUARD, '--seconds', '0.2', '--rounds', '50']);
  const [load] = await eventually('the load', () => (loadsOf(run.pid).length === 0 ? null : loadsOf(run.pid)), 30_000);
  // Past the warm-up, a load that is gone is at once replaced.
  await sleep(4_000);
  const known = new Set(loadsOf(1));
  t.equal((await run.stop('SIGTERM')).code, 130);
  t.notOk(existsSync(`/proc/${load}`), 'the load has ended');
  t.same(
    loadsOf(1).filter((pid) => !known.has(pid)),
    [],
  );
});
