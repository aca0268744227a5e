import type { Test } from 'tap';
import { Refusal } from '../../src/errors/catalogue.ts';
import type { CanaryStep, Receipt } from '../../src/pool/upstream.ts';
import type { SwapRequest } from '../../src/swap/ports.ts';
import { input, OPERATOR, RISE } from './fixtures.ts';
import { SwapWorld } from './world.ts';

/** An upstream whose v1 is live. */
export async function withLive(options: ConstructorParameters<typeof SwapWorld>[0] = {}): Promise<SwapWorld> {
  const world = new SwapWorld(options);
  await world.driver.seed(input('v1'), 'seed', OPERATOR);
  await world.probe('v1', RISE);
  return world;
}

export function to(id: string, more: Partial<SwapRequest> = {}): SwapRequest {
  return { to: id, backends: input(id).backends, ...more };
}

export function canary(...weights: number[]): CanaryStep[] {
  return weights.map((weight) => ({ weight, hold: 1_000 }));
}

export function steps(world: SwapWorld): string[] {
  return world.state.swap?.steps.map(({ name }) => name) ?? [];
}

export function receipt(world: SwapWorld, id: string): Receipt {
  const found = world.state.history.findLast((past) => past.version.id === id)?.receipt;
  if (found == null) throw new Error(`${id} has no receipt`);
  return found;
}

export async function refused(t: Test, code: string, asked: Promise<unknown>, facts: Record<string, unknown> = {}): Promise<Refusal> {
  const error: unknown = await asked.then(
    () => null,
    (why: unknown) => why,
  );
  t.ok(error instanceof Refusal, `refused with ${code}`);
  const refusal = error as Refusal;
  t.equal(refusal.fault.code, code, refusal.message);
  t.match(refusal.facts, facts);
  return refusal;
}
