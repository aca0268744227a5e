/** A swap to a version that the configuration says how to launch, and that is not there, is a deploy of it. */
import { REFUSAL, Refusal } from '../errors/catalogue.ts';
import { withinMs } from './deploys.ts';
import type { Deploys } from './deploys.ts';
import type { Fleet } from './fleet.ts';
import type { Caller, DeployRequest, SwapAsk } from './operations.ts';

/** How long such a swap waits until there is one. */
const LAUNCH_MS = 120_000;
const WORDS = 3;

/** One that is being launched as a seed may be there in a moment: resolves when that try has ended, well or not, or takes too long. */
export async function seeded(fleet: Fleet, name: string, { to }: SwapAsk): Promise<void> {
  await withinMs(LAUNCH_MS, fleet.seeds.tried(name, to));
}

/** null = it is there, or named by its backends, or not launched. */
export function declaredDeploy(fleet: Fleet, name: string, { to, backends, members, ...swap }: SwapAsk): DeployRequest | null {
  if (backends !== undefined || members !== undefined) return null;
  const { config, driver } = fleet.get(name);
  const spec = config.versions.find(({ id }) => id === to)?.launch ?? null;
  return spec === null || driver.state.versions.some(({ id }) => id === to) ? null : { version: to, launch: {}, spec, swap };
}

/**
 * @returns the id of its swap
 * @throws Refusal when it could not be launched; then nothing has moved, and nothing of it runs. Or when that takes longer than is waited
 * for here: then it goes on, and its swap follows.
 */
export async function launchAndSwap(deploys: Deploys, name: string, request: DeployRequest, caller: Caller, waitMs = LAUNCH_MS): Promise<string> {
  const { view } = await deploys.start(name, request, caller);
  const { state, swap, reason, failed, code } = await deploys.settled(view.id, waitMs);
  if (swap !== null) return swap;
  if (state === 'starting') {
    const late = `Processes of ${request.version} are still being started after ${waitMs / 1_000} s. That goes on, and the swap of ${name} follows; it can be aborted.`;
    throw new Refusal(REFUSAL.swapRunning, late, { deploy: view.id, swap: view.id, to: request.version, state });
  }
  const said = failed.flatMap(({ output }) => output.slice(-WORDS)).join('; ');
  const fault = code === REFUSAL.swapRunning.code ? REFUSAL.swapRunning : REFUSAL.launchFailed;
  throw new Refusal(fault, `${request.version} could not be launched, nothing moved: ${reason ?? 'nobody knows why'}${said === '' ? '' : ` (${said})`}`);
}
