import { mayMove } from '../pool/phase.ts';
import type { Phase } from '../pool/phase.ts';
import { isFinished } from '../pool/upstream.ts';
import type { Swap, UpstreamState } from '../pool/upstream.ts';
import type { Version } from '../pool/version.ts';
import type { Effect, World } from './events.ts';
import type { EventType } from './ports.ts';

/** One decision in the making: the state is replaced, never changed in place. */
export interface Turn {
  state: UpstreamState;
  readonly effects: Effect[];
  readonly world: World;
}

/** Steps a swap remembers; past it the middle ones go (pause and resume can be repeated for ever). */
const MAX_STEPS = 200;
const FIRST_STEPS = 20;

/** The swap that is running, or null. */
export function runningSwap(state: UpstreamState): Swap | null {
  return state.swap === null || isFinished(state.swap) ? null : state.swap;
}

export function findVersion(state: UpstreamState, id: string): Version | undefined {
  return state.versions.find((version) => version.id === id);
}

/** A version that the state is known to hold. */
export function theVersion(turn: Turn, id: string): Version {
  const version = findVersion(turn.state, id);
  if (version === undefined) throw new Error(`version ${id} is gone`);
  return version;
}

export function changeVersion(turn: Turn, id: string, change: Partial<Omit<Version, 'id' | 'phase'>>): Version {
  const changed = { ...theVersion(turn, id), ...change };
  turn.state = { ...turn.state, versions: turn.state.versions.map((version) => (version.id === id ? changed : version)) };
  return changed;
}

/** Moves a version to another phase; throws when the life of a version has no such move. */
export function moveVersion(turn: Turn, id: string, phase: Phase, change: Partial<Omit<Version, 'id' | 'phase'>> = {}): Version {
  const version = theVersion(turn, id);
  if (!mayMove(version.phase, phase)) throw new Error(`version ${id} cannot go from ${version.phase} to ${phase}`);
  const moved = { ...version, ...change, phase };
  turn.state = { ...turn.state, versions: turn.state.versions.map((other) => (other.id === id ? moved : other)) };
  return moved;
}

export function changeSwap(turn: Turn, change: Partial<Swap>): Swap {
  const swap = turn.state.swap;
  if (swap === null) throw new Error('there is no swap to change');
  const changed = { ...swap, ...change };
  turn.state = { ...turn.state, swap: changed };
  return changed;
}

/** Writes a step into the present swap. */
export function addStep(turn: Turn, name: string, evidence: Record<string, unknown> = {}): void {
  const swap = turn.state.swap;
  if (swap === null) return;
  const steps = [...swap.steps, { name, at: turn.world.now, evidence }];
  if (steps.length > MAX_STEPS) steps.splice(FIRST_STEPS, 1);
  turn.state = { ...turn.state, swap: { ...swap, steps } };
}

export function emit(turn: Turn, type: EventType, version: string | null, data: Record<string, unknown> = {}): void {
  turn.effects.push({ type: 'emit', event: { type, upstream: turn.state.name, version, data } });
}

/** Backends that are healthy now, of all. */
export function healthOf(turn: Turn, version: Version): { healthy: number; of: number } {
  const seen = turn.world.health(version);
  const healthy = version.backends.filter(({ address }) => seen.get(address)?.health === 'healthy').length;
  return { healthy, of: version.backends.length };
}
