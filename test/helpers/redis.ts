import { spawn } from 'node:child_process';
import { childEnv, killed } from './process.ts';
import { freePort, isOpen } from './ports.ts';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';
import { eventually } from './wait.ts';

/** Debian's `redis-server`, with nothing on disk. @returns its port. */
export async function startRedis(t: Teardown): Promise<number> {
  const [port, dir] = [await freePort(), await tempDir(t, 'redis')];
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir];
  const child = spawn('redis-server', args, { env: childEnv(), stdio: 'ignore' });
  child.on('error', (error) => {
    throw new Error(`redis-server cannot be run: tests of workers need the Debian package redis-server (apt-get install redis-server): ${error.message}`);
  });
  t.teardown(() => killed(child));
  await eventually('redis', () => isOpen(port), 60_000);
  return port;
}
