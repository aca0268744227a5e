import type { Test } from 'tap';
import type { SwapView, UpstreamView } from '../../src/control/operations.ts';
import { launchedBy, restart, startLaunching } from '../helpers/launched.ts';
import { field } from '../helpers/message.ts';
import type { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { verb } from './verb.ts';

export const LATE = 60_000;

export async function start(t: Test, v1: readonly string[] = []): Promise<Proxy> {
  const proxy = await startLaunching(t);
  const first = await verb(proxy, 'deploy', 'web', '--version', 'v1', ...v1);
  t.equal(first.code, 0, first.stdout + first.stderr);
  return proxy;
}

export async function deploy(proxy: Proxy, more: Record<string, unknown> = {}): Promise<void> {
  const { status, text } = await proxy.admin('/v1/upstreams/web/deploy', { body: { version: 'v2', ...more } });
  if (status !== 202) throw new Error(text);
}

export async function swapOf(proxy: Proxy): Promise<SwapView | null> {
  return ((await proxy.admin('/v1/upstreams/web')).json as UpstreamView).swap;
}

export function running(proxy: Proxy): string[] {
  return launchedBy(proxy)
    .map(({ version }) => version)
    .toSorted();
}

/** Kills it, starts it again, and waits until just this version is live, all of it, and just its process is left. */
export async function settles(t: Test, proxy: Proxy, version: string): Promise<void> {
  await proxy.kill();
  await restart(proxy);
  await eventually(`the end of it, with ${version}`, async () => running(proxy).join() === version, LATE);
  await eventually('no swap', async () => (await swapOf(proxy))?.finished === true, LATE);
  await eventually('traffic', async () => field(await proxy.send(), 'x-version') === version, LATE);
  const { split, versions } = (await proxy.admin('/v1/upstreams/web')).json as UpstreamView;
  t.strictSame(split, { [version]: 100 });
  t.strictSame(
    versions.map(({ id, phase }) => `${id} ${phase}`),
    [`${version} live`],
  );
}
