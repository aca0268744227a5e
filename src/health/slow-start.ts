import type { SlowStartPolicy } from '../pool/policy.ts';

/** A backend that shares in the traffic of its version. */
export interface Starter {
  /** Nominal, 1–1000. */
  readonly weight: number;
  /** Milliseconds since it became available (again). */
  readonly age: number;
}

/** The ledger keeps weights in thousandths of the nominal unit. */
const SCALE = 1000;

/**
 * Share of its weight that a backend of this age gets, from `minWeight` percent to 1: Envoy's
 * `max(minWeight, (age / window) ^ (1 / aggression))`.
 */
export function slowStartFactor({ window, aggression, minWeight }: SlowStartPolicy, age: number): number {
  if (window === 0 || age >= window) return 1;
  return Math.max(minWeight / 100, (Math.max(age, 0) / window) ** (1 / aggression));
}

/**
 * Effective weights of the available backends of a version, in thousandths, at least 1. When all of them are new there is nobody
 * to take the rest: all get their nominal weight.
 */
export function effectiveWeights(starters: readonly Starter[], policy: SlowStartPolicy): number[] {
  const allNew = starters.every(({ age }) => age < policy.window);
  return starters.map(({ weight, age }) => Math.max(1, Math.round(weight * SCALE * (allNew ? 1 : slowStartFactor(policy, age)))));
}
