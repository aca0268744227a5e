import t from 'tap';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Allocation } from '../../bench/allocation.ts';
import type { Timed } from '../../bench/micro/timing.ts';
import { NodeProcess, ROOT } from '../helpers/process.ts';
import { tempDir } from '../helpers/temp.ts';

t.test('every part of the hot path has its ns and bytes, and so has a request through the data thread', async (t) => {
  const json = join(await tempDir(t), 'micro.json');
  const run = new NodeProcess([join(ROOT, 'bench', 'micro.ts'), '--batch', '1', '--requests', '500', '--json', json]);
  t.equal((await run.wait(150_000)).code, 0, run.stdout + run.stderr);
  const { timed, allocated } = JSON.parse(await readFile(json, 'utf8')) as { timed: Timed[]; allocated: Allocation[] };
  for (const part of [
    'request head, small',
    'response head',
    'chunk reader',
    'write request',
    'write response',
    'find route, 10000',
    'pick',
    'split',
    'ledger',
    'log',
  ])
    t.ok(
      timed.some(({ name }) => name.includes(part)),
      part,
    );
  for (const { name, ns, nsRange, bytes } of timed) {
    t.ok(ns > 0 && ns < 1e6 && nsRange[0] <= ns && ns <= nsRange[1], name);
    t.ok(bytes >= 0 && bytes < 1e6, name);
  }
  const small = allocated.find(({ scenario }) => scenario === 'small');
  // An answer goes out in a Buffer of its own, and its objects are not nothing.
  t.ok(small !== undefined && small.heap > 100 && small.heap < 100_000 && small.count >= 0.5, JSON.stringify(small));
});
