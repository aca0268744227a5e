import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { childEnv } from './process.ts';
import { freePort } from './ports.ts';
import { tempDir } from './temp.ts';
import type { Teardown } from './temp.ts';
import { eventually } from './wait.ts';

function open(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Debian's `redis-server`, with nothing on disk. @returns its port. */
export async function startRedis(t: Teardown): Promise<number> {
  const [port, dir] = [await freePort(), await tempDir(t, 'redis')];
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir];
  const child = spawn('redis-server', args, { env: childEnv(), stdio: 'ignore' });
  child.on('error', (error) => {
    throw new Error(`redis-server cannot be run: tests of workers need the Debian package redis-server (apt-get install redis-server): ${error.message}`);
  });
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  });
  await eventually('redis', () => open(port), 60_000);
  return port;
}
