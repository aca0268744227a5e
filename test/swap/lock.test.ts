import t from 'tap';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockFolder } from '../../src/swap/_lock.ts';
import { eventually } from '../helpers/wait.ts';

t.test('a holder that has been killed, and whose parent has not asked for its end, holds nothing', async (t) => {
  const dir = t.testdir();
  // What the shell becomes does not know of the child that it has.
  const parent = spawn('/bin/sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => parent.kill('SIGKILL'));
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const stat = (): string[] => readFileSync(`/proc/${line.toString().trim()}/stat`, 'utf8').split(') ')[1].split(' ');
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  writeFileSync(join(dir, 'lock'), `${line.toString().trim()} ${boot}/${stat()[19]}\n`);
  await eventually('its end', () => stat()[0] === 'Z');
  lockFolder(dir)();
});

t.test('a holder that runs is named', (t) => {
  const dir = t.testdir();
  const unlock = lockFolder(dir);
  t.throws(() => lockFolder(dir), { message: new RegExp(`is in use by process ${process.pid}`) });
  unlock();
  t.end();
});
