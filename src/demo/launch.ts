import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DemoVersion } from '../config/config.ts';
import { REFUSAL, Refusal } from '../errors/catalogue.ts';

const SERVICE = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './service.ts' : './service.js', import.meta.url));
const START_TIMEOUT = 10_000;
const STOP_TIMEOUT = 2000;

export interface Demo {
  /** Ends all processes; resolves when they are gone, after 2 s at the latest. */
  stop(): Promise<void>;
}

/**
 * Starts the bundled demo service, one process a version; resolves when all of them listen. They end with this process, however
 * it ends, and are not started again.
 * @throws Refusal `invalid` that names the port when one is in use; then none is left running
 */
export async function startDemo(demo: readonly DemoVersion[], { host }: { readonly host: string }): Promise<Demo> {
  const children = demo.map(({ version, ports }) => ({
    version,
    child: spawn(process.execPath, [SERVICE, version, host, ...ports.map(String)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
  }));
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(({ child }) => end(child)));
  };
  const results = await Promise.allSettled(children.map(({ version, child }) => started(version, child)));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  // The proxy must be able to end without them.
  for (const { child } of children) {
    child.unref();
    child.channel?.unref();
  }
  return { stop };
}

async function started(version: string, child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (why: string): void => reject(new Refusal(REFUSAL.invalid, `The demo version ${version} could not be started: ${why}.`));
  const timer = setTimeout(() => fail(`it was not ready within ${START_TIMEOUT / 1000} s`), START_TIMEOUT);
  child.once('message', (message: { ready?: true; error?: string }) => (message.ready ? resolve() : fail(message.error ?? 'it does not say why')));
  child.once('error', (error) => fail(error.message));
  child.once('exit', (code, signal) => fail(`it ended with ${signal ?? `code ${code}`}`));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  child.ref();
  child.once('exit', () => resolve());
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT);
  child.kill('SIGTERM');
  await promise;
  clearTimeout(timer);
}
