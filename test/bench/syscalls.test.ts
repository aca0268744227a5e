import t from 'tap';
import { join } from 'node:path';
import { NodeProcess, ROOT } from '../helpers/process.ts';

t.test('system calls are counted where strace is there and may attach, and it is said where not', async (t) => {
  const run = new NodeProcess([join(ROOT, 'bench', 'syscalls.ts'), '--requests', '200']);
  const { code } = await run.wait(150_000);
  if (code === 0) t.match(run.stdout, /switchyard, 32 connections +\d+\.\d\d +.*read/);
  else t.match(run.stderr, /strace/);
});
