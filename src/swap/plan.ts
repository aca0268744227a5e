import type { GatePoint } from '../pool/gates.ts';
import { weightOf } from '../pool/split.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import { findVersion } from './_turn.ts';
import { listed, wordsOf } from './_words.ts';
import type { SwapEvent, World } from './events.ts';
import { decide } from './machine.ts';
import type { SwapRequest } from './ports.ts';

/**
 * What a swap would do, in words; nothing is changed.
 * @throws Refusal for what the swap itself would be refused for.
 */
export function planSwap(state: UpstreamState, request: SwapRequest, world: World): { from: string | null; to: string; steps: string[] } {
  const event: SwapEvent = { type: 'swap', request, slots: [], id: 'dry-run', by: 'dry-run' };
  const { state: then } = decide(state, event, world);
  const swap = then.swap;
  const to = request.to;
  if (then === state || swap === null) {
    const steps = [weightOf(state.split, to) === 100 ? `nothing: ${to} has all ${wordsOf(world.policy).traffic}` : `nothing: the swap to ${to} is running`];
    return { from: state.swap?.from.at(0) ?? null, to, steps };
  }
  const known = findVersion(state, to);
  const version = findVersion(then, to);
  const of = version?.backends.length ?? 0;
  const need = Math.min(of, swap.minReady ?? world.policy.admission.minReady ?? of);
  const { backend, backends, healthy, traffic, ...words } = wordsOf(world.policy);
  const steps: string[] = [];
  if (known === undefined)
    steps.push(`register ${to} with ${of} ${of === 1 ? backend : backends}: ${listed(version?.backends.map(({ address }) => address) ?? [])}`);
  const gates = (at: GatePoint): void => {
    for (const gate of swap.kind === 'swap' ? world.policy.gates : [])
      if (gate.at === at) steps.push(`ask the gate ${gate.name}; ${seconds(gate.timeout)} without a pass count as ${gate.onTimeout}`);
  };
  gates('admission');
  steps.push(`admit ${to}: ${need} of ${of} ${backends} ${healthy} within ${seconds(swap.admissionTimeout)}, else nothing moves`);
  for (const { weight, hold } of swap.canary) {
    gates('step');
    steps.push(
      `weight ${weight} on ${to}, ${hold === null ? 'held until promoted' : `held for ${seconds(hold)}`}${swap.analysis === null || hold === 0 ? '' : ', judged'}`,
    );
  }
  gates('step');
  steps.push(`all ${traffic} to ${to}`);
  for (const id of swap.from) {
    const rest = world.policy.worker === null ? `, streams and tunnels up to ${seconds(swap.drain.tunnels)}, then cut` : ', then stopped';
    steps.push(`drain ${id}: ${words.requests} up to ${seconds(swap.drain.requests)}${rest}`);
    gates('release');
    steps.push(swap.keep === 0 ? `release ${id} with a receipt` : `keep ${id} for ${seconds(swap.keep)} for a rollback, then release it with a receipt`);
  }
  return { from: swap.from.at(0) ?? null, to, steps };
}

function seconds(ms: number | null): string {
  return ms === null ? 'no limit' : `${ms / 1_000} s`;
}
