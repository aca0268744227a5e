import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SwapView } from '../../src/control/operations.ts';
import { launchedBy } from '../helpers/launched.ts';
import { killPid } from '../helpers/process.ts';
import type { Proxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/wait.ts';
import { LATE, running } from './deploy-world.ts';

/** A canary whose step is held until it is promoted. */
export const HELD = { canary: [{ weight: 50, hold: null }] };

export async function swapNow(proxy: Proxy): Promise<SwapView> {
  return (await proxy.admin('/v1/upstreams/web/swap')).json as SwapView;
}

/** Resolves when the swap has this step. @returns the names of all that it has. */
export async function reached(proxy: Proxy, step: string): Promise<string[]> {
  // A deploy that starts its processes has no swap yet.
  const names = async (): Promise<string[]> => (((await swapNow(proxy)) as Partial<SwapView>).steps ?? []).map(({ name }) => name);
  await eventually(`the step ${step}`, async () => (await names()).includes(step), LATE, 50);
  return names();
}

/** The machine is restarted: the proxy is gone with all that it has launched, and what it finds at its next start is of another boot. */
export async function powerCut(proxy: Proxy): Promise<void> {
  await proxy.kill();
  for (const { pid } of launchedBy(proxy)) killPid(pid);
  await eventually('their end', () => running(proxy).length === 0, LATE);
  await writeFile(join(proxy.stateDir, 'boot'), 'another boot');
}
