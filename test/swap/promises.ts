import type { GatePolicy } from '../../src/pool/gates.ts';
import { isOpen } from '../../src/pool/reach.ts';
import { splitProblem, weightOf } from '../../src/pool/split.ts';
import type { Receipt, Swap, UpstreamState } from '../../src/pool/upstream.ts';
import type { Version } from '../../src/pool/version.ts';

/** What is wrong with the receipt of a version that is gone, or null. */
export function receiptProblem(version: Version, receipt: Receipt | null): string | null {
  if (receipt === null) return version.phase === 'released' ? `${version.id} is released without a receipt` : null;
  const { started, completed, clientAborted, upstreamFailed, killed } = receipt.counts;
  if (started !== completed + clientAborted + upstreamFailed + killed) return `the receipt of ${version.id} breaks the conservation law`;
  const { http, stream, tunnel } = receipt.killedByKind;
  if (killed !== http + stream + tunnel) return `the receipt of ${version.id} has killed ${killed}, but by kind ${http + stream + tunnel}`;
  const early = Object.values(receipt.acks).find((ack) => ack < receipt.generation);
  return early === undefined ? null : `the receipt of ${version.id} has an ack ${early} before ${receipt.generation}`;
}

/** What is wrong with a state that follows another. `lastRoutable`: the last generation in which something could be sent to a version, by its row. */
export function stateFaults(before: UpstreamState, state: UpstreamState, lastRoutable: ReadonlyMap<number, number>): string[] {
  const faults: string[] = [];
  const problem = splitProblem(state.split);
  if (problem !== null) faults.push(problem);
  if (state.revision !== before.revision + 1) faults.push(`revision ${before.revision} was followed by ${state.revision}`);
  for (const { id, phase } of state.versions)
    if ((phase === 'live') !== weightOf(state.split, id) > 0) faults.push(`${id} is ${phase} with weight ${weightOf(state.split, id)}`);
  if (before.split.length > 0 && state.split.length === 0) faults.push('nothing is live any more');
  for (const version of state.versions) {
    const { id, slot, drain } = version;
    if (isOpen(version) && (drain?.generation !== null || drain.acks !== null)) faults.push(`${id} is open, and its drain has begun`);
    if (drain?.acks != null && state.versions.some((version) => version.slot === slot) && (drain.generation ?? 0) <= (lastRoutable.get(slot) ?? 0)) {
      faults.push(`${id} was routable in generation ${lastRoutable.get(slot)}; its drain says ${drain.generation}`);
    }
  }
  const swap = state.swap;
  if (swap?.state === 'aborted' && before.swap?.state === 'rolling-back' && JSON.stringify(state.split) !== JSON.stringify(swap.before))
    faults.push('an aborted swap left its mark on the split');
  return faults;
}

/** A step that was taken without the word of each gate before it, or of a person at one of them; null = there is none. */
export function gateFault(swap: Swap | null, gates: readonly GatePolicy[]): string | null {
  if (swap === null || swap.kind !== 'swap') return null;
  const words = new Map<unknown, number>();
  const hear = (gate: unknown): unknown => words.set(gate, (words.get(gate) ?? 0) + 1);
  let taken = 0;
  let weight = 0;
  for (const { name, evidence } of swap.steps) {
    if (name === 'gate' && evidence.decision === 'pass') hear(evidence.gate);
    if (name === 'promoted' && evidence.gate !== undefined) for (const gate of gates) hear(gate.name);
    const to = name === 'live' ? 100 : name.startsWith('weight ') ? Number(name.slice('weight '.length)) : weight;
    // After a crash the same step is published once more.
    if (to === weight) continue;
    taken++;
    weight = to;
    // A gate may be asked about a step before the one that went before is published.
    const missing = gates.find((gate) => gate.at === 'step' && (words.get(gate.name) ?? 0) < taken);
    if (missing !== undefined) return `${name} was taken without ${missing.name}`;
  }
  return null;
}
