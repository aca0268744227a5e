/**
 * The decisions in the life of a swap: pure, so that a simulation can drive every interleaving of
 * probes, steps, steering, crashes and late acks.
 *
 *     admitting ─▶ standby ─▶ cutting-over ─▶ draining ─▶ done
 *         │           │            │              └─▶ rolled-back   (a rollback takes the old version straight back)
 *         │           └────────────┴─▶ rolling-back ─▶ rolled-back, aborted
 *         └─▶ rejected, rolled-back, aborted
 */
import { openFor } from '../pool/reach.ts';
import type { UpstreamState } from '../pool/upstream.ts';
import { admissionDeadlines, admissionHealth } from './_admission.ts';
import { holdUntil, onPublished, watchCutover } from './_cutover.ts';
import { close, concerns, drainAcked, drainDeadlines, tryFinishDrain, tunnelCut } from './_drain.ts';
import { gateAnswered, gateDeadlines, isHeld, waits } from './_gates.ts';
import { lookAt, measured } from './_judgement.ts';
import { afterGates } from './_onward.ts';
import { recover } from './_recover.ts';
import { register, rollback, seed, startSwap } from './_requests.ts';
import { removeVersion, setHold, setSplit, steer } from './_steering.ts';
import { addStep, runningSwap } from './_turn.ts';
import type { Turn } from './_turn.ts';
import type { Effect, SwapEvent, World } from './events.ts';

/** What a state and an event lead to. The state is the very same object when nothing was decided. */
export interface Decision {
  readonly state: UpstreamState;
  readonly effects: readonly Effect[];
}

// A backend is trusted before the split names it, and the world hears of what is done, not of what is tried.
const ORDER: readonly Effect['type'][] = ['trust', 'probe', 'publish', 'watch', 'cut', 'free', 'emit'];

/**
 * Decides what an event leads to.
 * @throws Refusal when an operator asks for what is not possible; then nothing has changed.
 */
export function decide(state: UpstreamState, event: SwapEvent, world: World): Decision {
  const turn: Turn = { state, effects: [], world };
  apply(turn, event);
  if (turn.state !== state) {
    const by = 'by' in event ? event.by : 'switchyard';
    turn.state = { ...turn.state, revision: state.revision + 1, changedBy: by, changedAt: world.now };
  }
  return { state: turn.state, effects: inOrder(turn.effects) };
}

function inOrder(effects: readonly Effect[]): Effect[] {
  const sorted = effects.toSorted((a, b) => ORDER.indexOf(a.type) - ORDER.indexOf(b.type));
  return sorted.filter(({ type }, i) => type !== 'publish' || sorted[i - 1]?.type !== 'publish');
}

function apply(turn: Turn, event: SwapEvent): void {
  switch (event.type) {
    case 'register':
      return register(turn, event.input, event.slots, turn.world.now + turn.world.policy.admission.timeout);
    case 'seed':
      return seed(turn, event.input, event.slots, event.id, event.by);
    case 'swap':
      return startSwap(turn, event.request, event.slots, event.id, event.by);
    case 'rollback':
      return rollback(turn, event.to, event.id, event.by);
    case 'split':
      return setSplit(turn, event.weights);
    case 'hold':
      return setHold(turn, event.held);
    case 'remove':
      return removeVersion(turn, event.version, event.by);
    case 'policy':
      return policyChanged(turn);
    case 'published':
      return onPublished(turn, event.generation);
    case 'acked':
      return drainAcked(turn, event.generation, event.acks);
    case 'idle':
      return tryFinishDrain(turn, event.version);
    case 'noted':
      return concerns(turn.state.swap, event.version) ? addStep(turn, event.step, { ...event.evidence }) : undefined;
    case 'recovered':
      return recover(turn, event.slots, event.rebooted);
    case 'health':
      admissionHealth(turn, event.version);
      return watchCutover(turn);
    case 'answered':
      afterGates(turn, gateAnswered(turn, event.key, event.decision, event.reason));
      return drainDeadlines(turn);
    case 'measured':
      measured(turn, event.since, event.checked);
      return watchCutover(turn);
    case 'tick':
      admissionDeadlines(turn);
      afterGates(turn, gateDeadlines(turn));
      drainDeadlines(turn);
      return watchCutover(turn);
    default:
      return steer(turn, event.type, event.by);
  }
}

function policyChanged(turn: Turn): void {
  turn.state = { ...turn.state };
  // Without the policy that opens it the table has no door to it: then its drain can be proven.
  for (const { id } of openFor(turn.world.policy) === 0 ? turn.state.versions : []) close(turn, id);
  turn.effects.push({ type: 'publish' });
  // A gate that is configured no more holds nothing up.
  afterGates(turn, null);
  drainDeadlines(turn);
}

/** When the next `tick` is due, seen from `now`; null = no deadline is running. Epoch milliseconds. */
export function nextDeadline(state: UpstreamState, now: number): number | null {
  const due: number[] = [];
  const swap = runningSwap(state);
  for (const { id, phase, admitBy, drain } of state.versions) {
    if (admitBy !== null) due.push(admitBy);
    if (phase === 'drained' && drain !== null && drain.keepUntil !== null && swap?.to !== id && !isHeld(drain.gates)) due.push(drain.keepUntil);
    if (phase === 'draining' && drain?.openUntil != null) due.push(drain.openUntil);
    if (phase !== 'draining' || drain === null || drain.generation === null) continue;
    if (!drain.requestsCut) due.push(drain.requestsUntil);
    if (!drain.tunnelsCut) due.push(tunnelCut(drain).at);
  }
  for (const { gates } of waits(state)) if (gates.waiting !== null) due.push(gates.waiting.until);
  if (swap !== null && swap.state === 'cutting-over') {
    if (swap.recoverBy !== null) due.push(swap.recoverBy);
    const hold = holdUntil(swap);
    if (hold !== null && swap.gates === null) due.push(hold);
    // Passed before the step that went before was published, or before a restart: the next one is due.
    if (swap.gates !== null && swap.gates.waiting === null && swap.publishedAt !== null && !swap.paused) due.push(swap.publishedAt);
    const look = lookAt(swap, now);
    if (look !== null) due.push(look);
  }
  return due.length === 0 ? null : Math.min(...due);
}
